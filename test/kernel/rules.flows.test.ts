import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createIptablesApplier } from "../../rules/apply/iptables-applier.ts";
import type { Proxier } from "../../rules/index.ts";
import { setConntrack } from "../../rules/sync/conntrack-settings.ts";
import { Conntrack } from "../../src/kernel/conntrack.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { inNetns } from "../support/in-netns.ts";
import { iptablesIn } from "../support/iptables-in.ts";
import { lacking } from "../support/requires.ts";
import { labAddresses, labPodCidrs, RulesLab } from "../support/rules-lab.ts";
import { fillStore, makeNode, makeService, makeSlice, put } from "../support/rules-objects.ts";
import { counter, startRules } from "../support/rules-start.ts";

let lab: RulesLab;
const running: Proxier[] = [];
const lack = lacking("ip", "nft", "conntrack", "iptables");
beforeAll(async () => {
  if (lack === undefined) lab = await RulesLab.start("drain");
});
afterAll(async () => {
  await lab?.close();
});
beforeEach((t) => t.skip(lack !== undefined, lack));
afterEach(async () => {
  for (const proxier of running.splice(0)) await proxier.close();
  if (lack !== undefined) return;
  for (const make of ["legacy", "nft"] as const) {
    for (const family of [4, 6] as const) {
      await createIptablesApplier(make, iptablesIn(lab.namespace("a"))).remove(family, AbortSignal.timeout(120_000));
    }
  }
  lab.run("a", "nft", ["flush", "ruleset"]);
  lab.run("a", "conntrack", ["-F"]);
  lab.run("a", "sysctl", ["-q", "-w", "net.netfilter.nf_conntrack_tcp_loose=1"]);
});

type PodName = "a1" | "b1" | "b2";
type State = "ready" | "ending" | "gone";
const address = { 4: "10.96.0.21", 6: "fd96::21" } as const;
const ports = [
  { name: "t", port: 80, protocol: "TCP" },
  { name: "u", port: 80, protocol: "UDP" },
];

function slices(states: Readonly<Partial<Record<PodName, State>>>) {
  return ([4, 6] as const).map((family) => {
    const endpoints = Object.entries(states).map(([pod, state]) => ({
      ip: labAddresses[pod as PodName][family],
      node: pod[0] ?? "",
      terminating: state !== "ready",
      serving: state !== "gone",
    }));
    return makeSlice("web", endpoints, { ports: ports.map((p) => ({ ...p, port: 8080 })) });
  });
}

describe.each(["nftables", "iptables-legacy", "iptables-nft"] as const)("%s", (backend) => {
  test.each([4, 6] as const)(
    "an endpoint that ends takes no new connection, a remembered client's neither, and keeps what it has (IPv%i)",
    async (family) => {
      const store = new SnapshotStore();
      const sticky = { sessionAffinity: "ClientIP", clusterIP: address[4], clusterIPs: [address[4], address[6]], type: "NodePort" };
      fillStore(store, [
        makeNode("a", [labAddresses.a[4], labAddresses.a[6]], labPodCidrs.a),
        makeService("web", { ...sticky, ports: ports.map((p) => ({ ...p, nodePort: 30021 })) }),
        ...slices({ a1: "ready", b1: "ready", b2: "ready" }),
      ]);
      const { proxier, log } = await startRules(lab.namespace("a"), store, backend, { nodePortAddresses: "primary" });
      running.push(proxier);
      let version = 1;
      const become = async (states: Parameters<typeof slices>[0]): Promise<void> => {
        const seen = (): number => counter(proxier, "kubeproxy_sync_proxy_rules_endpoint_changes_total");
        const pending = (): number => counter(proxier, "kubeproxy_sync_proxy_rules_endpoint_changes_pending");
        const before = seen();
        for (const slice of slices(states)) put(store, "EndpointSlice", slice, String(++version));
        await expect.poll(() => [seen() - before, pending()]).toEqual([2, 0]);
      };
      const web = { host: address[family], port: 80 };
      const asked = async (protocol: "tcp" | "udp"): Promise<PodName> => {
        const [client, nodePort] = [lab.agents.client, { host: labAddresses.a[family], port: 30021 }];
        const said = [
          ...(await client.probe({ protocol, ...web, count: 6 })),
          ...(await client.probe({ protocol, ...nodePort, count: 3 })),
        ];
        expect(new Set(said.map((s) => s.split(" ")[0])).size).toBe(1);
        return said[0]?.split(" ")[0] as PodName;
      };
      // a client by its address and Service port: this one is remembered by both
      const held = await lab.agents.client.hold({ protocol: "tcp", ...web });
      const flow = await lab.agents.client.hold({ protocol: "udp", ...web });
      const mine = (await held.say()).split(" ")[0] as PodName;
      const udpMine = (await flow.say()).split(" ")[0] as PodName;
      expect([await asked("tcp"), await asked("udp")]).toEqual([mine, udpMine]);

      const all = { a1: "ready", b1: "ready", b2: "ready" } as const;
      await become({ ...all, [mine]: "ending", [udpMine]: "ending" });
      const next = await asked("tcp");
      expect([mine, udpMine]).not.toContain(next);
      expect([mine, udpMine]).not.toContain(await asked("udp"));
      expect((await held.say()).split(" ")[0]).toBe(mine);
      expect((await flow.say()).split(" ")[0]).toBe(udpMine);

      // ready again, it does not take them back
      await become(all);
      expect(await asked("tcp")).toBe(next);

      // nobody else is left: it serves, rather than nothing
      await become({ [mine]: "ending" });
      expect([await asked("tcp"), await asked("udp")]).toEqual([mine, mine]);
      expect((await held.say()).split(" ")[0]).toBe(mine);

      // gone for good: the UDP client goes on, the TCP connection is never cut
      const other = mine === "a1" ? "b1" : "a1";
      await become({ [mine]: "gone", [other]: "ready" });
      await expect.poll(async () => (await flow.say()).split(" ")[0]).toBe(other);
      expect([await asked("tcp"), await asked("udp")]).toEqual([other, other]);
      expect((await held.say()).split(" ")[0]).toBe(mine);
      await held.release();
      await flow.release();
      expect(log.filter((l) => !l.includes("session affinity"))).toEqual([]);
    },
  );
});

