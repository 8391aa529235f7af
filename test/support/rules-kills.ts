import { spawn } from "node:child_process";
import { join } from "node:path";
import type { RuleApplier } from "../../rules/apply/applier.ts";
import { createIptablesApplier } from "../../rules/apply/iptables-applier.ts";
import { createIpvsApplier } from "../../rules/apply/kernel-ipvs-applier.ts";
import { createNetlinkApplier } from "../../rules/apply/netlink-applier.ts";
import { createTextApplier } from "../../rules/apply/text-applier.ts";
import { compileOffline } from "../../rules/index.ts";
import { hooksOf } from "../../rules/iptables/program.ts";
import { adopt, diffHooks } from "../../rules/iptables/read.ts";
import { diffChains } from "../../rules/iptables/transaction.ts";
import { diffFromFound as diffFromServers } from "../../rules/ipvs/difference.ts";
import { adoptAllocations, adoptSkeleton } from "../../rules/nftables/adopt.ts";
import { compileFrontends, emptyRuleset } from "../../rules/nftables/ruleset.ts";
import { diffFromElements } from "../../rules/nftables/transaction.ts";
import { IptablesTarget } from "../../rules/sync/iptables-target.ts";
import { IpvsTarget } from "../../rules/sync/ipvs-target.ts";
import { ProxierMetrics } from "../../rules/sync/metrics.ts";
import { NftablesTarget } from "../../rules/sync/nftables-target.ts";
import { runProxier } from "../../rules/sync/proxier.ts";
import { iptablesOptionsOf, ipvsProgramOptionsOf } from "../../rules/sync/surroundings.ts";
import type { RuleTarget } from "../../rules/sync/target.ts";
import { systemClock } from "../../src/base/clock.ts";
import { Conntrack } from "../../src/kernel/conntrack.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { commandsIn, inNetns } from "./in-netns.ts";
import { iptablesIn } from "./iptables-in.ts";
import { nftIn } from "./nft-in.ts";
import { type Random, seededRandom } from "./random.ts";
import { churned, churnService, churnSlice, keptAddress, keptObjects, nodePortAddresses, stickyAddress } from "./rules-churn.ts";
import { labAddresses, type Pace, type RulesLab, type Traffic } from "./rules-lab.ts";
import { fillStore } from "./rules-objects.ts";

export interface RulesKills {
  readonly kills: number;
  /** Kills that met a process which had not yet brought its rules in force. */
  readonly early: number;
  readonly tcp: Traffic;
  readonly udp: Traffic;
  readonly fresh: Traffic;
  readonly sticky: Traffic;
  /** What was wrong, in the order it was seen. */
  readonly faults: readonly string[];
}

export interface RulesKillOptions {
  /** How nftables is reached, which make of iptables it is, or virtual servers. */
  readonly way: "netlink" | "command" | "iptables-legacy" | "iptables-nft" | "ipvs";
  readonly kills: number;
  readonly seed: number;
  /** So many come and go; default 100. */
  readonly services?: number;
  /** About how long a process takes until its rules are in force; learnt as it goes. Default 400. */
  readonly startMs?: number;
  /** How the traffic is, where that of other machines would be too much or too impatient. */
  readonly pace?: Pace;
  /** No further kill after this. */
  readonly signal?: AbortSignal;
  readonly progress?: (kills: number, faults: number) => void;
}

/** In a guest kernel, slow as it is: of its one processor the process that is killed gets most. */
export const killsInGuest = { way: "ipvs", services: 40, startMs: 4000, pace: { everyMs: 200, timeoutMs: 60_000 } } as const;

const churnProgram = join(import.meta.dirname, `rules-churn.program.${import.meta.url.endsWith(".ts") ? "ts" : "mjs"}`);

/**
 * Kills the process that programs node `a` of the lab, again and again, at moments that the seed draws, while traffic goes
 * through its rules. After each kill another start, with other objects, must bring the kernel to the plan.
 */
