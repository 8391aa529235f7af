import { Map as PersistentMap } from "immutable";
import { printCidr } from "../../src/base/cidr.ts";
import type { Ip, IpFamily } from "../../src/base/ip.ts";
import type { ObjectKey } from "../../src/snapshot/cluster-snapshot.ts";
import type { Delta } from "../../src/snapshot/derivation.ts";
import type { Problem } from "../../src/snapshot/problem.ts";
import { balanceProblem } from "../plan/balance.ts";
import type { Frontend, FrontendKey } from "../plan/frontend.ts";
import type { ServicePlan } from "../plan/service-plan.ts";
import type { Surroundings } from "../plan/surroundings.ts";
import { type External, hooks, type IptablesOptions } from "./chains.ts";
import { Compilation } from "./compilation.ts";
import type { UsedPool } from "./pools.ts";
import { type Chain, type ChainId, chainId, type Hook, type RuleSet } from "./rule.ts";
import { emptyTree, type Tree } from "./tree.ts";

/** From so many endpoints on, rules do without comments: a sixth of the text, and a fifth of the kernel's memory. */
const largeCluster = 1000;

/** A value that frontends share. */
export interface Counted<T> {
  readonly value: T;
  /** Frontends that ask for it. */
  readonly users: number;
}

/** The plan compiled for iptables in one family. Names come of what they name, so nothing depends on history. Immutable. */
export interface IptablesProgram {
  readonly family: IpFamily;
  readonly options: IptablesOptions;
  readonly surroundings: Surroundings;
  readonly comments: boolean;
  readonly frontends: PersistentMap<FrontendKey, Frontend>;
  readonly pools: PersistentMap<string, Counted<UsedPool>>;
  readonly externals: PersistentMap<string, Counted<External>>;
  readonly clusterIps: PersistentMap<Ip, number>;
  /** Local endpoints, with how many pools have them. */
  readonly localEndpoints: PersistentMap<Ip, number>;
  /** Ports on which load balancers ask for the health of Services, with how many Services have them. */
  readonly healthPorts: PersistentMap<number, number>;
  /** Members of all pools. */
  readonly endpoints: number;
  readonly nat: Tree;
  readonly filter: Tree;
  readonly chains: PersistentMap<ChainId, Chain>;
}

export interface CompiledRules {
  readonly program: IptablesProgram;
  /** Chains that may differ from those before. */
  readonly touched: ReadonlySet<ChainId>;
}

/** What a changed frontend asks for that iptables cannot do. */
export function problemOf(frontend: Frontend): Problem | undefined {
  return balanceProblem(frontend, "iptables", ["random"], "random");
}

const nothingAround: Surroundings = { nodePortIps: [], podCidrs: [], serviceCidrs: [], localDnsIps: [] };

export function emptyProgram(family: IpFamily, options: IptablesOptions): IptablesProgram {
  const empty: IptablesProgram = {
    family,
    options,
    surroundings: nothingAround,
    comments: true,
    frontends: PersistentMap(),
    pools: PersistentMap(),
    externals: PersistentMap(),
    clusterIps: PersistentMap(),
    localEndpoints: PersistentMap(),
    healthPorts: PersistentMap(),
    endpoints: 0,
    nat: emptyTree,
    filter: emptyTree,
    chains: PersistentMap(),
  };
  return new Compilation(empty).withFixedChains().finish().program;
}

/** The program after a change of frontends; other families' are skipped. Cost is by the change. */
export function compileFrontends(changed: Delta<FrontendKey, Frontend>["changed"], before: IptablesProgram): CompiledRules {
  const start = before.frontends.size === 0 ? { ...before, comments: countEndpoints(changed, before.family) <= largeCluster } : before;
  const compilation = new Compilation(start);
  for (const [key, { after }] of changed) {
    const old = before.frontends.get(key);
    const now = after?.family === before.family ? after : undefined;
    if (old !== undefined || now !== undefined) compilation.replace(old, now);
  }
  const compiled = compilation.finish();
  const comments = compiled.program.endpoints <= largeCluster;
  return comments === compiled.program.comments ? compiled : compileAnew({ ...compiled.program, comments }, compiled.touched);
}

/** The program after a change of Services: where their health is asked for is let in, whatever a firewall's rules say after ours. */
export function compileHealthPorts(changed: Delta<ObjectKey, ServicePlan>["changed"], before: IptablesProgram): CompiledRules {
  const ports = new Map<number, number>();
  const count = (plan: ServicePlan | undefined, by: 1 | -1): void => {
    const port = plan?.healthCheck?.port;
    if (port !== undefined) ports.set(port, (ports.get(port) ?? 0) + by);
  };
  for (const { before: old, after } of changed.values()) {
    count(old, -1);
    count(after, 1);
  }
  const compilation = new Compilation(before);
  for (const [port, by] of ports) if (by !== 0) compilation.useHealthPort(port, by);
  return compilation.finish();
}

/** Of frontends where there were none: so that a large cluster is not compiled twice. */
function countEndpoints(changed: Delta<FrontendKey, Frontend>["changed"], family: IpFamily): number {
  const pools = new Map<string, number>();
  for (const { after } of changed.values()) {
    if (after?.family !== family || after.action.kind !== "balance") continue;
    for (const pool of [after.action.pool, after.action.localPool]) if (pool !== undefined) pools.set(pool.id, pool.members.length);
  }
  return [...pools.values()].reduce((sum, n) => sum + n, 0);
}

export function compileSurroundings(surroundings: Surroundings, before: IptablesProgram): CompiledRules {
  if (JSON.stringify(surroundings) === JSON.stringify(before.surroundings)) return { program: before, touched: new Set() };
  const moved = surroundings.podCidrs.map(printCidr).join() !== before.surroundings.podCidrs.map(printCidr).join();
  const program = { ...before, surroundings };
  // where pods are is part of many chains, and changes once in a node's life
  return moved ? compileAnew(program, new Set()) : new Compilation(program).withFixedChains().finish();
}

/** Every rule of the chains and the built-in chains that lead there. */
export function ruleSetOf(program: IptablesProgram): RuleSet {
  return { family: program.family, hooks: hooksOf(program), chains: program.chains };
}

/** Addresses that are not tracked are rare: the raw table is left alone without. */
export function hooksOf(program: IptablesProgram): readonly Hook[] {
  return hooks.filter((hook) => program.chains.has(chainId(hook.table, hook.chain)));
}

/** The same plan from the start, with other options. */
function compileAnew(wanted: IptablesProgram, touched: ReadonlySet<ChainId>): CompiledRules {
  const { family, options, surroundings, comments } = wanted;
  const empty: IptablesProgram = { ...emptyProgram(family, options), surroundings, comments };
  const compilation = new Compilation(empty).withFixedChains();
  for (const frontend of wanted.frontends.values()) compilation.replace(undefined, frontend);
  for (const [port, users] of wanted.healthPorts) compilation.useHealthPort(port, users);
  const { program } = compilation.finish();
  const all = new Set<ChainId>([...touched, ...wanted.chains.keys(), ...program.chains.keys()]);
  return { program, touched: all };
}
