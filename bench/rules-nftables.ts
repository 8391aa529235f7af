// nftables by itself: full load and one changed endpoint, from objects in memory to the kernel. Needs root.
// Arguments: Services (10000), changes (500), endpoints of each Service (5).
import { execFileSync } from "node:child_process";
import { createNetlinkApplier } from "../rules/apply/netlink-applier.ts";
import { compileFrontends, compileSurroundings, emptyRuleset, type Ruleset } from "../rules/nftables/ruleset.ts";
import { defaultSkeletonOptions } from "../rules/nftables/skeleton.ts";
import { diffFromElements, diffFromNothing, diffRulesets, transactionSize } from "../rules/nftables/transaction.ts";
import { ProxyPlan } from "../rules/plan/proxy-plan.ts";
import { defaultPlanOptions } from "../rules/plan/service-plan.ts";
import { SnapshotStore } from "../src/snapshot/snapshot-store.ts";
import { inNetns } from "../test/support/in-netns.ts";
import { nftIn } from "../test/support/nft-in.ts";
import { fillStore, makeNode, makeService, makeSlice, put } from "../test/support/rules-objects.ts";

const services = Number(process.argv[2] ?? 10_000);
const changes = Number(process.argv[3] ?? 500);
const endpoints = Number(process.argv[4] ?? 5);
const namespace = `fwb-rules-${process.pid}`;
const signal = AbortSignal.timeout(120_000);
const address = (net: number, n: number): string => `${net}.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
const slice = (i: number, shift: number) =>
  makeSlice(
    `s${i}`,
    Array.from({ length: endpoints }, (_, j) => ({
      ip: address(11, i * endpoints + j + (j === 0 ? shift * 1_000_000 : 0)),
      node: j === 0 ? "n" : "m",
    })),
  );

const store = new SnapshotStore();
const cursor = store.cursor(() => undefined);
fillStore(store, [
  makeNode("n", ["192.0.2.1"], ["11.0.0.0/24"]),
  ...Array.from({ length: services }, (_, i) => makeService(`s${i}`, { clusterIP: address(10, i + 1), ports: [{ port: 80 }] })),
  ...Array.from({ length: services }, (_, i) => slice(i, 0)),
]);

const ms = (n: number): string => `${n.toFixed(n < 1 ? 4 : 1)} ms`;
const timed = async <T>(what: string, work: () => T | Promise<T>): Promise<T> => {
  const cpu = process.cpuUsage();
  const started = performance.now();
  const result = await work();
  const spent = process.cpuUsage(cpu);
  console.log(`${what}: ${ms(performance.now() - started)} wall, ${ms((spent.user + spent.system) / 1000)} CPU`);
  return result;
};
const quantile = (list: readonly number[], q: number): number => [...list].sort((a, b) => a - b)[Math.floor(list.length * q)] ?? 0;

execFileSync("ip", ["netns", "add", namespace]);
try {
  const applier = inNetns(namespace, () => createNetlinkApplier(nftIn(namespace)));
  applier.watch(() => undefined);
  const plan = new ProxyPlan("n", { ...defaultPlanOptions, families: [4] });
  const surroundings = { nodePortIps: [], podCidrs: [], serviceCidrs: [], localDnsIps: [] };
  const batch = cursor.take();
  if (batch === undefined) throw new Error("nothing to load");
  console.log(`${services} Services × ${endpoints} endpoints`);
  const delta = await timed("plan", () => plan.apply(batch));
  let ruleset: Ruleset = await timed("compile", () =>
    compileSurroundings(surroundings, compileFrontends(delta.frontends.changed, emptyRuleset(4, "fairway", defaultSkeletonOptions)).plan),
  );
  const tx = await timed("difference", () => [diffFromNothing(ruleset)]);
  await timed(`kernel, ${transactionSize(tx)} elements`, () => applier.apply(tx, signal));
  // a dump while the kernel still enlarges its hash tables may miss elements
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const found = await timed("read back", () => applier.read(4, "fairway", signal));
  const rest = await timed("compare", () => [diffFromElements(found?.elements ?? [], ruleset)]);
  console.log(`left to do after the comparison: ${transactionSize(rest)} elements`);

  const whole: number[] = [];
  const kernel: number[] = [];
  const cpu = process.cpuUsage();
  for (let n = 0; n < changes; n++) {
    const started = performance.now();
    put(store, "EndpointSlice", slice((n * 7919) % services, 1 + (n % 7)), String(n));
    const change = cursor.take();
    if (change === undefined) throw new Error("no change");
    const { frontends } = plan.apply(change);
    const next = compileSurroundings(surroundings, compileFrontends(frontends.changed, ruleset).plan);
    const step = [diffRulesets(ruleset, next, frontends.changed.keys())];
    const sent = performance.now();
    await applier.apply(step, signal);
    const done = performance.now();
    ruleset = next;
    whole.push(done - started);
    kernel.push(done - sent);
  }
  const spent = process.cpuUsage(cpu);
  console.log(
    `one changed endpoint (${changes} times): snapshot to kernel p50 ${ms(quantile(whole, 0.5))}, p99 ${ms(quantile(whole, 0.99))}`,
  );
  console.log(
    `  of it netlink p50 ${ms(quantile(kernel, 0.5))}, p99 ${ms(quantile(kernel, 0.99))}; CPU ${ms((spent.user + spent.system) / 1000 / changes)} a change`,
  );
  globalThis.gc?.();
  console.log(
    `heap ${Math.round(process.memoryUsage().heapUsed / 1024 / 1024)} MiB${globalThis.gc === undefined ? "" : " after collection"}`,
  );
  console.log(`resident memory ${Math.round(process.memoryUsage.rss() / 1024 / 1024)} MiB`);
  await applier.close();
} finally {
  execFileSync("ip", ["netns", "del", namespace]);
}