export async function killRules(lab: RulesLab, o: RulesKillOptions): Promise<RulesKills> {
  const { way, services = churned } = o;
  const random = seededRandom(o.seed);
  const namespace = lab.namespace("a");
  const faults: string[] = [];
  await recover(namespace, random, o);
  const kept = { host: keptAddress, port: 80, ...o.pace };
  const streams = {
    tcp: await lab.agents.a2.stream({ kind: "held", protocol: "tcp", ...kept }),
    udp: await lab.agents.a2.stream({ kind: "held", protocol: "udp", ...kept }),
    fresh: await lab.agents.client.stream({ kind: "fresh", protocol: "tcp", ...kept }),
    sticky: await lab.agents.client.stream({ kind: "fresh", protocol: "tcp", ...kept, host: stickyAddress }),
  };
  let kills = 0;
  let early = 0;
  let startMs = o.startMs ?? 400;
  while (kills < o.kills && o.signal?.aborted !== true) {
    const seed = random.below(0x7fffffff);
    const started = performance.now();
    const argv = ["--disable-warning=ExperimentalWarning", churnProgram, String(seed), way, String(services)];
    const child = inNetns(namespace, () => spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "inherit"] }));
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    let ready = false;
    const said = new Promise<void>((resolve) =>
      child.stdout.once("data", () => {
        ready = true;
        startMs = startMs * 0.8 + (performance.now() - started) * 0.2;
        resolve();
      }),
    );
    if (random.below(2) === 0) {
      await Promise.race([said, ended]);
      await systemClock.sleep(random.next() * 0.2 * startMs);
    } else {
      // the last part of a start is when it programs
      await systemClock.sleep(startMs * (0.4 + 0.8 * random.next()));
    }
    if (child.exitCode !== null) faults.push(`kill ${kills}: the process had ended with ${child.exitCode} (seed ${seed}, ${way})`);
    child.kill("SIGKILL");
    await ended;
    kills++;
    if (!ready) early++;
    for (const fault of await recover(namespace, random, o)) faults.push(`kill ${kills} (seed ${seed}, ${way}): ${fault}`);
    o.progress?.(kills, faults.length);
  }
  const traffic = {
    tcp: await streams.tcp.end(),
    udp: await streams.udp.end(),
    fresh: await streams.fresh.end(),
    sticky: await streams.sticky.end(),
  };
  for (const [name, { faults: seen }] of Object.entries(traffic)) faults.push(...seen.map((fault) => `${name}: ${fault}`));
  return { kills, early, ...traffic, faults };
}

/** A new start, with objects of its own; what differs between kernel and plan once it says it is ready. */
async function recover(namespace: string, random: Random, { way, services = churned }: RulesKillOptions): Promise<readonly string[]> {
  const store = new SnapshotStore();
  const present = Array.from({ length: services }, (_, i) => i).filter(() => random.below(3) === 0);
  fillStore(store, [...keptObjects(), ...present.flatMap((i) => [churnService(i, random), churnSlice(i, random)])]);
  const complaints: string[] = [];
  const target = openTarget(namespace, way);
  const proxier = runProxier(
    { store, nodeName: "a", backend: target.backend, nodePortAddresses, serviceHealth: false },
    { clock: systemClock, log: (level, message) => level !== "info" && complaints.push(message) },
    { target, metrics: new ProxierMetrics(), flows: () => inNetns(namespace, () => new Conntrack()) },
  );
  try {
    await proxier.ready;
    return [...proxier.problems().map((p) => p.message), ...(await kernelDifferences(namespace, store, way)), ...complaints];
  } finally {
    await proxier.close();
  }
}

function openTarget(namespace: string, way: RulesKillOptions["way"]): RuleTarget {
  if (way === "ipvs") return ipvsTarget(namespace);
  if (way === "iptables-legacy" || way === "iptables-nft") return iptablesTarget(namespace, way);
  return new NftablesTarget({ families: [4, 6], tableName: "fairway", skeleton: {} }, openApplier(namespace, way));
}

function ipvsDoors(namespace: string) {
  const rules = createIptablesApplier("nft", iptablesIn(namespace));
  const open = () => createIpvsApplier({ through: "netlink", strictArp: false, rules }, commandsIn(namespace));
  return { servers: inNetns(namespace, open), rules };
}

function ipvsTarget(namespace: string): IpvsTarget {
  return new IpvsTarget(
    { nodeName: "a", options: ipvsProgramOptionsOf({ nodeName: "a", nodePortAddresses }) },
    { open: () => Promise.resolve(ipvsDoors(namespace)), machineIps: () => Object.values(labAddresses.a) },
  );
}

