import { describe, expect, test } from "vitest";
import { compileOffline, type OfflineOptions } from "../../../rules/index.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import {
  type ConfigName,
  configNames,
  configs,
  linkOf,
  packetObjects,
  packetTable,
  podAddress,
  type Target,
  targetAddress,
} from "../../contract/packets.ts";
import { labAddresses, labPodCidrs } from "../../support/rules-lab.ts";
import { fillStore, makeNode } from "../../support/rules-objects.ts";

const store = new SnapshotStore();
fillStore(store, packetObjects());

const kernelBackends = ["nftables", "iptables", "ipvs"] as const;
describe.each(kernelBackends.flatMap((backend) => configNames.map((config) => [backend, config] as const)))(
  "%s, %s",
  (backend, config: ConfigName) => {
    const program = compileOffline(store.current, { ...configs[config], nodeName: "a", backend });
    const cases = packetTable.filter((c) => (c.config ?? "default") === config);
    const all = cases.flatMap((c) =>
      ([4, 6] as const).flatMap((family) =>
        (["tcp", "udp", "sctp"] as const).map((protocol) => [`${c.name} (IPv${family}, ${protocol})`, c, family, protocol] as const),
      ),
    );
    test.each(all)("%s", (_, c, family, protocol) => {
      const target = targetAddress(c.to, family);
      const link = linkOf(c.from);
      const got = program.trace({
        from: labAddresses[c.from][family],
        to: target.ip,
        port: target.port,
        protocol,
        ...(link === undefined ? {} : { interface: link }),
      });
      const { want } = c;
      if (want.verdict !== "deliver") {
        expect(got.verdict).toBe(want.verdict);
        expect(got.endpoints).toEqual([]);
        return;
      }
      const endpoints = want.endpoints.map((pod) => (family === 4 ? `${podAddress(pod, 4)}:8080` : `[${podAddress(pod, 6)}]:8080`)).sort();
      expect(got).toMatchObject({ verdict: "deliver", endpoints, masquerade: want.masquerade });
      expect(got.steps.length).toBeGreaterThan(0);
    });
  },
);

describe("userspace", () => {
  const program = compileOffline(store.current, { nodeName: "a", backend: "userspace" });
  const cases = packetTable.filter((c) => (c.config ?? "default") === "default");
  const all = cases.flatMap((c) => ([4, 6] as const).map((family) => [`${c.name} (IPv${family})`, c, family] as const));
  test.each(all)("%s", (_, c, family) => {
    const target = targetAddress(c.to, family);
    const got = program.trace({ from: labAddresses[c.from][family], to: target.ip, port: target.port, protocol: "udp" });
    const { want } = c;
    expect(got.verdict).toBe(want.verdict);
    if (want.verdict !== "deliver") return;
    const endpoints = want.endpoints.map((pod) => (family === 4 ? `${podAddress(pod, 4)}:8080` : `[${podAddress(pod, 6)}]:8080`)).sort();
    // the endpoint always sees this machine: a listener's connection is its own
    expect(got).toMatchObject({ endpoints, masquerade: true });
  });

  const nodePorts = (options: Partial<OfflineOptions>, to: Target, family: 4 | 6): string => {
    const { ip, port } = targetAddress(to, family);
    const asked = compileOffline(several.current, { ...options, nodeName: "a", backend: "userspace" });
    return asked.trace({ from: labAddresses.client[family], to: ip, port, protocol: "tcp" }).verdict;
  };
  const first = { nodePort: "plain", at: "a" } as const;
  const second = { nodePort: "plain", at: "aSecond" } as const;
  // the node's Node names both of its addresses here
  const several = new SnapshotStore();
  fillStore(several, [
    ...packetObjects().filter((o) => o.kind !== "Node"),
    makeNode("a", [labAddresses.a[4], labAddresses.a[6], labAddresses.aSecond[4], labAddresses.aSecond[6]], labPodCidrs.a),
  ]);
  test.each([
    ["unset: every local address", {}, first, "deliver"],
    ["unset: every local address, not only the primary one", {}, second, "deliver"],
    ["unset, in plain mode: the primary address", { allowLoopback: true }, first, "deliver"],
    ["unset, in plain mode: no other address of the machine", { allowLoopback: true }, second, "pass"],
    ["all", { nodePortAddresses: "all" }, second, "deliver"],
    ["primary", { nodePortAddresses: "primary" }, second, "pass"],
    ["ranges that hold none of the addresses: nowhere", { nodePortAddresses: [{ ip: "192.0.2.0", bits: 24, family: 4 }] }, first, "pass"],
  ] as const)("node port addresses %s", (_, options, to, want) => {
    expect([nodePorts(options, to, 4), nodePorts(options, to, 6)]).toEqual([want, want]);
  });

  test("every local address is one listener a family and protocol; another machine's is none of them", () => {
    const { port } = targetAddress(first, 4);
    const asked = compileOffline(several.current, { nodeName: "a", backend: "userspace" });
    const { listeners } = JSON.parse(asked.text) as { listeners: readonly { ip: string; port: number; protocol: string }[] };
    expect(listeners.filter((l) => l.port === port).map((l) => `${l.ip} ${l.protocol}`)).toEqual([
      "0.0.0.0 tcp",
      "0.0.0.0 udp",
      ":: tcp",
      ":: udp",
    ]);
    expect(asked.trace({ from: labAddresses.client[4], to: labAddresses.b[4], port, protocol: "tcp" }).verdict).toBe("pass");
  });

  test("is printed as JSON, sorted", () => {
    const { listeners } = JSON.parse(program.text) as {
      listeners: readonly { ip: string; port: number; action: string; service: string }[];
    };
    expect(listeners.find((l) => l.service === "test/empty:t")?.action).toBe("refuse");
    expect(listeners.filter((l) => l.service === "test/plain:t").length).toBe(8);
  });
});

test("the cluster compiles without a problem but that one policy is not to be had", () => {
  const { problems } = compileOffline(store.current, { nodeName: "a", backend: "nftables" });
  expect(problems.map((p) => `${p.object.name} ${p.reason}`)).toEqual(["leastConnections BalanceUnsupported"]);
});
