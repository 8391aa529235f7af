// The iptables backend in both makes: full load and one changed endpoint, from objects in memory to the kernel. Needs root.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { createIptablesApplier } from "../rules/apply/iptables-applier.ts";
import { defaultIptablesOptions } from "../rules/iptables/chains.ts";
import { compileFrontends, compileSurroundings, emptyProgram, hooksOf } from "../rules/iptables/program.ts";
import { adopt } from "../rules/iptables/read.ts";
import { diffChains, printTransaction, transactionSize } from "../rules/iptables/transaction.ts";
import { ProxyPlan } from "../rules/plan/proxy-plan.ts";
import { defaultPlanOptions } from "../rules/plan/service-plan.ts";
import type { IptablesMake } from "../src/kernel/iptables-command.ts";
import { SnapshotStore } from "../src/snapshot/snapshot-store.ts";
import { iptablesIn } from "../test/support/iptables-in.ts";
import { fillStore, makeNode, makeService, makeSlice, put } from "../test/support/rules-objects.ts";
import { kubeProxyShape } from "./shapes/kube-proxy-shape.ts";

export interface IptablesBench {
  readonly make: IptablesMake;
  readonly services: number;
  readonly rules: number;
  readonly chains: number;
  /** Milliseconds; CPU is this process's and the programs' it ran. */
  readonly full: Cost;
  readonly readBack: Cost;
  /** One endpoint swapped: the median of the wall times, the mean of the CPU. */
  readonly change: Cost;
  /** One endpoint swapped in each of 100 Services, applied at once. */
  readonly burst: Cost;
  /** The same change in tables of kube-proxy's shape, by the same program in the same run. */
  readonly kubeProxyShape: { readonly rules: number; readonly chains: number; readonly change: Cost };
}
interface Cost {
  readonly wall: number;
  readonly cpu: number;
}

