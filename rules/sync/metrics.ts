import type { Batch } from "../../src/snapshot/cluster-snapshot.ts";
import type { Problem } from "../../src/snapshot/problem.ts";
import type { Backend } from "../model/backend.ts";
import type { AppliedIndex } from "./applied-index.ts";
import type { RuleCount } from "./target.ts";

const buckets = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60];

class Histogram {
  readonly #counts = new Array<number>(buckets.length).fill(0);
  #sum = 0;
  #count = 0;

  observe(seconds: number): void {
    this.#sum += seconds;
    this.#count++;
    for (const [i, le] of buckets.entries()) if (seconds <= le) this.#counts[i] = (this.#counts[i] ?? 0) + 1;
  }

  print(name: string, help: string): readonly string[] {
    return [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} histogram`,
      ...buckets.map((le, i) => `${name}_bucket{le="${le}"} ${this.#counts[i] ?? 0}`),
      `${name}_bucket{le="+Inf"} ${this.#count}`,
      `${name}_sum ${this.#sum}`,
      `${name}_count ${this.#count}`,
    ];
  }
}

/** What kube-proxy calls a transaction that failed, by backend. */
const failuresOf = { nftables: "nftables_sync", iptables: "iptables_restore", ipvs: "iptables_restore" } as const;

function ruleCounts(name: string, help: string, rules: readonly RuleCount[], value: (r: RuleCount) => number): readonly string[] {
  if (rules.length === 0) return [];
  const samples = rules.map((r) => `${name}{table="${r.table}",ip_family="IPv${r.family}"} ${value(r)}`);
  return [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, ...samples];
}

export interface AppliedSync {
  /** Of everything, as a start is; else of what changed. */
  readonly full: boolean;
  readonly durationMs: number;
  readonly changes: number;
  readonly index: AppliedIndex;
  readonly problems: number;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** Counters of one proxier under kube-proxy's names, where the meaning is the same, and a few of our own. */
export class ProxierMetrics {
  readonly #syncs = new Histogram();
  readonly #fullSyncs = new Histogram();
  readonly #partialSyncs = new Histogram();
  readonly #programming = new Histogram();
  #pendingTriggers: number[] = [];
  #serviceChanges = 0;
  #endpointChanges = 0;
  #pendingServices = 0;
  #pendingEndpoints = 0;
  #failures = 0;
  #audits = 0;
  #repairs = 0;
  #elements = 0;
  #lastSync = 0;
  #lastQueued = 0;
  #staleFlows = 0;
  #noLocal = { internal: 0, external: 0 };
  #problems = 0;
  #frontends = 0;

  changesSeen(batch: Batch, now: number): void {
    this.#lastQueued = now / 1000;
    const services = batch.dirty.get("Service")?.size ?? 0;
    const slices = batch.dirty.get("EndpointSlice") ?? new Set<string>();
    this.#serviceChanges += services;
    this.#endpointChanges += slices.size;
    this.#pendingServices += services;
    this.#pendingEndpoints += slices.size;
    for (const key of slices) {
      const trigger =
        batch.after.tables.EndpointSlice.get(key)?.metadata?.annotations?.["endpoints.kubernetes.io/last-change-trigger-time"];
      const time = trigger === undefined ? Number.NaN : Date.parse(trigger);
      const before =
        batch.before.tables.EndpointSlice.get(key)?.metadata?.annotations?.["endpoints.kubernetes.io/last-change-trigger-time"];
      if (!Number.isNaN(time) && trigger !== before) this.#pendingTriggers.push(time);
    }
  }

