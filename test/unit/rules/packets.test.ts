import { describe, expect, test } from "vitest";
import { compileOffline } from "../../../rules/index.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { type ConfigName, configs, packetObjects, packetTable, podAddress, targetAddress } from "../../contract/packets.ts";
import { labAddresses } from "../../support/rules-lab.ts";
import { fillStore } from "../../support/rules-objects.ts";

const store = new SnapshotStore();
fillStore(store, packetObjects());

describe.each(["default", "masqueradeAll", "allNodePortAddresses", "noDetector", "twoNodePortAddresses"] as const)(
  "nftables, %s",
  (config: ConfigName) => {
    const program = compileOffline(store.current, { ...configs[config], nodeName: "a", backend: "nftables" });
    const cases = packetTable.filter((c) => (c.config ?? "default") === config);
    const all = cases.flatMap((c) =>
      ([4, 6] as const).flatMap((family) =>
        (["tcp", "udp"] as const).map((protocol) => [`${c.name} (IPv${family}, ${protocol})`, c, family, protocol] as const),
      ),
    );
    test.each(all)("%s", (_, c, family, protocol) => {
      const target = targetAddress(c.to, family);
      const got = program.trace({ from: labAddresses[c.from][family], to: target.ip, port: target.port, protocol });
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

  test("is printed as JSON, sorted", () => {
    const { listeners } = JSON.parse(program.text) as {
      listeners: readonly { ip: string; port: number; action: string; service: string }[];
    };
    expect(listeners.find((l) => l.service === "test/empty:t")?.action).toBe("refuse");
    expect(listeners.filter((l) => l.service === "test/plain:t").length).toBe(8);
  });
});

test("the cluster compiles without problems", () => {
  expect(compileOffline(store.current, { nodeName: "a", backend: "nftables" }).problems).toEqual([]);
});
