import { expect, test } from "vitest";
import { AppliedIndex } from "../../../rules/sync/applied-index.ts";
import { ProxierMetrics } from "../../../rules/sync/metrics.ts";
import type { CountedPackets } from "../../../rules/sync/rule-counters.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { makeSlice, put } from "../../support/rules-objects.ts";

const value = (text: string, name: string): number =>
  Number(
    text
      .split("\n")
      .find((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{ip_family="IPv4"} `))
      ?.split(" ")[1],
  );

test("every line is a comment or a sample, every family has help and type once", () => {
  const text = new ProxierMetrics().print("iptables", { rules: [{ table: "nat", family: 4, rules: 3, written: 1 }] });
  for (const line of text.trimEnd().split("\n"))
    expect(line).toMatch(/^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z_]+="[^"]+"(,[a-z_]+="[^"]+")*\})? [0-9.e+-]+)$/);
  const types = text.match(/^# TYPE \S+/gm) ?? [];
  expect(new Set(types).size).toBe(types.length);
});

test("changes are pending until they are applied; the time from the trigger annotation is observed once", () => {
  const metrics = new ProxierMetrics();
  const store = new SnapshotStore();
  const cursor = store.cursor(() => undefined);
  const slice = makeSlice("s", ["10.0.0.1"]);
  const annotations = { "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z" };
  put(store, "EndpointSlice", { ...slice, metadata: { ...slice.metadata, annotations } });
  const first = cursor.take();
  if (first !== undefined) metrics.changesSeen(first, 7000);
  expect(value(metrics.print("nftables"), "kubeproxy_sync_proxy_rules_endpoint_changes_pending")).toBe(1);
  const now = Date.parse("2026-01-01T00:00:02Z");
  const sync = { families: [4] as const, durationMs: 3, changes: 4, index: new AppliedIndex(), now };
  metrics.applied({ ...sync, full: true });
  expect(value(metrics.print("nftables"), "kubeproxy_sync_proxy_rules_endpoint_changes_pending")).toBe(0);
  expect(value(metrics.print("nftables"), "kubeproxy_sync_proxy_rules_endpoint_changes_total")).toBe(1);
  expect(value(metrics.print("nftables"), "kubeproxy_network_programming_duration_seconds_sum")).toBe(2);
  put(store, "EndpointSlice", { ...slice, metadata: { ...slice.metadata, annotations } }, "2");
  expect(value(metrics.print("nftables"), "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds")).toBe(7);
  const second = cursor.take();
  if (second !== undefined) metrics.changesSeen(second, 8000);
  metrics.applied({ ...sync, full: false });
  expect(value(metrics.print("nftables"), "kubeproxy_network_programming_duration_seconds_count")).toBe(1);
  expect(value(metrics.print("nftables"), "kubeproxy_sync_full_proxy_rules_duration_seconds_count")).toBe(1);
  expect(value(metrics.print("nftables"), "kubeproxy_sync_partial_proxy_rules_duration_seconds_count")).toBe(1);
  expect(value(metrics.print("nftables"), "kubeproxy_sync_proxy_rules_last_timestamp_seconds")).toBe(now / 1000);
});

test("buckets are kube-proxy's, and some below", () => {
  const text = new ProxierMetrics([4]).print("nftables");
  const buckets = (name: string): readonly number[] =>
    [...text.matchAll(new RegExp(`^kubeproxy_${name}_bucket\\{ip_family="IPv4",le="([\\d.]+)"`, "gm"))].map((m) => Number(m[1]));
  const transactions = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384];
  for (const name of ["", "full_", "partial_"])
    expect(buckets(`sync_${name}proxy_rules_duration_seconds`).filter((le) => le >= 0.001)).toEqual(transactions);
  expect(buckets("conntrack_reconciler_sync_duration_seconds").filter((le) => le >= 0.001)).toEqual(transactions);
  const programming = buckets("network_programming_duration_seconds").filter((le) => le >= 0.25);
  expect(programming.slice(0, 4)).toEqual([0.25, 0.5, 1, 2]);
  expect(programming.slice(60, 64)).toEqual([59, 60, 65, 70]);
  expect(programming.slice(-8)).toEqual([115, 120, 150, 180, 210, 240, 270, 300]);
  expect(programming).toHaveLength(80);
});

test("what was changed before this process began says nothing of how long it takes", () => {
  const start = Date.parse("2026-01-01T00:00:05Z");
  const metrics = new ProxierMetrics([4], start);
  const store = new SnapshotStore();
  const cursor = store.cursor(() => undefined);
  for (const [name, second] of [
    ["before", "04"],
    ["after", "06"],
  ] as const) {
    const slice = makeSlice(name, ["10.0.0.1"]);
    const annotations = { "endpoints.kubernetes.io/last-change-trigger-time": `2026-01-01T00:00:${second}Z` };
    put(store, "EndpointSlice", { ...slice, metadata: { ...slice.metadata, annotations } });
  }
  const batch = cursor.take();
  if (batch !== undefined) metrics.changesSeen(batch, start + 2000);
  metrics.applied({ families: [4], durationMs: 1, changes: 1, index: new AppliedIndex(), now: start + 2000, full: true });
  const text = metrics.print("nftables");
  expect(value(text, "kubeproxy_network_programming_duration_seconds_count")).toBe(1);
  expect(value(text, "kubeproxy_network_programming_duration_seconds_sum")).toBe(1);
});

test.each([
  [undefined, []],
  ["userspace", []],
  ["nftables", ["kubeproxy_sync_proxy_rules_nftables_sync_failures_total", "kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total"]],
  [
    "iptables",
    ["kubeproxy_sync_proxy_rules_iptables_restore_failures_total", "kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total"],
  ],
  ["ipvs", ["kubeproxy_sync_proxy_rules_iptables_restore_failures_total"]],
] as const)("failures of %s go by kube-proxy's name", (backend, names) => {
  const metrics = new ProxierMetrics();
  metrics.failed("full");
  metrics.cleanupFailed();
  const failures = metrics
    .print(backend)
    .split("\n")
    .filter((line) => /^\S+_failures_total\{/.test(line));
  expect(failures).toEqual(names.flatMap((name) => [4, 6].map((f) => `${name}{ip_family="IPv${f}"} ${name.includes("partial") ? 0 : 1}`)));
});

test("what iptables' rules counted goes by kube-proxy's names; what nobody counts is absent", () => {
  const names = ["ct_state_invalid_dropped", "localhost_nodeports_accepted"].map((name) => `kubeproxy_iptables_${name}_packets_total`);
  const told = (counted?: CountedPackets): readonly string[] =>
    new ProxierMetrics()
      .print("iptables", { counted })
      .split("\n")
      .filter((line) => names.some((name) => line.startsWith(name)));
  expect(told({ invalidDropped: 7, localhostAccepted: 2 })).toEqual([`${names[0]} 7`, `${names[1]} 2`]);
  expect(told({ invalidDropped: 7, localhostAccepted: undefined })).toEqual([`${names[0]} 7`]);
  expect(told()).toEqual([]);
});

test("rules of iptables are counted by table and family", () => {
  const text = new ProxierMetrics().print("iptables", { rules: [{ table: "nat", family: 6, rules: 31, written: 2 }] });
  expect(text).toContain('kubeproxy_sync_proxy_rules_iptables_total{table="nat",ip_family="IPv6"} 31\n');
  expect(text).toContain('kubeproxy_sync_proxy_rules_iptables_last{table="nat",ip_family="IPv6"} 2\n');
});

test("what is of one family is counted for it alone; a node of one family has the other's in nothing", () => {
  const metrics = new ProxierMetrics();
  const sync = { durationMs: 3, changes: 4, index: new AppliedIndex(), now: 5000 };
  metrics.applied({ ...sync, families: [4, 6], full: true });
  metrics.applied({ ...sync, families: [6], full: false });
  metrics.flowsLookedFor(6, { ended: 2, tookMs: 4 });
  metrics.failed("partial");
  const text = metrics.print("iptables");
  for (const line of [
    'kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"} 1',
    'kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv6"} 2',
    'kubeproxy_sync_partial_proxy_rules_duration_seconds_bucket{ip_family="IPv6",le="0.004"} 1',
    'kubeproxy_conntrack_reconciler_sync_duration_seconds_count{ip_family="IPv4"} 0',
    'kubeproxy_conntrack_reconciler_sync_duration_seconds_sum{ip_family="IPv6"} 0.004',
    'kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family="IPv6"} 2',
    'kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total{ip_family="IPv4"} 1',
    'kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family="IPv6",traffic_policy="external"} 0',
  ])
    expect(text.split("\n")).toContain(line);
  const single = new ProxierMetrics([4]);
  single.flowsLookedFor(6, { ended: 1, tookMs: 1 });
  expect(single.print("nftables")).not.toContain("IPv6");
});
