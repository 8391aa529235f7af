import type { IpFamily } from "../../src/base/ip.ts";
import type { Batch } from "../../src/snapshot/cluster-snapshot.ts";
import type { Problem } from "../../src/snapshot/problem.ts";
import type { Backend } from "../model/backend.ts";
import type { AppliedIndex } from "./applied-index.ts";
import { Histogram, printFamily, programmingBuckets, type Sample, transactionBuckets } from "./prometheus-text.ts";
import type { CountedPackets } from "./rule-counters.ts";
import type { RuleCount } from "./target.ts";

/** What kube-proxy calls a transaction that failed, by backend. */
const failuresOf = { nftables: "nftables_sync", iptables: "iptables_restore", ipvs: "iptables_restore" } as const;
const triggerTime = "endpoints.kubernetes.io/last-change-trigger-time";

/** What is so at the moment of asking. */
export interface Seen {
  readonly rules?: readonly RuleCount[];
  readonly problems?: readonly Problem[];
  readonly counted?: CountedPackets | undefined;
}

export interface AppliedSync {
  /** Of everything, as a start is; else of what changed. */
  readonly full: boolean;
  /** Those of the addresses that changed. */
  readonly families: readonly IpFamily[];
  readonly durationMs: number;
  readonly changes: number;
  readonly index: AppliedIndex;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** What kube-proxy counts for each family by itself. */
class FamilyMetrics {
  readonly syncs = new Histogram(transactionBuckets);
  readonly fullSyncs = new Histogram(transactionBuckets);
  readonly partialSyncs = new Histogram(transactionBuckets);
  readonly programming = new Histogram(programmingBuckets);
  readonly flowLooks = new Histogram(transactionBuckets);
  pendingTriggers: number[] = [];
  staleFlows = 0;
  lastSync = 0;
  lastQueued = 0;
  failures = 0;
  partialFailures = 0;
}

/** Counters of one proxier under kube-proxy's names, where the meaning is the same, and a few of our own. */
export class ProxierMetrics {
  readonly #families: ReadonlyMap<IpFamily, FamilyMetrics>;
  /** Milliseconds since 1970. */
  readonly #since: number;
  #serviceChanges = 0;
  #endpointChanges = 0;
  #pendingServices = 0;
  #pendingEndpoints = 0;
  #cleanupFailures = 0;
  #audits = 0;
  #repairs = 0;
  #elements = 0;
  #noLocal: AppliedIndex["withoutLocal"] | undefined;
  #refused = 0;
  #frontends = 0;

  /** `families`: those that have rules. `since`: when this began; how long what was asked for before has waited says nothing of it. */
  constructor(families: readonly IpFamily[] = [4, 6], since = 0) {
    this.#since = since;
    this.#families = new Map(families.map((family) => [family, new FamilyMetrics()]));
  }