/** How virtual servers, sets, the service link and the rules beside them differ from a fresh compile. */
async function ipvsDifferences(namespace: string, store: SnapshotStore): Promise<readonly string[]> {
  const { ipvs } = compileOffline(store.current, { nodeName: "a", backend: "ipvs", nodePortAddresses });
  if (ipvs === undefined) throw new Error("no program of virtual servers");
  const { servers, rules } = ipvsDoors(namespace);
  try {
    const signal = AbortSignal.timeout(120_000);
    const families = [4, 6] as const;
    const found = new Map(await Promise.all(families.map(async (family) => [family, await rules.read(family, signal)] as const)));
    const {
      createSets,
      rules: changes = [],
      groups,
      destroySets,
    } = diffFromServers({ state: await servers.read(signal), rules: found }, ipvs);
    return [
      ...createSets.map(({ name }) => `the set ${name} is missing`),
      ...destroySets.map(({ name }) => `the set ${name} is left over`),
      ...changes.map(({ table, chains }) => `${table}: ${chains.map((c) => c.name).join(", ")}`),
      ...groups.map((g) => `${g.owner}: ${g.adds.length} missing, ${g.changes.length} to change, ${g.deletes.length} too many`),
    ];
  } finally {
    await servers.close();
  }
}

function iptablesTarget(namespace: string, way: "iptables-legacy" | "iptables-nft"): IptablesTarget {
  const [make, other] = way === "iptables-legacy" ? (["legacy", "nft"] as const) : (["nft", "legacy"] as const);
  const run = iptablesIn(namespace);
  return new IptablesTarget(
    { nodeName: "a", families: [4, 6], options: iptablesOptionsOf({ nodeName: "a", nodePortAddresses }) },
    {
      open: () => Promise.resolve({ applier: createIptablesApplier(make, run), other: createIptablesApplier(other, run) }),
      routeLocalnet: () => undefined,
      tcpIsLiberal: () => false,
      noteAffinity: () => undefined,
      noteUncounted: () => undefined,
    },
  );
}

async function iptablesDifferences(namespace: string, store: SnapshotStore, make: "legacy" | "nft"): Promise<readonly string[]> {
  const applier = createIptablesApplier(make, iptablesIn(namespace));
  const differences: string[] = [];
  for (const program of compileOffline(store.current, { nodeName: "a", backend: "iptables", nodePortAddresses }).iptables) {
    const { family, chains } = program;
    const found = await applier.read(family, AbortSignal.timeout(120_000));
    const hooks = diffHooks(found, hooksOf(program));
    for (const change of diffChains(family, adopt(family, found, chains), chains, undefined, hooks)) {
      differences.push(`IPv${family} ${change.table}: ${change.chains.map((c) => c.name).join(", ")}; ${change.hook.length} jumps`);
    }
  }
  return differences;
}

function openApplier(namespace: string, way: "netlink" | "command"): RuleApplier {
  return way === "netlink" ? inNetns(namespace, () => createNetlinkApplier(nftIn(namespace))) : createTextApplier(nftIn(namespace));
}

/** How the tables in a namespace differ from what a fresh compile would add to them; empty when they are the plan. */
async function kernelDifferences(namespace: string, store: SnapshotStore, way: RulesKillOptions["way"]): Promise<readonly string[]> {
  if (way === "ipvs") return ipvsDifferences(namespace, store);
  if (way === "iptables-legacy" || way === "iptables-nft")
    return iptablesDifferences(namespace, store, way === "iptables-legacy" ? "legacy" : "nft");
  const reader = openApplier(namespace, way);
  const differences: string[] = [];
  try {
    for (const ruleset of compileOffline(store.current, { nodeName: "a", backend: "nftables", nodePortAddresses }).program) {
      const found = await reader.read(ruleset.family, "fairway", AbortSignal.timeout(120_000));
      if (found?.version === undefined || found.version.fingerprint !== found.fingerprint) {
        differences.push(`IPv${ruleset.family}: chains are not those of the skeleton`);
        continue;
      }
      // modulo allocation: a fresh compile that goes on with the kernel's slots has nothing to add
      const skeleton = { ...ruleset.skeleton, ...adoptSkeleton(found.elements) };
      const empty = emptyRuleset(ruleset.family, "fairway", skeleton, adoptAllocations(ruleset.family, found.elements));
      const changed = new Map([...ruleset.frontends].map(([key, placed]) => [key, { after: placed.frontend }]));
      const again = { ...compileFrontends(changed, empty).plan, surroundings: ruleset.surroundings };
      for (const { owner, adds, deletes } of diffFromElements(found.elements, again).groups) {
        differences.push(`IPv${ruleset.family} ${owner}: ${adds.length} elements missing, ${deletes.length} too many`);
      }
    }
  } finally {
    await reader.close();
  }
  return differences;
}
