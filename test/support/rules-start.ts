import type { RuleApplier } from "../../rules/apply/applier.ts";
import { createIptablesApplier } from "../../rules/apply/iptables-applier.ts";
import { createNetlinkApplier } from "../../rules/apply/netlink-applier.ts";
import type { Backend, Proxier } from "../../rules/index.ts";
import type { ProxierConfig } from "../../rules/sync/config.ts";
import type { ConnectionTable } from "../../rules/sync/connection-use.ts";
import { IptablesTarget } from "../../rules/sync/iptables-target.ts";
import { openLeftServers } from "../../rules/sync/ipvs-world.ts";
import { type LeftoverDoors, leftoversOf } from "../../rules/sync/leftovers.ts";
import { ProxierMetrics } from "../../rules/sync/metrics.ts";
import { NftablesTarget } from "../../rules/sync/nftables-target.ts";
import { runProxier } from "../../rules/sync/proxier.ts";
import type { KernelCounters } from "../../rules/sync/rule-counters.ts";
import { iptablesOptionsOf, skeletonOptionsOf } from "../../rules/sync/surroundings.ts";
import { systemClock } from "../../src/base/clock.ts";
import { Conntrack } from "../../src/kernel/conntrack.ts";
import { legacyTables, type RunIptables } from "../../src/kernel/iptables-command.ts";
import { openForeignEyes } from "../../src/kernel/iptables-watch.ts";
import type { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { inNetns } from "./in-netns.ts";
import { iptablesIn } from "./iptables-in.ts";
import { nftIn } from "./nft-in.ts";
import { type RefusingDoors, refusingIptables, refusingTables } from "./refusing-doors.ts";

export type KernelBackend = "nftables" | "iptables-legacy" | "iptables-nft";

export interface StartedRules {
  readonly proxier: Proxier;
  /** Changes of each transaction. */
  readonly applied: readonly number[];
  readonly log: readonly string[];
  /** Reasons of Events on the Node. */
  readonly events: readonly string[];
}

/** A proxier that programs a named network namespace. `routeLocalnet` is told instead of set. */
export async function startRules(
  namespace: string,
  store: SnapshotStore,
  backend: KernelBackend,
  more: Partial<ProxierConfig> & {
    readonly canaryIntervalMs?: number;
    readonly eyes?: boolean;
    /** With counters that rules count in; default none. */
    readonly counters?: KernelCounters;
    readonly noteUncounted?: (why: string) => void;
    readonly routeLocalnet?: () => void;
    /** Take away what others left. */
    readonly takeOver?: boolean;
    /** Runs programs of iptables; default in the namespace. */
    readonly runIptables?: RunIptables;
    /** Whose connections are counted; default nobody's. */
    readonly connections?: () => ConnectionTable;
    /** What the kernel is to refuse. */
    readonly doors?: RefusingDoors;
  } = {},
): Promise<StartedRules> {
  const {
    canaryIntervalMs,
    eyes,
    counters,
    noteUncounted = () => undefined,
    routeLocalnet,
    takeOver = false,
    connections,
    doors,
    runIptables = iptablesIn(namespace),
    ...options
  } = more;
  const config: ProxierConfig = { store, nodeName: "a", backend: backend === "nftables" ? "nftables" : "iptables", ...options };
  const run = doors === undefined ? runIptables : refusingIptables(runIptables, doors);
  const tables = (): RuleApplier => inNetns(namespace, () => createNetlinkApplier(nftIn(namespace)));
  const make = backend === "iptables-legacy" ? "legacy" : "nft";
  const target =
    backend === "nftables"
      ? new NftablesTarget(
          { families: [4, 6], tableName: "fairway", skeleton: skeletonOptionsOf(config) },
          doors === undefined ? tables() : refusingTables(tables(), doors),
        )
      : new IptablesTarget(
          { nodeName: "a", families: [4, 6], options: iptablesOptionsOf(config), canaryIntervalMs },
          {
            open: () =>
              Promise.resolve({
                applier: createIptablesApplier(make, run),
                other: createIptablesApplier(make === "nft" ? "legacy" : "nft", run),
                counters,
                eyes: eyes === false ? undefined : inNetns(namespace, () => openForeignEyes(make, [4, 6])),
              }),
            tcpIsLiberal: () => false,
            noteAffinity: () => undefined,
            noteUncounted,
            routeLocalnet: routeLocalnet ?? (() => undefined),
          },
        );
  const applied: number[] = [];
  const log: string[] = [];
  const events: string[] = [];
  const proxier = runProxier(
    config,
    {
      clock: systemClock,
      log: (_, message) => log.push(message),
      onApplied: (info) => applied.push(info.elements),
      onEvent: (event) => events.push(event.reason),
    },
    {
      target,
      metrics: new ProxierMetrics(),
      flows: () => inNetns(namespace, () => new Conntrack()),
      connections,
      ...(takeOver ? { leftovers: (chosen: Backend) => leftoversOf(chosen, "fairway", leftoversIn(namespace)) } : {}),
    },
  );
  await proxier.ready;
  return { proxier, applied, log, events };
}

/** How leftovers of a named network namespace are reached. */
export function leftoversIn(namespace: string): LeftoverDoors {
  return {
    tables: () => inNetns(namespace, () => createNetlinkApplier(nftIn(namespace))),
    iptables: iptablesIn(namespace),
    mayHaveRules: (make, family) => make === "nft" || inNetns(namespace, () => legacyTables(family).length > 0),
    servers: () => inNetns(namespace, openLeftServers),
  };
}

/** The sum over what its labels tell apart. */
export function counter(proxier: Proxier, name: string): number {
  const samples = [...proxier.metrics().matchAll(new RegExp(`^${name}(?:{[^}]*})? (.*)$`, "gm"))];
  return samples.length === 0 ? Number.NaN : samples.reduce((sum, sample) => sum + Number(sample[1]), 0);
}
