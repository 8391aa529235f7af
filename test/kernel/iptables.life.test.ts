import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createIptablesApplier, removeAllOf } from "../../rules/apply/iptables-applier.ts";
import { findIptablesMake } from "../../rules/apply/iptables-make.ts";
import type { Proxier } from "../../rules/index.ts";
import { Accounting, removeCounters } from "../../src/kernel/accounting.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { inNetns } from "../support/in-netns.ts";
import { iptablesIn } from "../support/iptables-in.ts";
import { lacking } from "../support/requires.ts";
import { labAddresses, labPodCidrs, RulesLab } from "../support/rules-lab.ts";
import { fillStore, makeNode, makeService, makeSlice, put } from "../support/rules-objects.ts";
import { counter, type KernelBackend, type StartedRules, startRules } from "../support/rules-start.ts";

let lab: RulesLab;
let store: SnapshotStore;
const running: Proxier[] = [];
const lack = lacking("ip", "nft", "conntrack", "iptables");
const signal = (): AbortSignal => AbortSignal.timeout(120_000);
beforeAll(async () => {
  if (lack === undefined) lab = await RulesLab.start("ipt");
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
  if (lack !== undefined) return;
  for (const make of ["legacy", "nft"] as const) {
    for (const family of [4, 6] as const) await createIptablesApplier(make, iptablesIn(lab.namespace("a"))).remove(family, signal());
  }
  lab.run("a", "nft", ["flush", "ruleset"]);
  lab.run("a", "conntrack", ["-F"]);
});