describe.each(["nftables", "iptables-legacy", "iptables-nft"] as const)("%s", (backend) => {
  test.each([
    ["dropped", {}],
    ["forwarded where TCP is tracked liberally", { conntrack: { tcpBeLiberal: true } }],
  ] as const)("what fits no connection is %s", async (fate, options) => {
    const store = new SnapshotStore();
    fillStore(store, [makeNode("a", [labAddresses.a[4], labAddresses.a[6]], labPodCidrs.a)]);
    const { proxier } = await startRules(lab.namespace("a"), store, backend, options);
    running.push(proxier);
    lab.run("a", "sysctl", ["-q", "-w", "net.netfilter.nf_conntrack_tcp_loose=0"]);
    for (const family of [4, 6] as const) {
      const request = { do: "hold", protocol: "tcp", host: labAddresses.b1[family], port: 8080 };
      const { hold } = (await lab.agents.a2.ask(request)) as { readonly hold: number };
      const say = (timeoutMs: number): Promise<unknown> => lab.agents.a2.ask({ do: "say", hold, timeoutMs });
      expect(await say(15_000)).toBe(`b1 ${labAddresses.a2[family]}`);
      // what comes now belongs to no connection that is known, and, since it does not begin one, to none
      lab.run("a", "conntrack", ["-F"]);
      expect(await say(fate === "dropped" ? 400 : 15_000)).toBe(fate === "dropped" ? "silent" : `b1 ${labAddresses.a2[family]}`);
      await lab.agents.a2.ask({ do: "release", hold });
    }
  });
});

describe.each(["nftables", "iptables-legacy", "iptables-nft"] as const)("%s", (backend) => {
  test("a Service that is left to another proxy and comes back; slices that become a headless Service's and come back", async () => {
    const store = new SnapshotStore();
    const service = makeService("web", { clusterIP: address[4], ports });
    const [slice] = slices({ b1: "ready" });
    if (slice === undefined) throw new Error("no slice");
    fillStore(store, [makeNode("a", [labAddresses.a[4]], labPodCidrs.a), service, slice]);
    const { proxier, applied } = await startRules(lab.namespace("a"), store, backend);
    running.push(proxier);
    const { metadata } = service;
    const left = { ...service, metadata: { ...metadata, labels: { "service.kubernetes.io/service-proxy-name": "other" } } };
    const labels = { ...slice.metadata?.labels, "service.kubernetes.io/headless": "" };
    const headless = { ...slice, metadata: { ...slice.metadata, labels } };
    const ask = async (): Promise<string | undefined> =>
      (await lab.agents.a2.probe({ protocol: "tcp", host: address[4], port: 80, timeoutMs: 15_000 }))[0];
    let version = 1;
    const change = async (apply: (version: string) => void): Promise<void> => {
      const before = applied.length;
      apply(String(++version));
      await expect.poll(() => applied.length).toBe(before + 1);
    };
    const served = `b1 ${labAddresses.a2[4]}`;
    expect(await ask()).toBe(served);
    await change((v) => put(store, "EndpointSlice", headless, v));
    expect(await ask()).toBe("reject");
    await change((v) => put(store, "EndpointSlice", slice, v));
    expect(await ask()).toBe(served);
    await change((v) => put(store, "Service", left, v));
    expect(proxier.trace({ from: labAddresses.a2[4], to: address[4], port: 80, protocol: "tcp" }).verdict).toBe("pass");
    await change((v) => put(store, "Service", service, v));
    expect(await ask()).toBe(served);
  });
});