  changesSeen(batch: Batch, now: number): void {
    for (const of of this.#families.values()) of.lastQueued = now / 1000;
    const services = batch.dirty.get("Service")?.size ?? 0;
    const slices = batch.dirty.get("EndpointSlice") ?? new Set<string>();
    this.#serviceChanges += services;
    this.#endpointChanges += slices.size;
    this.#pendingServices += services;
    this.#pendingEndpoints += slices.size;
    for (const key of slices) {
      const slice = batch.after.tables.EndpointSlice.get(key);
      const trigger = slice?.metadata?.annotations?.[triggerTime];
      const time = trigger === undefined ? Number.NaN : Date.parse(trigger);
      const before = batch.before.tables.EndpointSlice.get(key)?.metadata?.annotations?.[triggerTime];
      const family = slice?.addressType === "IPv6" ? 6 : 4;
      if (time > this.#since && trigger !== before) this.#families.get(family)?.pendingTriggers.push(time);
    }
  }

  applied(sync: AppliedSync): void {
    for (const [family, of] of this.#families) {
      for (const time of of.pendingTriggers) of.programming.observe(Math.max(0, (sync.now - time) / 1000));
      of.pendingTriggers = [];
      of.lastSync = sync.now / 1000;
      if (!sync.full && !sync.families.includes(family)) continue;
      of.syncs.observe(sync.durationMs / 1000);
      (sync.full ? of.fullSyncs : of.partialSyncs).observe(sync.durationMs / 1000);
    }
    this.#elements += sync.changes;
    this.#pendingServices = 0;
    this.#pendingEndpoints = 0;
    this.#frontends = sync.index.frontends;
    this.#noLocal = { ...sync.index.withoutLocal };
  }

  /** So many frontends are left out now. */
  refused(frontends: number): void {
    this.#refused = frontends;
  }

  /** What others left could not be removed. */
  cleanupFailed(): void {
    this.#cleanupFailures++;
  }

  /** Nothing of a transaction, of everything or of what changed, is in force, whichever family it failed at. */
  failed(which: "full" | "partial"): void {
    for (const of of this.#families.values()) {
      of.failures++;
      if (which === "partial") of.partialFailures++;
    }
  }

  audited(repaired: boolean): void {
    this.#audits++;
    if (repaired) this.#repairs++;
  }

  /** Stale flows were looked for. */
  flowsLookedFor(family: IpFamily, look: { readonly ended: number; readonly tookMs: number }): void {
    const of = this.#families.get(family);
    if (of === undefined) return;
    of.staleFlows += look.ended;
    of.flowLooks.observe(look.tookMs / 1000);
  }

  /** `backend`: whose names failures go by; undefined before one is in use. */
  print(backend: Backend | undefined, { rules = [], problems = [], counted }: Seen = {}): string {
    const one = (name: string, type: "counter" | "gauge", help: string, value: number): readonly string[] =>
      printFamily(name, type, help, [{ value }]);
    const counter = (name: string, help: string, value: number | undefined): readonly string[] =>
      value === undefined ? [] : one(name, "counter", help, value);
    const each = (name: string, type: "counter" | "gauge", help: string, value: (of: FamilyMetrics) => number): readonly string[] =>
      printFamily(
        name,
        type,
        help,
        this.#each((of, labels) => [{ labels, value: value(of) }]),
      );
    const histogram = (name: string, help: string, value: (of: FamilyMetrics) => Histogram): readonly string[] =>
      printFamily(
        name,
        "histogram",
        help,
        this.#each((of, labels) => value(of).samples(labels)),
      );
    const ruleCounts = (name: string, help: string, value: (r: RuleCount) => number): readonly string[] =>
      printFamily(
        name,
        "gauge",
        help,
        rules.map((r) => ({ labels: { table: r.table, ...labelsOf(r.family) }, value: value(r) })),
      );
    const failures = (name: string, help: string, value: (of: FamilyMetrics) => number): readonly string[] =>
      each(`kubeproxy_sync_proxy_rules_${name}_failures_total`, "counter", help, value);
    const lines = [
      ...histogram("kubeproxy_sync_proxy_rules_duration_seconds", "Time one transaction of Service rules took", (of) => of.syncs),
      ...histogram(
        "kubeproxy_sync_full_proxy_rules_duration_seconds",
        "Time a transaction of all Service rules took",
        (of) => of.fullSyncs,
      ),
      ...histogram(
        "kubeproxy_sync_partial_proxy_rules_duration_seconds",
        "Time a transaction of changed Service rules took",
        (of) => of.partialSyncs,
      ),
      ...histogram(
        "kubeproxy_network_programming_duration_seconds",
        "Time from a change of endpoints to rules in force",
        (of) => of.programming,
      ),
      ...one("kubeproxy_sync_proxy_rules_service_changes_total", "counter", "Changes of Services seen", this.#serviceChanges),
      ...one("kubeproxy_sync_proxy_rules_service_changes_pending", "gauge", "Changes of Services not in force yet", this.#pendingServices),
      ...one("kubeproxy_sync_proxy_rules_endpoint_changes_total", "counter", "Changes of EndpointSlices seen", this.#endpointChanges),
      ...one(
        "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
        "gauge",
        "Changes of EndpointSlices not in force yet",
        this.#pendingEndpoints,
      ),
      ...each("kubeproxy_sync_proxy_rules_last_timestamp_seconds", "gauge", "When rules were last applied", (of) => of.lastSync),
      ...each("kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds", "gauge", "When a change was last seen", (of) => of.lastQueued),
      ...(backend === undefined || backend === "userspace"
        ? []
        : failures(failuresOf[backend], "Transactions that failed", (of) => of.failures)),
      ...(backend === "iptables"
        ? failures("iptables_partial_restore", "Transactions of changed rules that failed", (of) => of.partialFailures)
        : []),
      ...(backend === "nftables" ? failures("nftables_cleanup", "Removals of others' rules that failed", () => this.#cleanupFailures) : []),
      ...counter(
        "kubeproxy_iptables_ct_state_invalid_dropped_packets_total",
        "Packets of no known connection dropped",
        counted?.invalidDropped,
      ),
      ...counter(
        "kubeproxy_iptables_localhost_nodeports_accepted_packets_total",
        "New connections to node ports at 127.0.0.0/8",
        counted?.localhostAccepted,
      ),
      ...ruleCounts("kubeproxy_sync_proxy_rules_iptables_total", "Rules in force", (r) => r.rules),
      ...ruleCounts("kubeproxy_sync_proxy_rules_iptables_last", "Rules that the last transaction wrote", (r) => r.written),
      ...printFamily(
        "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
        "gauge",
        "Services with policy Local and endpoints on other nodes only",
        [...this.#families.keys()].flatMap((family) =>
          (["internal", "external"] as const).map((traffic) => ({
            labels: { ...labelsOf(family), traffic_policy: traffic },
            value: this.#noLocal?.[`${traffic}${family}`] ?? 0,
          })),
        ),
      ),
      ...histogram("kubeproxy_conntrack_reconciler_sync_duration_seconds", "Time a look for stale UDP flows took", (of) => of.flowLooks),
      ...each("kubeproxy_conntrack_reconciler_deleted_entries_total", "counter", "Stale UDP flows deleted", (of) => of.staleFlows),
      ...one("fairway_rules_elements_total", "counter", "Elements added or deleted", this.#elements),
      ...one("fairway_rules_frontends", "gauge", "Addresses and ports in force", this.#frontends),
      ...one("fairway_rules_refused", "gauge", "Frontends the kernel refused", this.#refused),
      "# HELP fairway_rules_problems Objects that cannot have what they ask for, or others' doing that stands against them, by reason",
      "# TYPE fairway_rules_problems gauge",
      ...[...Map.groupBy(problems, (p) => p.reason)].map(([reason, of]) => `fairway_rules_problems{reason="${reason}"} ${of.length}`),
      ...one("fairway_rules_audits_total", "counter", "Comparisons of the kernel with what was applied", this.#audits),
      ...one("fairway_rules_repairs_total", "counter", "Comparisons that found and repaired foreign changes", this.#repairs),
    ];
    return `${lines.join("\n")}\n`;
  }

  #each(samples: (of: FamilyMetrics, labels: Readonly<Record<string, string>>) => readonly Sample[]): readonly Sample[] {
    return [...this.#families].flatMap(([family, of]) => samples(of, labelsOf(family)));
  }
}

function labelsOf(family: IpFamily): { readonly ip_family: string } {
  return { ip_family: `IPv${family}` };
}
