import { spawn } from "node:child_process";
import { join } from "node:path";
import type { RuleApplier } from "../../rules/apply/applier.ts";
import { createIptablesApplier } from "../../rules/apply/iptables-applier.ts";
import { createNetlinkApplier } from "../../rules/apply/netlink-applier.ts";
import { createTextApplier } from "../../rules/apply/text-applier.ts";
import { compileOffline } from "../../rules/index.ts";
import { defaultIptablesOptions } from "../../rules/iptables/chains.ts";
import { hooksOf } from "../../rules/iptables/program.ts";
import { adopt, diffHooks } from "../../rules/iptables/read.ts";
import { diffChains } from "../../rules/iptables/transaction.ts";
import { adoptAllocations, adoptSkeleton } from "../../rules/nftables/adopt.ts";
import { compileFrontends, emptyRuleset } from "../../rules/nftables/ruleset.ts";
import { diffFromElements } from "../../rules/nftables/transaction.ts";
import { IptablesTarget } from "../../rules/sync/iptables-target.ts";
import { ProxierMetrics } from "../../rules/sync/metrics.ts";
import { NftablesTarget } from "../../rules/sync/nftables-target.ts";
import { runProxier } from "../../rules/sync/proxier.ts";
import { systemClock } from "../../src/base/clock.ts";
import { Conntrack } from "../../src/kernel/conntrack.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { inNetns } from "./in-netns.ts";
import { iptablesIn } from "./iptables-in.ts";
import { nftIn } from "./nft-in.ts";
import { type Random, seededRandom } from "./random.ts";
import { churned, churnService, churnSlice, keptAddress, keptObjects, stickyAddress } from "./rules-churn.ts";
import type { RulesLab, Traffic } from "./rules-lab.ts";
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
  /** How nftables is reached, or which make of iptables it is. */
  readonly way: "netlink" | "command" | "iptables-legacy" | "iptables-nft";
  readonly kills: number;
  readonly seed: number;
  /** No further kill after this. */
  readonly signal?: AbortSignal;
  readonly progress?: (kills: number, faults: number) => void;
}

/**
 * Kills the process that programs node `a` of the lab, again and again, at moments that the seed draws, while traffic goes
 * through its rules. After each kill another start, with other objects, must bring the kernel to the plan.
 */
export async function killRules(lab: RulesLab, o: RulesKillOptions): Promise<RulesKills> {
  const { way } = o;
  const random = seededRandom(o.seed);
  const namespace = lab.namespace("a");
  const faults: string[] = [];
  await recover(namespace, random, way);
  const streams = {
    tcp: await lab.agents.a2.stream({ kind: "held", protocol: "tcp", host: keptAddress, port: 80 }),
    udp: await lab.agents.a2.stream({ kind: "held", protocol: "udp", host: keptAddress, port: 80 }),
    fresh: await lab.agents.client.stream({ kind: "fresh", protocol: "tcp", host: keptAddress, port: 80 }),
    sticky: await lab.agents.client.stream({ kind: "fresh", protocol: "tcp", host: stickyAddress, port: 80 }),
  };
  let kills = 0;
  let early = 0;
  let startMs = 400;
  while (kills < o.kills && o.signal?.aborted !== true) {
    const program = join(import.meta.dirname, "rules-churn.program.ts");
    const seed = random.below(0x7fffffff);
    const started = performance.now();
    const child = spawn("ip", ["netns", "exec", namespace, process.execPath, program, String(seed), way], {
      stdio: ["ignore", "pipe", "inherit"],
    });
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
      await systemClock.sleep(random.next() * 80);
    } else {
      // the last part of a start is when it programs
      await systemClock.sleep(startMs * (0.4 + 0.8 * random.next()));
    }
    if (child.exitCode !== null) faults.push(`kill ${kills}: the process had ended with ${child.exitCode} (seed ${seed}, ${way})`);
    child.kill("SIGKILL");
    await ended;
    kills++;
    if (!ready) early++;
    for (const fault of await recover(namespace, random, way)) faults.push(`kill ${kills} (seed ${seed}, ${way}): ${fault}`);
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
async function recover(namespace: string, random: Random, way: RulesKillOptions["way"]): Promise<readonly string[]> {
  const store = new SnapshotStore();
  const present = Array.from({ length: churned }, (_, i) => i).filter(() => random.below(3) === 0);
  fillStore(store, [...keptObjects(), ...present.flatMap((i) => [churnService(i, random), churnSlice(i, random)])]);
  const complaints: string[] = [];
  const target =
    way === "netlink" || way === "command"
      ? new NftablesTarget({ families: [4, 6], tableName: "fairway", skeleton: {} }, openApplier(namespace, way))
      : iptablesTarget(namespace, way);
  const proxier = runProxier(
    { store, nodeName: "a", backend: target.backend, serviceHealth: false },
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

function iptablesTarget(namespace: string, way: "iptables-legacy" | "iptables-nft"): IptablesTarget {
  const [make, other] = way === "iptables-legacy" ? (["legacy", "nft"] as const) : (["nft", "legacy"] as const);
  const run = iptablesIn(namespace);
  return new IptablesTarget(
    { families: [4, 6], options: defaultIptablesOptions },
    {
      open: () => Promise.resolve({ applier: createIptablesApplier(make, run), other: createIptablesApplier(other, run) }),
      routeLocalnet: () => undefined,
      tcpIsLiberal: () => false,
      noteAffinity: () => undefined,
    },
  );
}

async function iptablesDifferences(namespace: string, store: SnapshotStore, make: "legacy" | "nft"): Promise<readonly string[]> {
  const applier = createIptablesApplier(make, iptablesIn(namespace));
  const differences: string[] = [];
  for (const program of compileOffline(store.current, { nodeName: "a", backend: "iptables" }).iptables) {
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
  if (way === "iptables-legacy" || way === "iptables-nft")
    return iptablesDifferences(namespace, store, way === "iptables-legacy" ? "legacy" : "nft");
  const reader = openApplier(namespace, way);
  const differences: string[] = [];
  try {
    for (const ruleset of compileOffline(store.current, { nodeName: "a", backend: "nftables" }).program) {
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