const address = (net: number, n: number): string => `${net}.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
const slice = (i: number, shift: number) =>
  makeSlice(
    `s${i}`,
    Array.from({ length: 5 }, (_, j) => ({
      ip: address(11, i * 5 + j + (j === 0 ? shift * 1_000_000 : 0)),
      node: i < 20 && j === 0 ? "n" : "m",
    })),
  );

// clock ticks of this process and of children it has waited for: proc_pid_stat(5), fields 14 to 17
const cpuMs = (): number => {
  const fields = readFileSync("/proc/self/stat", "utf8").split(") ")[1]?.split(" ") ?? [];
  return [11, 12, 13, 14].reduce((sum, i) => sum + Number(fields[i]), 0) * 10;
};

async function cost(work: () => Promise<void>): Promise<Cost> {
  const cpu = cpuMs();
  const started = performance.now();
  await work();
  return { wall: Math.round((performance.now() - started) * 10) / 10, cpu: cpuMs() - cpu };
}

/** As one part: what is quick for the legacy make, whose every commit copies the whole table. */
function joined(parts: readonly string[]): string {
  const lines = parts.flatMap((part) => part.split("\n")).filter((l) => l !== "" && l !== "*nat" && l !== "COMMIT");
  const isChain = (l: string): boolean => l.startsWith(":");
  return ["*nat", ...new Set(lines.filter(isChain)), ...lines.filter((l) => !isChain(l)), "COMMIT", ""].join("\n");
}

/** Loads and changes the rules of a namespace of its own. */
export async function benchIptables(make: IptablesMake, services: number, changes: number): Promise<IptablesBench> {
  const namespace = `fwb-ipt-${make}-${process.pid}`;
  const signal = AbortSignal.timeout(600_000);
  execFileSync("ip", ["netns", "add", namespace]);
  try {
    const applier = createIptablesApplier(make, iptablesIn(namespace));
    const store = new SnapshotStore();
    const cursor = store.cursor(() => undefined);
    fillStore(store, [
      makeNode("n", ["192.0.2.1"], ["11.0.0.0/24"]),
      ...Array.from({ length: services }, (_, i) => makeService(`s${i}`, { clusterIP: address(10, i + 1), ports: [{ port: 80 }] })),
      ...Array.from({ length: services }, (_, i) => slice(i, 0)),
    ]);
    const plan = new ProxyPlan("n", { ...defaultPlanOptions, families: [4] });
    const around = { nodePortIps: [], podCidrs: [{ ip: "11.0.0.0", bits: 24, family: 4 }], serviceCidrs: [], localDnsIps: [] } as const;
    let program = compileSurroundings(around, emptyProgram(4, defaultIptablesOptions)).program;
    /** Takes what the store has into the kernel. */
    const apply = async (): Promise<void> => {
      const batch = cursor.take();
      if (batch === undefined) throw new Error("no change");
      const before = program;
      const { program: next, touched } = compileFrontends(plan.apply(batch).frontends.changed, before);
      await applier.apply(diffChains(4, before.chains, next.chains, touched), signal);
      program = next;
    };
    const full = await cost(async () => {
      const batch = cursor.take();
      if (batch === undefined) throw new Error("nothing to load");
      program = compileFrontends(plan.apply(batch).frontends.changed, program).program;
      const hooks = { unhook: [], hook: hooksOf(program) };
      await applier.apply(diffChains(4, new Map(), program.chains, program.chains.keys(), hooks), signal);
    });
    const chains = [...program.chains.values()];
    const readBack = await cost(async () => {
      const found = adopt(4, await applier.read(4, signal), program.chains);
      const left = diffChains(4, found, program.chains);
      if (left.length > 0)
        throw new Error(`${transactionSize(left)} rules are not as they were written: ${printTransaction(left).slice(0, 500)}`);
    });
    const walls: number[] = [];
    const cpu = cpuMs();
    for (let n = 0; n < changes; n++) {
      put(store, "EndpointSlice", slice((n * 7919) % services, 1 + (n % 7)), String(n));
      walls.push((await cost(apply)).wall);
    }
    const change = { wall: walls.sort((a, b) => a - b)[changes >> 1] ?? 0, cpu: (cpuMs() - cpu) / changes };
    for (let n = 0; n < 100; n++) put(store, "EndpointSlice", slice((n * 31) % services, 8 + (n % 7)), String(n));
    const burst = await cost(apply);
    await applier.remove(4, signal);
    const run = iptablesIn(namespace);
    const shape = kubeProxyShape(services, {
      service: (i) => address(10, i + 1),
      endpoints: (i) => Array.from({ length: 5 }, (_, j) => address(11, i * 5 + j)),
    });
    const restore = async (text: string): Promise<void> => {
      const { code, stderr } = await run(`iptables-${make}-restore`, ["--noflush", "-w", "10"], text, signal);
      if (code !== 0) throw new Error(stderr);
    };
    await restore(make === "nft" ? shape.load.join("") : joined(shape.load));
    const theirs: number[] = [];
    const theirCpu = cpuMs();
    for (let n = 0; n < changes; n++) {
      const text = shape.change((n * 7919) % services, n);
      theirs.push((await cost(() => restore(text))).wall);
    }
    const theirChange = { wall: theirs.sort((a, b) => a - b)[changes >> 1] ?? 0, cpu: (cpuMs() - theirCpu) / changes };
    const kubeProxy = { rules: shape.rules, chains: shape.chains, change: theirChange };
    return {
      kubeProxyShape: kubeProxy,
      make,
      services,
      chains: chains.length,
      rules: chains.reduce((sum, c) => sum + c.length, 0),
      full,
      readBack,
      change,
      burst,
    };
  } finally {
    execFileSync("ip", ["netns", "del", namespace]);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const services = Number(process.argv[2] ?? 10_000);
  const changes = Number(process.argv[3] ?? 11);
  const results: IptablesBench[] = [];
  for (const make of ["legacy", "nft"] as const) results.push(await benchIptables(make, services, changes));
  console.log(JSON.stringify({ load: readFileSync("/proc/loadavg", "utf8").trim(), results }, undefined, 1));
}