  applied(sync: AppliedSync): void {
    this.#syncs.observe(sync.durationMs / 1000);
    (sync.full ? this.#fullSyncs : this.#partialSyncs).observe(sync.durationMs / 1000);
    this.#elements += sync.changes;
    this.#lastSync = sync.now / 1000;
    this.#pendingServices = 0;
    this.#pendingEndpoints = 0;
    for (const time of this.#pendingTriggers) this.#programming.observe(Math.max(0, (sync.now - time) / 1000));
    this.#pendingTriggers = [];
    this.#problems = sync.problems;
    this.#frontends = sync.index.frontends;
    this.#noLocal = { ...sync.index.withoutLocal };
  }

  failed(): void {
    this.#failures++;
  }

  audited(repaired: boolean): void {
    this.#audits++;
    if (repaired) this.#repairs++;
  }

  flowsDeleted(count: number): void {
    this.#staleFlows += count;
  }

  /** `backend`: whose names failures go by; undefined before one is in use. */
  print(backend: Backend | undefined, rules: readonly RuleCount[], problems: readonly Problem[] = []): string {
    const one = (name: string, type: "counter" | "gauge", help: string, value: number): readonly string[] => [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} ${type}`,
      `${name} ${value}`,
    ];
    const lines = [
      ...this.#syncs.print("kubeproxy_sync_proxy_rules_duration_seconds", "Time one transaction of Service rules took"),
      ...this.#fullSyncs.print("kubeproxy_sync_full_proxy_rules_duration_seconds", "Time a transaction of all Service rules took"),
      ...this.#partialSyncs.print(
        "kubeproxy_sync_partial_proxy_rules_duration_seconds",
        "Time a transaction of changed Service rules took",
      ),
      ...this.#programming.print("kubeproxy_network_programming_duration_seconds", "Time from a change of endpoints to rules in force"),
      ...one("kubeproxy_sync_proxy_rules_service_changes_total", "counter", "Changes of Services seen", this.#serviceChanges),
      ...one("kubeproxy_sync_proxy_rules_service_changes_pending", "gauge", "Changes of Services not in force yet", this.#pendingServices),
      ...one("kubeproxy_sync_proxy_rules_endpoint_changes_total", "counter", "Changes of EndpointSlices seen", this.#endpointChanges),
      ...one(
        "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
        "gauge",
        "Changes of EndpointSlices not in force yet",
        this.#pendingEndpoints,
      ),
      ...one("kubeproxy_sync_proxy_rules_last_timestamp_seconds", "gauge", "When rules were last applied", this.#lastSync),
      ...one("kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds", "gauge", "When a change was last seen", this.#lastQueued),
      ...(backend === undefined || backend === "userspace"
        ? []
        : one(`kubeproxy_sync_proxy_rules_${failuresOf[backend]}_failures_total`, "counter", "Transactions that failed", this.#failures)),
      ...ruleCounts("kubeproxy_sync_proxy_rules_iptables_total", "Rules in force", rules, (r) => r.rules),
      ...ruleCounts("kubeproxy_sync_proxy_rules_iptables_last", "Rules that the last transaction wrote", rules, (r) => r.written),
      "# HELP kubeproxy_sync_proxy_rules_no_local_endpoints_total Services with policy Local and endpoints on other nodes only",
      "# TYPE kubeproxy_sync_proxy_rules_no_local_endpoints_total gauge",
      `kubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy="internal"} ${this.#noLocal.internal}`,
      `kubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy="external"} ${this.#noLocal.external}`,
      ...one("kubeproxy_conntrack_reconciler_deleted_entries_total", "counter", "Stale UDP flows deleted", this.#staleFlows),
      ...one("fairway_rules_elements_total", "counter", "Elements added or deleted", this.#elements),
      ...one("fairway_rules_frontends", "gauge", "Addresses and ports in force", this.#frontends),
      ...one("fairway_rules_refused", "gauge", "Frontends the kernel refused", this.#problems),
      "# HELP fairway_rules_problems Objects that cannot have what they ask for, or others' doing that stands against them, by reason",
      "# TYPE fairway_rules_problems gauge",
      ...[...Map.groupBy(problems, (p) => p.reason)].map(([reason, of]) => `fairway_rules_problems{reason="${reason}"} ${of.length}`),
      ...one("fairway_rules_audits_total", "counter", "Comparisons of the kernel with what was applied", this.#audits),
      ...one("fairway_rules_repairs_total", "counter", "Comparisons that found and repaired foreign changes", this.#repairs),
    ];
    return `${lines.join("\n")}\n`;
  }
}
