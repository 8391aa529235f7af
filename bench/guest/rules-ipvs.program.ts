// Runs in a guest kernel: virtual servers from objects in memory to the kernel, at several sizes. One JSON document.
import { createIpvsApplier } from "../../rules/apply/kernel-ipvs-applier.ts";
import { diffPrograms } from "../../rules/ipvs/difference.ts";
import { compileFrontends, compileSurroundings, definitionsOf, emptyIpvsProgram, withAddresses } from "../../rules/ipvs/program.ts";
import { type IpvsTransaction, transactionSize } from "../../rules/ipvs/transaction.ts";
import { ProxyPlan } from "../../rules/plan/proxy-plan.ts";
import { defaultPlanOptions } from "../../rules/plan/service-plan.ts";
import { ipvsProgramOptionsOf } from "../../rules/sync/surroundings.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { fillStore, makeNode, makeService, makeSlice, put } from "../../test/support/rules-objects.ts";

const address = (net: number, n: number): string => `${net}.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
const slice = (i: number, shift: number, local: boolean) =>
  makeSlice(
    `s${i}`,
    Array.from({ length: 5 }, (_, j) => ({
      ip: address(11, i * 5 + j + (j === 0 ? shift * 1_000_000 : 0)),
      node: local && j === 0 ? "n" : "m",
    })),
  );
const round = (ms: number): number => Math.round(ms * 100) / 100;
const median = (values: readonly number[]): number => round([...values].sort((a, b) => a - b)[values.length >> 1] ?? 0);

async function time(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

async function bench(through: "netlink" | "commands", services: number, changes: number): Promise<object> {
  const signal = AbortSignal.timeout(600_000);
  const applier = createIpvsApplier({ through, strictArp: false });
  await applier.prepare(signal);
  try {
    const store = new SnapshotStore();
    const cursor = store.cursor(() => undefined);
    fillStore(store, [
      makeNode("n", ["192.0.2.1"], ["11.0.0.0/24"]),
      ...Array.from({ length: services }, (_, i) => makeService(`s${i}`, { clusterIP: address(10, i + 1), ports: [{ port: 80 }] })),
      ...Array.from({ length: services }, (_, i) => slice(i, 0, false)),
    ]);
    const plan = new ProxyPlan("n", { ...defaultPlanOptions, families: [4] });
    const around = { nodePortIps: [], podCidrs: [{ ip: "11.0.0.0", bits: 24, family: 4 }], serviceCidrs: [], localDnsIps: [] } as const;
    const options = ipvsProgramOptionsOf({ nodeName: "n", families: [4] });
    let program = compileSurroundings(withAddresses(around, []), emptyIpvsProgram(options)).program;
    const take = (): IpvsTransaction => {
      const batch = cursor.take();
      if (batch === undefined) throw new Error("no change");
      const before = program;
      const compiled = compileFrontends(plan.apply(batch).frontends.changed, before);
      program = compiled.program;
      return diffPrograms(before, program, compiled.touched);
    };
    const first = take();
    const full = await time(() => applier.apply({ ...first, createSets: definitionsOf(program) }, signal));
    const readBack = await time(() => applier.read(signal));
    const measure = async (local: boolean): Promise<{ readonly items: number; readonly kernelMs: number; readonly wholeMs: number }> => {
      const kernel: number[] = [];
      const whole: number[] = [];
      let items = 0;
      for (let n = 0; n < changes; n++) {
        put(store, "EndpointSlice", slice((n * 7919) % services, (local ? 8 : 1) + (n % 7), local), `${local ? "l" : "r"}${n}`);
        const started = performance.now();
        const transaction = take();
        kernel.push(await time(() => applier.apply(transaction, signal)));
        whole.push(performance.now() - started);
        items = transactionSize(transaction);
      }
      return { items, kernelMs: median(kernel), wholeMs: median(whole) };
    };
    const remote = await measure(false);
    const local = await measure(true);
    const items = transactionSize(first);
    return {
      through,
      services,
      endpoints: services * 5,
      full: { items, ms: round(full) },
      readBackMs: round(readBack),
      change: remote,
      changeOfLocalEndpoint: local,
      // a kube-proxy in this mode reads all virtual and real servers at every sync, besides what else it does
      readBackPerChange: round(readBack / remote.kernelMs),
    };
  } finally {
    await applier.remove(signal);
    await applier.close();
  }
}

const results: object[] = [];
for (const services of [100, 1000, 5000]) results.push(await bench("netlink", services, 51));
results.push(await bench("commands", 1000, 11));
process.stdout.write(`${JSON.stringify(results)}\n`);
