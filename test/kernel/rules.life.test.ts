import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { createNetlinkApplier } from "../../rules/apply/netlink-applier.ts";
import type { Proxier } from "../../rules/index.ts";
import type { ProxierConfig } from "../../rules/sync/config.ts";
import { ProxierMetrics } from "../../rules/sync/metrics.ts";
import { NftablesTarget } from "../../rules/sync/nftables-target.ts";
import { runProxier } from "../../rules/sync/proxier.ts";
import { systemClock } from "../../src/base/clock.ts";
import { Conntrack } from "../../src/kernel/conntrack.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { inNetns } from "../support/in-netns.ts";
import { nftIn } from "../support/nft-in.ts";
import { lacking } from "../support/requires.ts";
import { labAddresses, labPodCidrs, RulesLab } from "../support/rules-lab.ts";
import { fillStore, makeNode, makeService, makeSlice, put } from "../support/rules-objects.ts";

let lab: RulesLab;
let store: SnapshotStore;
const running: Proxier[] = [];
const lack = lacking("ip", "nft", "conntrack");
beforeAll(async () => {
  if (lack === undefined) lab = await RulesLab.start("life");
});
afterAll(async () => {
  await lab?.close();
});
beforeEach((t) => t.skip(lack !== undefined, lack));
beforeEach(() => {
  store = new SnapshotStore();
  fillStore(store, [
    makeNode("a", [labAddresses.a[4], labAddresses.a[6]], labPodCidrs.a),
    makeService("web", { clusterIP: "10.96.0.20", ports }),
    makeService("sticky", {
      clusterIP: "10.96.0.21",
      sessionAffinity: "ClientIP",
      ports: ports.map((p) => ({ ...p, nodePort: 30021 })),
      type: "NodePort",
    }),
    slice("web", ["a1"]),
    slice("sticky", ["a1", "a2", "b1", "b2"]),
  ]);
});
afterEach(async () => {
  for (const proxier of running.splice(0)) await proxier.close();
  if (lack === undefined) lab.run("a", "nft", ["flush", "ruleset"]);
});

const ports = [
  { name: "t", port: 80, protocol: "TCP" },
  { name: "u", port: 80, protocol: "UDP" },
];
function slice(name: string, pods: readonly ("a1" | "a2" | "b1" | "b2")[]) {
  return makeSlice(
    name,
    pods.map((p) => ({ ip: labAddresses[p][4], node: p[0] ?? "" })),
    {
      ports: [
        { name: "t", protocol: "TCP", port: 8080 },
        { name: "u", protocol: "UDP", port: 8080 },
      ],
    },
  );
}

interface Started {
  readonly proxier: Proxier;
  /** Elements of each transaction. */
  readonly applied: readonly number[];
  readonly log: readonly string[];
}

async function start(more: Partial<ProxierConfig> = {}): Promise<Started> {
  const namespace = lab.namespace("a");
  const config: ProxierConfig = { store, nodeName: "a", backend: "nftables", ...more };
  const applier = inNetns(namespace, () => createNetlinkApplier(nftIn(namespace)));
  const applied: number[] = [];
  const log: string[] = [];
  const proxier = runProxier(
    config,
    { clock: systemClock, log: (_, message) => log.push(message), onApplied: (info) => applied.push(info.elements) },
    {
      target: new NftablesTarget({ families: [4, 6], tableName: "fairway", skeleton: {} }, applier),
      metrics: new ProxierMetrics(),
      flows: () => inNetns(namespace, () => new Conntrack()),
    },
  );
  running.push(proxier);
  await proxier.ready;
  return { proxier, applied, log };
}

const counter = (proxier: Proxier, name: string): number =>
  Number(new RegExp(`^${name}(?:{ip_family="IPv4"})? (.*)$`, "m").exec(proxier.metrics())?.[1]);

