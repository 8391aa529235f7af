import { availableParallelism } from "node:os";
import type { IpFamily } from "../src/base/ip.ts";
import { removeCounters } from "../src/kernel/accounting.ts";
import { Conntrack } from "../src/kernel/conntrack.ts";
import { hasIpv6, legacyTables, runIptables } from "../src/kernel/iptables-command.ts";
import { runNft } from "../src/kernel/nft-command.ts";
import type { Snapshot } from "../src/snapshot/cluster-snapshot.ts";
import { distinctProblems, type Problem } from "../src/snapshot/problem.ts";
import { batchFromEmpty } from "../src/snapshot/snapshot-store.ts";
import type { RuleApplier } from "./apply/applier.ts";
import { printIpvs } from "./apply/ipvs-render.ts";
import { createNetlinkApplier } from "./apply/netlink-applier.ts";
import { createTextApplier } from "./apply/text-applier.ts";
import { printRuleSet } from "./iptables/print.ts";
import {
  compileHealthPorts,
  compileFrontends as compileIptables,
  compileSurroundings as compileIptablesSurroundings,
  emptyProgram,
  type IptablesProgram,
  problemOf,
  ruleSetOf,
} from "./iptables/program.ts";
import {
  compileFrontends as compileIpvs,
  compileHealthPorts as compileIpvsHealthPorts,
  compileSurroundings as compileIpvsSurroundings,
  emptyIpvsProgram,
  type IpvsProgram,
  limitOf,
  withAddresses,
} from "./ipvs/program.ts";
import type { Backend } from "./model/backend.ts";
import type { Packet, Verdict } from "./model/packet.ts";
import { printTable } from "./nftables/print.ts";
import { compileFrontends, compileSurroundings, emptyRuleset, type Ruleset, tableOf } from "./nftables/ruleset.ts";
import { defaultSkeletonOptions } from "./nftables/skeleton.ts";
import { ProxyPlan } from "./plan/proxy-plan.ts";
import { AutoTarget } from "./sync/auto-target.ts";
import { cleanUp } from "./sync/cleanup.ts";
import type { ProxierConfig, ProxierDeps, RuleOptions } from "./sync/config.ts";
import type { ConnectionTable } from "./sync/connection-use.ts";
import { setConntrack, tcpIsLiberal } from "./sync/conntrack-settings.ts";
import { IptablesTarget } from "./sync/iptables-target.ts";
import { iptablesFamilies, iptablesWorld } from "./sync/iptables-world.ts";
import { IpvsTarget } from "./sync/ipvs-target.ts";
import { ipvsWorld, openLeftServers, removeServers } from "./sync/ipvs-world.ts";
import { type Leftover, type LeftoverDoors, leftoversOf } from "./sync/leftovers.ts";
import { ProxierMetrics } from "./sync/metrics.ts";
import { NftablesTarget } from "./sync/nftables-target.ts";
import { systemListeners } from "./sync/occupied-ports.ts";
import { type Proxier, runProxier } from "./sync/proxier.ts";
import type { FlowTable } from "./sync/stale-udp.ts";
import {
  bothFamilies,
  defaultTableName,
  iptablesOptionsOf,
  ipvsProgramOptionsOf,
  planOptionsOf,
  readMachineIps,
  skeletonOptionsOf,
  surroundingsOf,
} from "./sync/surroundings.ts";
import type { RuleTarget } from "./sync/target.ts";
import { UserspaceTarget } from "./sync/userspace-target.ts";
import { traceIptables } from "./trace/iptables-trace.ts";
import { traceIpvs } from "./trace/ipvs-trace.ts";
import { rulesetTracer } from "./trace/trace.ts";
import { traceUserspace } from "./trace/userspace-trace.ts";
import { compileUserspace, emptyUserspaceProgram, printUserspace, limitOf as userspaceLimitOf } from "./userspace/program.ts";

export type { Backend, IptablesFlavour } from "./model/backend.ts";
export type { Packet, TraceStep, Verdict } from "./model/packet.ts";
export type { Protocol } from "./model/service-port.ts";
export type { SettingChange } from "./plan/frontend-change.ts";
export { type ComparedFrontend, type ComparedRules, compareRules } from "./sync/compare-rules.ts";
export type {
  AppliedInfo,
  LocalInterface,
  NodeEvent,
  NodePortAddresses,
  ProxierConfig,
  ProxierDeps,
  RuleOptions,
} from "./sync/config.ts";
export type { ConnectionUse } from "./sync/connection-use.ts";
export type { ServiceEffect } from "./sync/effects.ts";
export type { HistoryCause, HistoryEntry, HistoryQuery, Outcome } from "./sync/history.ts";
export type { Proxier, ProxierHealth } from "./sync/proxier.ts";