test("settings of connection tracking are made in the namespace; those of the machine stay, and that is told", () => {
  const log: string[] = [];
  const options = { tcpEstablishedTimeoutSeconds: 4321, udpStreamTimeoutSeconds: 77, maxPerCore: 1234 };
  inNetns(lab.namespace("b"), () => setConntrack(options, 1, { log: (level, message) => log.push(`${level} ${message}`) }));
  const now = (name: string): string => lab.run("b", "sysctl", ["-n", `net.netfilter.nf_conntrack_${name}`]).trim();
  expect([now("tcp_timeout_established"), now("udp_timeout_stream")]).toEqual(["4321", "77"]);
  expect(now("max")).not.toBe("1234");
  expect(log.at(-1)).toMatch(/^warn connection tracking is not as configured: net.netfilter.nf_conntrack_max stays \d+, not 1234 \(.*\)$/);
});

test("before the table of connections is full it is told by which Service, and when it has room again", async () => {
  const store = new SnapshotStore();
  fillStore(store, [
    makeNode("a", [labAddresses.a[4]], labPodCidrs.a),
    makeService("web", { clusterIP: address[4], ports }),
    ...slices({ b1: "ready" }),
  ]);
  const namespace = lab.namespace("a");
  const table = inNetns(namespace, () => new Conntrack());
  // what is made stays, however slow this machine is
  const lasting = ["tcp_timeout_time_wait", "tcp_timeout_close", "udp_timeout"].map((name) => `net.netfilter.nf_conntrack_${name}=600`);
  lab.run("a", "sysctl", ["-q", "-w", ...lasting]);
  // the limit is the machine's, and not to be set here; what is in the table is real
  const limit = 50;
  const { proxier, events } = await startRules(namespace, store, "nftables", {
    connections: () => ({
      size: () => ({ entries: inNetns(namespace, () => table.size())?.entries ?? Number.NaN, limit }),
      connections: () => table.connections(),
      close: () => table.close(),
    }),
  });
  running.push(proxier);
  lab.run("a", "conntrack", ["-F"]);
  const alarms = (): readonly string[] => proxier.problems().flatMap((p) => (p.reason === "ConntrackNearlyFull" ? [p.message] : []));
  await lab.agents.a2.probe({ protocol: "udp", host: address[4], port: 80, count: 30 });
  await expect.poll(() => proxier.connections()?.entries).toBeGreaterThanOrEqual(30);
  expect(alarms()).toEqual([]);
  await lab.agents.a2.probe({ protocol: "tcp", host: address[4], port: 80, count: 60 });
  await expect
    .poll(alarms)
    .toEqual([expect.stringMatching(/^connection tracking held \d+ of 50 entries; most are of test\/web:t \(\d+\)/)]);
  expect(proxier.metrics()).toMatch(/^fairway_service_connections\{service="test\/web:t"\} [6-9]\d$/m);
  lab.run("a", "conntrack", ["-F"]);
  await expect.poll(alarms).toEqual([]);
  expect(events).toEqual(["ConntrackRelieved"]);
});

test("flows of one address are told by the kernel, at either end", async () => {
  const flows = inNetns(lab.namespace("a"), () => new Conntrack());
  try {
    // flows between pods of two nodes, through this one, which tracks them where a rule asks for it
    lab.run("a", "nft", [
      "add table inet track ; add chain inet track c { type filter hook forward priority 0 ; } ; add rule inet track c ct state new",
    ]);
    for (const to of ["b1", "b2"] as const) {
      for (const family of [4, 6] as const) await lab.agents.a1.probe({ protocol: "udp", host: labAddresses[to][family], port: 8080 });
      await lab.agents.a1.probe({ protocol: "tcp", host: labAddresses[to][4], port: 8080 });
    }
    const counted = [...flows.connections()].flat().filter((c) => c.toPort === 8080);
    const ips = (["b1", "b2"] as const).flatMap((pod) => [labAddresses[pod][4], labAddresses[pod][6]]);
    for (const to of ips) expect(counted).toContainEqual({ protocol: 17, to, toPort: 8080 });
    expect(counted).toContainEqual({ protocol: 6, to: labAddresses.b2[4], toPort: 8080 });
    for (const family of [4, 6] as const) {
      const [one, two] = [labAddresses.b1[family], labAddresses.b2[family]];
      const ends = (part?: Parameters<Conntrack["udpFlows"]>[1]): readonly string[] =>
        flows.udpFlows(family, part).map((f) => `${f.to} ${f.answers}`);
      expect(ends().toSorted()).toEqual([`${one} ${one}`, `${two} ${two}`]);
      expect(ends({ end: "to", ip: one })).toEqual([`${one} ${one}`]);
      expect(ends({ end: "answers", ip: two })).toEqual([`${two} ${two}`]);
      expect(ends({ end: "answers", ip: labAddresses.a2[family] })).toEqual([]);
      expect(flows.delete(flows.udpFlows(family, { end: "answers", ip: two }))).toBe(1);
      expect(ends()).toEqual([`${one} ${one}`]);
    }
  } finally {
    flows.close();
  }
});