test("a restarted agent adopts what is there: nothing is rewritten, no connection ends, affinity is kept", async () => {
  const first = await start();
  const held = await lab.agents.a2.hold({ protocol: "tcp", host: "10.96.0.20", port: 80 });
  expect(held.said).toBe(`a1 ${labAddresses.a2[4]}`);
  const [before] = await lab.agents.client.probe({ protocol: "tcp", host: "10.96.0.21", port: 80 });
  await first.proxier.close();
  expect(await held.say()).toBe(`a1 ${labAddresses.a2[4]}`);

  const second = await start();
  expect(second.applied).toEqual([]);
  expect(await held.say()).toBe(`a1 ${labAddresses.a2[4]}`);
  expect(await lab.agents.client.probe({ protocol: "tcp", host: "10.96.0.21", port: 80, count: 8 })).toEqual(
    Array<string | undefined>(8).fill(before),
  );

  // what changed while it was away is all that is applied
  await second.proxier.close();
  put(store, "EndpointSlice", slice("web", ["b1"]), "2");
  const third = await start();
  expect(third.applied).toEqual([4]); // a slot out and in, for TCP and UDP
  expect(await held.say()).toBe(`a1 ${labAddresses.a2[4]}`);
  expect(await lab.agents.a2.probe({ protocol: "tcp", host: "10.96.0.20", port: 80 })).toEqual([`b1 ${labAddresses.a2[4]}`]);
});

test("a foreign flush is noticed and repaired", async () => {
  const { proxier, log } = await start();
  const held = await lab.agents.a2.hold({ protocol: "tcp", host: "10.96.0.20", port: 80 });
  lab.run("a", "nft", ["flush", "ruleset"]);
  await expect.poll(() => counter(proxier, "fairway_rules_repairs_total")).toBe(1);
  expect(await lab.agents.a2.probe({ protocol: "tcp", host: "10.96.0.20", port: 80 })).toEqual([`a1 ${labAddresses.a2[4]}`]);
  expect(await held.say()).toBe(`a1 ${labAddresses.a2[4]}`);
  expect(log.filter((l) => l.includes("repaired")).length).toBe(1);
});

test("a foreign rule in our table, an element taken out and one put in are repaired", async () => {
  const { proxier } = await start();
  const before = lab.run("a", "nft", ["-s", "list", "table", "ip", "fairway"]);
  lab.run("a", "nft", ["insert", "rule", "ip", "fairway", "services", "accept"]);
  await expect.poll(() => counter(proxier, "fairway_rules_repairs_total")).toBe(1);
  lab.run("a", "nft", [
    "delete element ip fairway service-ips { 10.96.0.20 . tcp . 80 } ; add element ip fairway cluster-ips { 10.96.7.7 }",
  ]);
  await expect.poll(() => counter(proxier, "fairway_rules_repairs_total")).toBe(2);
  const lines = (text: string): readonly string[] =>
    text
      .split(/[\n,]/)
      .map((l) => l.replace(/elements = \{|\}/g, "").trim())
      .sort();
  expect(lines(lab.run("a", "nft", ["-s", "list", "table", "ip", "fairway"]))).toEqual(lines(before));
});

test("a UDP client that goes on sending moves when its endpoint is gone; a TCP connection is never cut", async () => {
  const { proxier, applied } = await start();
  const udp = await lab.agents.a2.hold({ protocol: "udp", host: "10.96.0.20", port: 80 });
  const tcp = await lab.agents.a2.hold({ protocol: "tcp", host: "10.96.0.20", port: 80 });
  expect(await udp.say()).toBe(`a1 ${labAddresses.a2[4]}`);
  const before = applied.length;
  put(store, "EndpointSlice", slice("web", ["b1"]), "2");
  await expect.poll(() => applied.length).toBe(before + 1);
  await expect.poll(() => udp.say()).toBe(`b1 ${labAddresses.a2[4]}`);
  expect(await tcp.say()).toBe(`a1 ${labAddresses.a2[4]}`);
  expect(counter(proxier, "kubeproxy_conntrack_reconciler_deleted_entries_total")).toBe(1);
});