/**
 * Programs this machine (this thread's network namespace) with the Service rules of a node, until closed. Closing leaves
 * kernel rules in force; `cleanup` removes them.
 */
export function startProxier(config: ProxierConfig, deps: ProxierDeps): Proxier {
  const target = openTarget(config, deps);
  // in plain mode this machine's rules are not the cluster's
  const leftovers = config.allowLoopback === true ? undefined : leftoversHere(config, deps);
  const proxier = runProxier(config, deps, {
    target,
    metrics: new ProxierMetrics(config.families, deps.clock.now()),
    flows: () => openFlows(deps),
    connections: openConnections,
    leftovers,
    listeners: systemListeners,
  });
  // the settings are there once something of the kernel is loaded that tracks connections
  const settle = (): void => {
    if (target.backend !== "userspace") setConntrack(config.conntrack ?? {}, availableParallelism(), deps);
  };
  proxier.ready.then(settle, () => undefined);
  return proxier;
}

/** What other backends and kube-proxy left in this thread's network namespace. */
function leftoversHere(config: ProxierConfig, deps: Pick<ProxierDeps, "log">): (backend: Backend) => readonly Leftover[] {
  const doors = doorsHere(config, deps);
  return (backend) => leftoversOf(backend, config.tableName ?? defaultTableName, doors);
}

function doorsHere({ nftables = "auto" }: Pick<ProxierConfig, "nftables">, deps: Pick<ProxierDeps, "log">): LeftoverDoors {
  return {
    tables: () => openApplier(nftables, deps),
    iptables: runIptables,
    mayHaveRules: (make, family) => (family === 4 || hasIpv6()) && (make === "nft" || legacyTables(family).length > 0),
    servers: openLeftServers,
  };
}

function openTarget(config: ProxierConfig, deps: ProxierDeps): RuleTarget {
  if (config.backend === "userspace") return userspaceTarget(deps);
  const nftables = (): RuleTarget => {
    const asked = skeletonOptionsOf(config);
    const skeleton = { ...asked, dropInvalid: asked.dropInvalid === true && !tcpIsLiberal() };
    return new NftablesTarget(
      { families: config.families ?? bothFamilies, tableName: config.tableName ?? defaultTableName, skeleton },
      openApplier(config.nftables ?? "auto", deps),
    );
  };
  if (config.backend === "nftables") return nftables();
  const iptables = (): RuleTarget => openIptables(config, deps);
  if (config.backend === "iptables") return iptables();
  if (config.backend === "ipvs") return openIpvs(config, deps);
  return new AutoTarget({
    targets: [
      { backend: "nftables", open: nftables },
      { backend: "iptables", open: iptables },
      { backend: "userspace", open: () => userspaceTarget(deps) },
    ],
    log: deps.log,
  });
}

function openIptables(config: ProxierConfig, deps: ProxierDeps): RuleTarget {
  const { nodeName } = config;
  const families = iptablesFamilies(config, deps);
  return new IptablesTarget({ nodeName, families, options: iptablesOptionsOf(config) }, iptablesWorld(config, deps));
}

function openIpvs(config: ProxierConfig, deps: ProxierDeps): RuleTarget {
  const { nodeName } = config;
  const families = iptablesFamilies(config, deps);
  return new IpvsTarget({ nodeName, options: ipvsProgramOptionsOf({ ...config, families }) }, ipvsWorld({ ...config, families }, deps));
}

function userspaceTarget(deps: ProxierDeps): RuleTarget {
  return new UserspaceTarget({
    monotonic: () => deps.clock.monotonic(),
    random: Math.random,
    isOwn: (ip) => ip === "::1" || ip.startsWith("127.") || readMachineIps().includes(ip),
  });
}

/** Netlink in this process where it can be had, else the nft command. */
function openApplier(way: NonNullable<ProxierConfig["nftables"]>, deps: Pick<ProxierDeps, "log">): RuleApplier {
  if (way === "command") return createTextApplier();
  try {
    return createNetlinkApplier();
  } catch (error) {
    if (way === "netlink") throw error;
    deps.log("info", `netlink is not to be had in this process (${String(error)}); rules go through the nft command`);
    return createTextApplier();
  }
}

function openFlows(deps: Pick<ProxierDeps, "log">): FlowTable | undefined {
  try {
    return new Conntrack();
  } catch (error) {
    deps.log("warn", `stale UDP flows are not ended, because connection tracking cannot be reached: ${String(error)}`);
    return undefined;
  }
}

/** Silent where there is none: that the flows' table cannot be reached was told. */
function openConnections(): ConnectionTable | undefined {
  try {
    return new Conntrack();
  } catch {
    return undefined;
  }
}

