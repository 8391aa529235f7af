import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Proxier } from "../../rules/index.ts";
import { Accounting, removeCounters } from "../../src/kernel/accounting.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { damagedObjects, good, goodSlice } from "../support/damaged-objects.ts";
import { inNetns } from "../support/in-netns.ts";
import { missingCounter } from "../support/refusing-doors.ts";
import { lacking } from "../support/requires.ts";
import { fillStore, makeNode, makeService, makeSlice, put } from "../support/rules-objects.ts";
import { counter, type KernelBackend, startRules } from "../support/rules-start.ts";

const namespace = `fw-refusals-${process.pid}`;
const lack = lacking("ip", "nft", "iptables");
const ip = (...args: readonly string[]): string => execFileSync("ip", [...args], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
const running: Proxier[] = [];

beforeEach((t) => {
  t.skip(lack !== undefined, lack);
  ip("netns", "add", namespace);
  ip("-n", namespace, "link", "set", "lo", "up");
});
afterEach(async () => {
  for (const proxier of running.splice(0)) await proxier.close();
  if (lack === undefined) ip("netns", "delete", namespace);
});

const rulesOf: Readonly<Record<KernelBackend, () => string>> = {
  nftables: () => ip("netns", "exec", namespace, "nft", "list", "ruleset"),
  "iptables-legacy": () => ip("netns", "exec", namespace, "iptables-legacy-save"),
  "iptables-nft": () => ip("netns", "exec", namespace, "iptables-nft-save"),
};
const node = makeNode("a", ["192.0.2.1"], ["10.244.0.0/24"]);
/** Reached at an address of a load balancer only as far as the kernel takes it. */
const balanced = (name: string, n: number, host = n) =>
  makeService(
    name,
    { type: "LoadBalancer", allocateLoadBalancerNodePorts: false, clusterIP: `10.96.0.${n}` },
    { status: { loadBalancer: { ingress: [{ ip: `198.51.100.${host}` }] } } },
  );

function makeCounter(name: string): void {
  const counters = new Accounting();
  try {
    counters.ensure([name]);
  } finally {
    counters.close();
  }
}

function canCount(): boolean {
  try {
    makeCounter(missingCounter);
    removeCounters([missingCounter]);
    return true;
  } catch {
    return false;
  }
}

describe.each(["nftables", "iptables-nft", "iptables-legacy"] as const)("%s", (backend) => {
  test("what the kernel refuses is left out and named, at the start and later; all others are in force; mended, it comes", async () => {
    const store = new SnapshotStore();
    const names = [2, 3, 4, 5, 6, 7, 8].map((n) => [`s${n}`, n] as const);
    const refusedIps = new Set(["198.51.100.4"]);
    fillStore(store, [node, ...names.flatMap(([name, n]) => [balanced(name, n), makeSlice(name, [`10.244.0.${n}`])])]);
    const { proxier, log } = await startRules(namespace, store, backend, { doors: { refuses: (ip) => refusedIps.has(ip) } });
    running.push(proxier);
    const refused = (): readonly string[] => proxier.problems().map((p) => `${p.reason} ${p.object.name}`);
    const listed = (n: number): boolean => new RegExp(`198\\.51\\.100\\.${n}(?!\\d)`).test(rulesOf[backend]());

    expect(refused()).toEqual(["RuleRefused s4"]);
    expect(proxier.problems()[0]?.message).toMatch(/^the kernel refused the rules of 198\.51\.100\.4:80\/tcp: .+/);
    expect([2, 3, 5, 6, 7, 8].map(listed)).toEqual([true, true, true, true, true, true]);
    expect(listed(4)).toBe(false);
    expect(counter(proxier, "fairway_rules_refused")).toBe(1);
    expect(proxier.history({ limit: 1 })).toMatchObject([{ outcome: "refused", refused: [{ object: "Service test/s4" }] }]);

    // one of a burst, and the one from before is still out
    refusedIps.add("198.51.100.66");
    put(store, "Service", balanced("s6", 6, 66), "2");
    put(store, "EndpointSlice", makeSlice("s7", ["10.244.0.7", "10.244.0.77"]), "2");
    await expect.poll(() => [...refused()].sort()).toEqual(["RuleRefused s4", "RuleRefused s6"]);
    expect([2, 3, 5, 7, 8].map(listed)).toEqual([true, true, true, true, true]);
    expect([listed(6), listed(66)]).toEqual([false, false]);

    refusedIps.clear();
    for (const n of [4, 6]) put(store, "EndpointSlice", makeSlice(`s${n}`, [`10.244.0.${n}`, "10.244.0.78"]), "3");
    await expect.poll(() => names.map(([, n]) => listed(n === 6 ? 66 : n))).toEqual(names.map(() => true));
    expect(refused()).toEqual([]);
    // "exists" is what the kernel says of foreign changes too: it is tried again before it is a refusal
    expect(log.filter((line) => !/EEXIST|File exists/.test(line))).toEqual([]);
  });

  test("what the kernel refuses comes once it takes it, without any change of the Service", async (t) => {
    if (backend !== "nftables" && !inNetns(namespace, canCount)) t.skip("this kernel has no counters that iptables knows by name");
    const store = new SnapshotStore();
    fillStore(store, [node, ...[2, 3, 4, 5].flatMap((n) => [balanced(`s${n}`, n), makeSlice(`s${n}`, [`10.244.0.${n}`])])]);
    let refuses = true;
    let asked = 0;
    const { proxier, log } = await startRules(namespace, store, backend, {
      doors: { refuses: (ip) => ip === "198.51.100.4" && ++asked > 0 && refuses },
    });
    running.push(proxier);
    const listed = (): boolean => /198\.51\.100\.4(?!\d)/.test(rulesOf[backend]());
    expect(proxier.problems().map((p) => `${p.reason} ${p.object.name}`)).toEqual(["RuleRefused s4"]);
    // asked for again by itself, and refused again: told of as before, and once
    const before = asked;
    await expect.poll(() => asked).toBeGreaterThan(before);
    await expect.poll(() => proxier.problems().map((p) => p.object.name)).toEqual(["s4"]);
    expect(listed()).toBe(false);
    if (backend === "nftables") refuses = false;
    else inNetns(namespace, () => makeCounter(missingCounter));
    await expect.poll(() => proxier.problems()).toEqual([]);
    expect(listed()).toBe(true);
    expect(counter(proxier, "fairway_rules_refused")).toBe(0);
    expect(proxier.history({}).map((e) => e.outcome)).toEqual(["applied", "refused"]);
    expect(log.filter((line) => !/EEXIST|File exists/.test(line))).toEqual(["Service test/s4: what was refused before is in force now"]);
  });

  test("no malformed object holds up the others, and the kernel takes all that is made of them", async () => {
    const store = new SnapshotStore();
    fillStore(store, [node, good, goodSlice]);
    const { proxier, log } = await startRules(namespace, store, backend, { nodeName: "n", serviceHealth: false });
    running.push(proxier);
    for (const [i, { service, slice, node: damaged, serviceCidr }] of fc.sample(damagedObjects, { seed: 4, numRuns: 25 }).entries()) {
      put(store, "Service", service, `${i}`);
      put(store, "EndpointSlice", slice, `${i}`);
      put(store, "Node", damaged, `${i}`);
      put(store, "ServiceCIDR", serviceCidr, `${i}`);
      // this endpoint is named in nothing but the rules that all of these changes made
      const endpoint = `10.244.8.${i + 1}`;
      put(store, "EndpointSlice", makeSlice("good", [endpoint]), `${i}`);
      await expect.poll(() => proxier.endpointInUse(endpoint), { message: `${i}: ${log.join()}` }).toBe(true);
      expect(proxier.problems().filter((p) => p.reason === "RuleRefused")).toEqual([]);
    }
    expect(rulesOf[backend]()).toContain("10.244.8.25");
    expect(log).toEqual([]);
  });
});

test("nftables: a table that is to be made anew over a refusal is in force all the time, with all that is not refused", async () => {
  const objects = (count: number) =>
    Array.from({ length: count }, (_, i) => i + 2).flatMap((n) => [balanced(`s${n}`, n), makeSlice(`s${n}`, [`10.244.0.${n}`])]);
  const before = new SnapshotStore();
  fillStore(before, [node, ...objects(5)]);
  await (await startRules(namespace, before, "nftables")).proxier.close();
  const store = new SnapshotStore();
  fillStore(store, [node, ...objects(7)]);
  const seen: string[] = [];
  const { proxier } = await startRules(namespace, store, "nftables", {
    masqueradeAll: true,
    doors: {
      refuses: (ip) => ip === "198.51.100.4" || ip === "198.51.100.8",
      asked: () => void seen.push(ip("netns", "exec", namespace, "nft", "list", "table", "ip", "fairway")),
    },
  });
  running.push(proxier);
  expect(seen.length).toBeGreaterThan(3);
  for (const text of seen) {
    for (const n of [2, 3, 5, 6]) for (const listed of [`198.51.100.${n} . tcp`, `10.244.0.${n} . 8080`]) expect(text).toContain(listed);
    expect(text).toContain("hook prerouting");
  }
  const names = proxier.problems().map((p) => `${p.reason} ${p.object.name}`);
  expect(names.sort()).toEqual(["RuleRefused s4", "RuleRefused s8"]);
  expect(rulesOf.nftables()).not.toMatch(/198\.51\.100\.[48](?!\d)|fairway-trial/);
  expect(rulesOf.nftables()).toContain("198.51.100.7 . tcp");
});