const ports = [
  { name: "t", port: 80, protocol: "TCP" },
  { name: "u", port: 80, protocol: "UDP" },
];
type PodName = "a1" | "a2" | "b1" | "b2";
function slice(name: string, pods: readonly PodName[]) {
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

const web = { protocol: "tcp", host: "10.96.0.20", port: 80 } as const;
const seenBy = labAddresses.a2[4];

describe.each(["legacy", "nft"] as const)("iptables, the %s make", (make) => {
  const start = async (more: Parameters<typeof startRules>[3] = {}, backend: KernelBackend = `iptables-${make}`): Promise<StartedRules> => {
    const started = await startRules(lab.namespace("a"), store, backend, more);
    running.push(started.proxier);
    return started;
  };
  // one lock for the legacy tables of all namespaces: whoever does not wait for it may be refused
  const iptables = (...args: readonly string[]): string => lab.run("a", `iptables-${make}`, ["-w", "60", ...args]);
  const save = (): readonly string[] =>
    lab
      .run("a", `iptables-${make}-save`, [])
      .split("\n")
      .filter((l) => !l.startsWith("#") && !l.startsWith(":"));

  test("a restarted agent adopts what is there and applies what changed; connections and affinity stay", async () => {
    const first = await start();
    const held = await lab.agents.a2.hold(web);
    expect(held.said).toBe(`a1 ${seenBy}`);
    const [before] = await lab.agents.client.probe({ protocol: "tcp", host: "10.96.0.21", port: 80 });
    await first.proxier.close();

    const second = await start();
    expect(second.applied).toEqual([]);
    expect(await held.say()).toBe(`a1 ${seenBy}`);
    expect(await lab.agents.client.probe({ protocol: "tcp", host: "10.96.0.21", port: 80, count: 8 })).toEqual(
      Array<string | undefined>(8).fill(before),
    );
    await second.proxier.close();

    put(store, "EndpointSlice", slice("web", ["b1"]), "2");
    const third = await start();
    // a rule for TCP and UDP, and no longer the one for a pod that reaches itself by this Service (another has it still)
    expect(third.applied).toEqual([2]);
    expect(await held.say()).toBe(`a1 ${seenBy}`);
    expect(await lab.agents.a2.probe(web)).toEqual([`b1 ${seenBy}`]);
  });

  test("a start over rules of which the kernel refuses some: no connection of the others misses anything", async () => {
    const first = await start();
    const held = await lab.agents.a2.stream({ kind: "held", ...web });
    const fresh = await lab.agents.client.stream({ kind: "fresh", ...web });
    await first.proxier.close();
    for (const n of [61, 62, 63]) {
      put(store, "Service", makeService(`new${n}`, { clusterIP: `10.96.0.${n}`, ports: [{ name: "t", port: 80, protocol: "TCP" }] }), "2");
      put(store, "EndpointSlice", slice(`new${n}`, ["b1"]), "2");
    }
    const { proxier } = await start({ doors: { refuses: (ip) => ip === "10.96.0.62" } });
    expect(proxier.problems().map((p) => [p.object.name, p.reason])).toEqual([["new62", "RuleRefused"]]);
    const ask = (host: string): Promise<readonly string[]> => lab.agents.a2.probe({ ...web, host });
    expect([await ask("10.96.0.61"), await ask("10.96.0.63"), await ask(web.host)].flat()).toEqual([
      ...Array<string>(2).fill(`b1 ${seenBy}`),
      `a1 ${seenBy}`,
    ]);
    for (const stream of [held, fresh]) expect(await stream.end()).toMatchObject({ faults: [] });
  });

  test("leftovers of an older start, foreign rules in our chains and jumps in the wrong place are put right", async () => {
    const first = await start();
    const before = save();
    await first.proxier.close();
    iptables("-t", "nat", "-N", "FAIRWAY-P-OLD");
    iptables("-t", "nat", "-A", "FAIRWAY-P-OLD", "-p", "tcp", "-j", "DNAT", "--to-destination", "192.0.2.9:1");
    iptables("-t", "nat", "-I", "FAIRWAY-SERVICES", "-s", "192.0.2.7", "-m", "ttl", "--ttl-eq", "7", "-j", "FAIRWAY-P-OLD");
    iptables("-t", "nat", "-A", "PREROUTING", "-j", "FAIRWAY-SERVICES");
    iptables("-t", "nat", "-A", "INPUT", "-j", "FAIRWAY-CANARY");
    iptables("-t", "filter", "-D", "FORWARD", "-j", "FAIRWAY-FORWARD");
    iptables("-t", "nat", "-N", "KUBE-SERVICES");
    iptables("-t", "nat", "-I", "OUTPUT", "-m", "comment", "--comment", "kubernetes service portals", "-j", "KUBE-SERVICES");
    const second = await start();
    expect(second.applied.length).toBe(1);
    const jump = '-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES';
    const after = save();
    expect(after.indexOf("-A OUTPUT -j FAIRWAY-SERVICES")).toBeLessThan(after.indexOf(jump));
    expect(after.filter((l) => l !== jump)).toEqual(before);
    iptables("-t", "nat", "-F", "OUTPUT");
  });

  test.each(["the kernel's word", "the canaries"])("a foreign flush is noticed by %s, and repaired", async (by) => {
    const { proxier, log } = await start({ eyes: by !== "the canaries", canaryIntervalMs: 50 });
    const before = save();
    const held = await lab.agents.a2.hold(web);
    iptables("-t", "nat", "-F");
    iptables("-t", "nat", "-X");
    await expect.poll(() => counter(proxier, "fairway_rules_repairs_total"), { timeout: 30_000 }).toBe(1);
    expect(save()).toEqual(before);
    expect(await lab.agents.a2.probe(web)).toEqual([`a1 ${seenBy}`]);
    expect(await held.say()).toBe(`a1 ${seenBy}`);
    expect(log.filter((l) => l.includes("repaired")).length).toBe(1);
  });

  test("a single rule taken out or put in is noticed at once; the audit finds one that was changed", async () => {
    const { proxier } = await start({ auditIntervalMs: 0 });
    const before = save();
    iptables("-t", "nat", "-D", "FAIRWAY-SERVICES", "1");
    await expect.poll(() => counter(proxier, "fairway_rules_repairs_total"), { timeout: 30_000 }).toBe(1);
    iptables("-t", "filter", "-I", "FAIRWAY-REFUSALS", "-j", "DROP");
    await expect.poll(() => counter(proxier, "fairway_rules_repairs_total"), { timeout: 30_000 }).toBe(2);
    expect(save()).toEqual(before);
    await proxier.close();
    const { proxier: second } = await start({ eyes: false, auditIntervalMs: 100 });
    iptables("-t", "nat", "-R", "FAIRWAY-POSTROUTING", "4", "-j", "ACCEPT");
    await expect.poll(() => counter(second, "fairway_rules_repairs_total"), { timeout: 30_000 }).toBe(1);
    expect(save()).toEqual(before);
  });

  test("what others do while a change of ours is written is noticed and repaired", async () => {
    const run = iptablesIn(lab.namespace("a"));
    let meanwhile: (() => void) | undefined;
    const { proxier, applied } = await start({
      auditIntervalMs: 0,
      runIptables: async (program, args, input, stop) => {
        const result = await run(program, args, input, stop);
        // the last table's rules are in, and the program has not ended
        if (program.endsWith("-restore") && input.includes("10.244.7.")) meanwhile?.();
        return result;
      },
    });
    const before = save();
    const repairs = (): number => counter(proxier, "fairway_rules_repairs_total");
    for (const [i, act] of [
      () => iptables("-t", "nat", "-D", "FAIRWAY-SERVICES", "1"),
      () => iptables("-t", "filter", "-I", "FAIRWAY-REFUSALS", "-j", "DROP"),
    ].entries()) {
      const done = applied.length;
      meanwhile = act;
      put(store, "EndpointSlice", { ...slice("web", ["a1"]), endpoints: [{ addresses: [`10.244.7.${i + 1}`] }] }, `${i}-2`);
      await expect.poll(() => applied.length, { timeout: 30_000 }).toBe(done + 1);
      await expect.poll(repairs, { timeout: 30_000 }).toBe(i + 1);
    }
    meanwhile = undefined;
    put(store, "EndpointSlice", slice("web", ["a1"]), "5");
    await expect.poll(save, { timeout: 30_000 }).toEqual(before);
    expect(repairs()).toBe(2);
  });

  test("what others do in chains of their own is no change of ours", async () => {
    const { proxier } = await start({ auditIntervalMs: 0 });
    iptables("-t", "nat", "-N", "OTHER");
    iptables("-t", "nat", "-A", "OTHER", "-j", "RETURN");
    await expect.poll(() => counter(proxier, "fairway_rules_audits_total"), { timeout: 30_000 }).toBeGreaterThan(0);
    expect(counter(proxier, "fairway_rules_repairs_total")).toBe(0);
    iptables("-t", "nat", "-F", "OTHER");
    iptables("-t", "nat", "-X", "OTHER");
  });

  test("a UDP client that goes on sending moves when its endpoint is gone; a TCP connection is never cut", async () => {
    const { proxier, applied } = await start();
    const udp = await lab.agents.a2.hold({ ...web, protocol: "udp" });
    const tcp = await lab.agents.a2.hold(web);
    expect(await udp.say()).toBe(`a1 ${seenBy}`);
    put(store, "EndpointSlice", slice("web", ["b1"]), "2");
    await expect.poll(() => applied.length, { timeout: 30_000 }).toBe(2);
    await expect.poll(() => udp.say()).toBe(`b1 ${seenBy}`);
    expect(await tcp.say()).toBe(`a1 ${seenBy}`);
    expect(counter(proxier, "kubeproxy_conntrack_reconciler_deleted_entries_total")).toBe(1);
  });

  test("affinity: a client keeps its endpoint when others come and go, moves when it is gone, by any address", async () => {
    const { applied } = await start();
    const ask = async (): Promise<string> => {
      const said = await lab.agents.client.probe({ protocol: "tcp", host: "10.96.0.21", port: 80, count: 8 });
      expect(new Set(said).size).toBe(1);
      expect(await lab.agents.client.probe({ protocol: "tcp", host: labAddresses.a[4], port: 30021, count: 3 })).toEqual(said.slice(0, 3));
      return said[0]?.split(" ")[0] ?? "";
    };
    const apply = async (pods: readonly PodName[], version: string): Promise<void> => {
      const before = applied.length;
      put(store, "EndpointSlice", slice("sticky", pods), version);
      await expect.poll(() => applied.length, { timeout: 30_000 }).toBe(before + 1);
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
    expect(others).toContain(await ask());
  });

  test("an address that this node serves itself is neither tracked nor translated", async () => {
    lab.run("a", "ip", ["addr", "add", "10.96.0.10/32", "dev", "lo"]);
    try {
      await lab.agents.a.ask({ do: "serve", name: `dns-${make}`, host: "10.96.0.10", port: make === "nft" ? 53 : 54 });
      const port = make === "nft" ? 53 : 54;
      put(store, "Service", makeService("kube-dns", { clusterIP: "10.96.0.10", ports: [{ port, protocol: "UDP" }] }), "5");
      await start({ localDnsIps: ["10.96.0.10"] });
      lab.run("a", "conntrack", ["-F"]);
      for (const protocol of ["udp", "tcp"] as const) {
        expect(await lab.agents.a2.probe({ protocol, host: "10.96.0.10", port })).toEqual([`dns-${make} ${seenBy}`]);
      }
      expect(lab.run("a", "conntrack", ["-L"])).not.toContain("10.96.0.10");
    } finally {
      lab.run("a", "ip", ["addr", "del", "10.96.0.10/32", "dev", "lo"]);
    }
  });

  test("packets that are dropped as INVALID, and connections to node ports on localhost, are counted over restarts", async (t) => {
    const counters = (): Accounting => inNetns(lab.namespace("a"), () => new Accounting());
    const invalid = "kubeproxy_iptables_ct_state_invalid_dropped_packets_total";
    const localhost = "kubeproxy_iptables_localhost_nodeports_accepted_packets_total";
    // a first packet that ends a connection nobody knows
    const odd = [
      "add table ip odd",
      "add chain ip odd out { type filter hook output priority 0; }",
      `add rule ip odd out ip daddr ${labAddresses.a1[4]} tcp flags set rst`,
    ];
    lab.run("b1", "nft", [odd.join("; ")]);
    lab.run("a", "sysctl", ["-q", "-w", "net.ipv4.conf.all.route_localnet=1"]);
    try {
      const first = await start({ counters: counters(), noteUncounted: (why) => t.skip(why) });
      expect([invalid, localhost].map((name) => counter(first.proxier, name))).toEqual([0, 0]);
      await lab.agents.b1.probe({ protocol: "tcp", host: labAddresses.a1[4], port: 8080, timeoutMs: 400 });
      const dropped = counter(first.proxier, invalid);
      expect(dropped).toBeGreaterThan(0);
      await lab.agents.a.probe({ protocol: "tcp", host: "127.0.0.1", port: 30021, count: 3 });
      await lab.agents.client.probe({ protocol: "tcp", host: labAddresses.a[4], port: 30021 });
      expect(counter(first.proxier, localhost)).toBe(3);
      await first.proxier.close();

      const second = await start({ counters: counters() });
      expect(second.applied).toEqual([]);
      expect(counter(second.proxier, localhost)).toBe(3);
      expect(counter(second.proxier, invalid)).toBeGreaterThanOrEqual(dropped);
      await second.proxier.close();
      // without counters the rules are the same but for the counting
      const third = await start();
      expect(save().join()).not.toContain("nfacct");
      expect(third.proxier.metrics()).not.toContain(localhost);
    } finally {
      lab.run("b1", "nft", ["delete", "table", "ip", "odd"]);
      lab.run("a", "sysctl", ["-q", "-w", "net.ipv4.conf.all.route_localnet=0"]);
    }
  });

  test("counters that rules cannot count in are told of once, and the rules are in force without", async () => {
    const told: string[] = [];
    let closed = false;
    // a counter that is not there is what a kernel without the match says no to
    const counters = { ensure: () => undefined, packets: () => new Map(), close: () => (closed = true) };
    inNetns(lab.namespace("a"), () => removeCounters(["fairway-invalid-dropped", "fairway-localhost-accepted"]));
    const { proxier } = await start({ counters, noteUncounted: (why) => told.push(why) });
    expect(told).toHaveLength(1);
    expect(closed).toBe(true);
    expect(save().join()).not.toMatch(/nfacct|TRIAL/);
    expect(proxier.metrics()).not.toContain("kubeproxy_iptables_ct_state");
    expect(await lab.agents.a2.probe(web)).toEqual([`a1 ${seenBy}`]);
  });

  test("node ports answer on localhost, masqueraded; neighbours do not reach this machine's loopback by that", async () => {
    let routed = 0;
    await start({
      routeLocalnet: () => {
        routed++;
        lab.run("a", "sysctl", ["-q", "-w", "net.ipv4.conf.all.route_localnet=1"]);
      },
    });
    try {
      expect(routed).toBe(1);
      const [said] = await lab.agents.a.probe({ protocol: "tcp", host: "127.0.0.1", port: 30021 });
      expect(said).toMatch(/^[ab][12] (172\.31\.7\.1|172\.31\.7\.11|10\.244\.1\.[23])$/);
      const port = make === "nft" ? 7001 : 7002;
      await lab.agents.a.ask({ do: "serve", name: `inner-${make}`, host: "127.0.0.1", port });
      lab.run("client", "ip", ["addr", "del", "127.0.0.1/8", "dev", "lo"]);
      lab.run("client", "ip", ["route", "add", "127.0.0.1/32", "via", labAddresses.a[4]]);
      lab.run("client", "sysctl", ["-q", "-w", "net.ipv4.conf.all.route_localnet=1"]);
      const martian = { protocol: "udp", host: "127.0.0.1", port, localAddress: labAddresses.client[4], timeoutMs: 400 } as const;
      expect(await lab.agents.client.probe(martian)).toEqual(["drop"]);
      // so that the test would see it: without the rule it is let in
      iptables("-D", "FAIRWAY-INPUT", "1");
      expect(await lab.agents.client.probe(martian)).toEqual([`inner-${make} ${labAddresses.client[4]}`]);
    } finally {
      lab.run("a", "sysctl", ["-q", "-w", "net.ipv4.conf.all.route_localnet=0"]);
      lab.run("client", "ip", ["route", "flush", "127.0.0.1/32"]);
      lab.run("client", "ip", ["addr", "add", "127.0.0.1/8", "dev", "lo"]);
    }
  });

  test("one changed endpoint is a rewritten chain, whatever else there is", async () => {
    for (let i = 0; i < 200; i++) {
      put(store, "Service", makeService(`s${i}`, { clusterIP: `10.96.1.${i}`, ports }));
      put(store, "EndpointSlice", slice(`s${i}`, ["b1", "b2"]));
    }
    const { applied } = await start();
    put(store, "EndpointSlice", slice("s7", ["b1"]), "2");
    await expect.poll(() => applied.length, { timeout: 30_000 }).toBe(2);
    expect(applied[1]).toBe(2);
  });

  test("from nftables to iptables and back: connections live on, new ones are served all the while", async () => {
    const first = await start({}, "nftables");
    const held = await lab.agents.a2.hold(web);
    const second = await start();
    expect(await lab.agents.a2.probe(web)).toEqual([`a1 ${seenBy}`]);
    await first.proxier.close();
    lab.run("a", "nft", ["delete", "table", "ip", "fairway"]);
    expect(await held.say()).toBe(`a1 ${seenBy}`);
    expect(await lab.agents.a2.probe({ ...web, count: 4 })).toEqual(Array<string>(4).fill(`a1 ${seenBy}`));
    await second.proxier.close();
    await start({}, "nftables");
    expect(await createIptablesApplier(make, iptablesIn(lab.namespace("a"))).remove(4, signal())).toBe(true);
    expect(await held.say()).toBe(`a1 ${seenBy}`);
    expect(await lab.agents.a2.probe({ ...web, count: 4 })).toEqual(Array<string>(4).fill(`a1 ${seenBy}`));
  });

  test("from one make to the other: the old rules go once the new ones are in force", async () => {
    const other = make === "nft" ? "legacy" : "nft";
    const first = await start({}, `iptables-${other}`);
    const held = await lab.agents.a2.hold(web);
    await first.proxier.close();
    await start();
    expect(lab.run("a", `iptables-${other}-save`, [])).not.toContain("FAIRWAY");
    expect(await held.say()).toBe(`a1 ${seenBy}`);
    expect(await lab.agents.a2.probe(web)).toEqual([`a1 ${seenBy}`]);
  });

  test("a chain that another's rules lead to stays, empty, until they are gone; the others' rules stay, all else is in force", async () => {
    const { proxier } = await start();
    const pool = /-d 10\.96\.0\.20\/32 .*-j (FAIRWAY-P-\S+)/.exec(save().join("\n"))?.[1] ?? "";
    iptables("-t", "nat", "-N", "OTHER");
    iptables("-t", "nat", "-A", "OTHER", "-p", "tcp", "-j", pool);
    const foreign = `-A OTHER -p tcp -j ${pool}`;
    store.apply("Service", "test/web", undefined, "2");
    put(store, "Service", makeService("other", { clusterIP: "10.96.0.22", ports }), "2");
    put(store, "EndpointSlice", slice("other", ["b2"]), "2");
    await expect.poll(() => lab.agents.a2.probe({ ...web, host: "10.96.0.22" }), { timeout: 30_000 }).toEqual([`b2 ${seenBy}`]);
    expect(proxier.problems().map((p) => [p.object.kind, p.reason])).toEqual([["Node", "ForeignJump"]]);
    expect(proxier.problems()[0]?.message).toContain("rules of OTHER in table nat");
    expect(save().filter((l) => l.includes(pool))).toEqual([foreign]);

    iptables("-t", "nat", "-F", "OTHER");
    await expect.poll(() => proxier.problems(), { timeout: 30_000 }).toEqual([]);
    await expect.poll(() => lab.run("a", `iptables-${make}-save`, []), { timeout: 30_000 }).not.toContain(pool);

    await proxier.close();
    iptables("-t", "nat", "-A", "OTHER", "-j", "FAIRWAY-SERVICES");
    const applier = createIptablesApplier(make, iptablesIn(lab.namespace("a")));
    await expect(removeAllOf(applier, 4, signal())).rejects.toThrow(/OTHER in table nat .*FAIRWAY-SERVICES/);
    expect(save().filter((l) => l.startsWith("-A"))).toEqual(["-A OTHER -j FAIRWAY-SERVICES"]);
    iptables("-t", "nat", "-F", "OTHER");
    iptables("-t", "nat", "-X", "OTHER");
    await removeAllOf(applier, 4, signal());
  });

  test("cleanup removes our chains and jumps and nothing else", async () => {
    iptables("-t", "nat", "-N", "OTHER");
    iptables("-t", "nat", "-A", "OTHER", "-s", "192.0.2.1/32", "-j", "RETURN");
    iptables("-t", "nat", "-A", "PREROUTING", "-j", "OTHER");
    const { proxier } = await start({ localDnsIps: ["10.96.0.99"] });
    await proxier.close();
    const applier = createIptablesApplier(make, iptablesIn(lab.namespace("a")));
    for (const family of [4, 6] as const) {
      expect(await applier.remove(family, signal())).toBe(true);
      expect(await applier.remove(family, signal())).toBe(false);
    }
    expect(save().filter((l) => l.startsWith("-A"))).toEqual(["-A PREROUTING -j OTHER", "-A OTHER -s 192.0.2.1/32 -j RETURN"]);
    iptables("-t", "nat", "-F");
    iptables("-t", "nat", "-X", "OTHER");
  });

  test("the make of the kubelet's rules is chosen", async () => {
    const run = iptablesIn(lab.namespace("a"));
    iptables("-t", "mangle", "-N", "KUBE-IPTABLES-HINT");
    expect(await findIptablesMake([4, 6], signal(), run)).toEqual({ make, why: "the kubelet uses it" });
    iptables("-t", "mangle", "-X", "KUBE-IPTABLES-HINT");
    iptables("-t", "nat", "-A", "POSTROUTING", "-s", "192.0.2.1/32", "-j", "MASQUERADE");
    expect(await findIptablesMake([4, 6], signal(), run)).toEqual({ make, why: "others have rules in it" });
    iptables("-t", "nat", "-F", "POSTROUTING");
  });
});