test("affinity: a client keeps its endpoint when others come and go, moves when it is gone, and stays there", async () => {
  const { applied } = await start();
  const ask = async (): Promise<string> => {
    const said = await lab.agents.client.probe({ protocol: "tcp", host: "10.96.0.21", port: 80, count: 8 });
    expect(new Set(said).size).toBe(1);
    // whichever address it comes by
    expect(await lab.agents.client.probe({ protocol: "tcp", host: labAddresses.a[4], port: 30021, count: 3 })).toEqual(said.slice(0, 3));
    return said[0]?.split(" ")[0] ?? "";
  };
  const apply = async (pods: readonly ("a1" | "a2" | "b1" | "b2")[], version: string): Promise<void> => {
    const before = applied.length;
    put(store, "EndpointSlice", slice("sticky", pods), version);
    await expect.poll(() => applied.length).toBe(before + 1);
  };
  const all = ["a1", "a2", "b1", "b2"] as const;
  const mine = await ask();
  const others = all.filter((p) => p !== mine);
  await apply(
    all.filter((p) => p !== others[0]),
    "2",
  );
  expect(await ask()).toBe(mine);
  await apply(others, "3");
  const next = await ask();
  expect(others).toContain(next);
  await apply(all, "4");
  expect(await ask()).toBe(next);
});

test("an address that this node serves itself is neither tracked nor translated", async () => {
  lab.run("a", "ip", ["addr", "add", "10.96.0.10/32", "dev", "lo"]);
  await lab.agents.a.ask({ do: "serve", name: "dns", host: "10.96.0.10", port: 53 });
  put(store, "Service", makeService("kube-dns", { clusterIP: "10.96.0.10", ports: [{ port: 53, protocol: "UDP" }] }), "5");
  const { proxier } = await start({ localDnsIps: ["10.96.0.10"] });
  lab.run("a", "conntrack", ["-F"]);
  expect(await lab.agents.a2.probe({ protocol: "udp", host: "10.96.0.10", port: 53 })).toEqual([`dns ${labAddresses.a2[4]}`]);
  expect(await lab.agents.a2.probe({ protocol: "tcp", host: "10.96.0.10", port: 53 })).toEqual([`dns ${labAddresses.a2[4]}`]);
  expect((await lab.agents.a.probe({ protocol: "udp", host: "10.96.0.10", port: 53 }))[0]).toMatch(/^dns /);
  expect(lab.run("a", "conntrack", ["-L"])).not.toContain("10.96.0.10");
  expect(proxier.trace({ from: labAddresses.a2[4], to: "10.96.0.10", port: 53, protocol: "udp" })).toMatchObject({ verdict: "pass" });
});

test("one changed endpoint is a few elements, whatever else there is", async () => {
  for (let i = 0; i < 200; i++) {
    put(store, "Service", makeService(`s${i}`, { clusterIP: `10.96.1.${i}`, ports }));
    put(store, "EndpointSlice", slice(`s${i}`, ["a1", "b1"]));
  }
  const { applied } = await start();
  put(store, "EndpointSlice", slice("s7", ["a1", "b2"]), "2");
  await expect.poll(() => applied.length).toBe(2);
  expect(applied[1]).toBe(4);
});

test("cleanup removes our tables and nothing else", async () => {
  const { proxier } = await start();
  await proxier.close();
  lab.run("a", "nft", ["add table ip other ; add chain ip other c"]);
  const applier = inNetns(lab.namespace("a"), () => createNetlinkApplier(nftIn(lab.namespace("a"))));
  try {
    for (const family of [4, 6] as const) await applier.remove(family, "fairway", AbortSignal.timeout(120_000));
  } finally {
    await applier.close();
  }
  expect(lab.run("a", "nft", ["list", "tables"]).trim()).toBe("table ip other");
});