export interface OfflineOptions extends Omit<RuleOptions, "nodeName"> {
  readonly nodeName: string;
  readonly backend: Backend;
  /** Only this family's rules in `text`; iptables, whose loaders take one family each, prints IPv4 unless told. */
  readonly family?: IpFamily | undefined;
}

export interface OfflineProgram {
  /** What one loader takes: `nft -f` text, `iptables-restore --noflush` text, a JSON document of virtual servers with what their loaders take, or one of listeners. */
  readonly text: string;
  /** One table a family; empty for other backends than nftables. */
  readonly program: readonly Ruleset[];
  /** One a family; empty for other backends. */
  readonly iptables: readonly IptablesProgram[];
  /** Absent for other backends. */
  readonly ipvs?: IpvsProgram;
  readonly problems: readonly Problem[];
  trace(packet: Packet): Verdict;
}

/** The rules a node would have, from objects alone: no privileges, no cluster. */
export function compileOffline(snapshot: Snapshot, options: OfflineOptions): OfflineProgram {
  const plan = new ProxyPlan(options.nodeName, planOptionsOf(options));
  const delta = plan.apply(batchFromEmpty(snapshot));
  const surroundings = surroundingsOf(snapshot, plan.node, options, () => []);
  const problems = [...plan.problems(), ...plan.nodeProblems];
  if (options.backend === "userspace") {
    const wanted = new Map(
      [...delta.frontends.changed].filter(([, c]) => options.family === undefined || c.after?.family === options.family),
    );
    const listeners = { ...compileUserspace(wanted, emptyUserspaceProgram), surroundings };
    for (const { after } of wanted.values()) {
      const limit = after === undefined ? undefined : userspaceLimitOf(after);
      if (limit !== undefined) problems.push(limit);
    }
    return {
      text: printUserspace(listeners),
      program: [],
      iptables: [],
      problems: distinctProblems(problems),
      trace: (packet) => traceUserspace(listeners, packet, plan.node.addresses),
    };
  }
  if (options.backend === "iptables") {
    const iptables = (options.families ?? bothFamilies).map((family) => {
      const { program } = compileIptablesSurroundings(surroundings, emptyProgram(family, iptablesOptionsOf(options)));
      return compileHealthPorts(delta.services.changed, compileIptables(delta.frontends.changed, program).program).program;
    });
    const limits = [...delta.frontends.changed.values()].flatMap(({ after }) => (after === undefined ? [] : (problemOf(after) ?? [])));
    problems.push(...new Map(limits.map((p) => [`${p.object.namespace ?? ""}/${p.object.name}`, p])).values());
    const shown = iptables.find((p) => p.family === (options.family ?? options.families?.[0] ?? 4));
    return {
      text: shown === undefined ? "" : printRuleSet(ruleSetOf(shown)),
      program: [],
      iptables,
      problems,
      trace: (packet) => traceIptables(iptables, packet, plan.node.addresses),
    };
  }
  if (options.backend === "ipvs") {
    const wanted = options.family === undefined ? options : { ...options, families: [options.family] };
    const empty = emptyIpvsProgram(ipvsProgramOptionsOf(wanted));
    const { program } = compileIpvsSurroundings(withAddresses(surroundings, plan.node.addresses), empty);
    const ipvs = compileIpvsHealthPorts(delta.services.changed, compileIpvs(delta.frontends.changed, program).program).program;
    for (const { after } of delta.frontends.changed.values()) {
      const problem = after === undefined ? undefined : limitOf(after, ipvs.options);
      if (problem !== undefined) problems.push(problem);
    }
    return {
      text: printIpvs(ipvs),
      program: [],
      iptables: [],
      ipvs,
      problems,
      trace: (packet) => traceIpvs(ipvs, packet, plan.node.addresses),
    };
  }
  const program = (options.families ?? bothFamilies).map((family) => {
    const empty = emptyRuleset(family, options.tableName ?? defaultTableName, { ...defaultSkeletonOptions, ...skeletonOptionsOf(options) });
    const compiled = compileFrontends(delta.frontends.changed, empty);
    problems.push(...compiled.problems);
    return compileSurroundings(surroundings, compiled.plan);
  });
  const shown = program.filter((r) => options.family === undefined || r.family === options.family);
  return {
    text: shown.map((r) => printTable(tableOf(r))).join(""),
    program,
    iptables: [],
    problems: distinctProblems(problems),
    trace: rulesetTracer(program, plan.node.addresses),
  };
}

/** Removes every rule fairway made in this thread's network namespace, and nothing else. What could not be removed, one line each. */
export function cleanup(options: { readonly tableName?: string | undefined } = {}): Promise<readonly string[]> {
  const doors = { ...doorsHere({}, { log: () => undefined }), nft: runNft, removeServers, removeCounters };
  return cleanUp(options.tableName ?? defaultTableName, doors, AbortSignal.timeout(60_000));
}
