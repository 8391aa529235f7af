import { expect, test } from "vitest";
import { configHash } from "../../../ingress/proxy/config-hash.ts";
import { selfSignedCertificate } from "../../../ingress/proxy/default-certificate.ts";
import { ProxyMetrics, type RequestFacts } from "../../../ingress/proxy/metrics.ts";
import { emptyRouteTable } from "../../../ingress/route/route-table.ts";
import { makeRoute } from "./proxy-lab.ts";

const process = { cpuSeconds: 1.5, startedAt: 1_700_000_000, residentBytes: 50e6, virtualBytes: 90e6, readBytes: 0, writeBytes: 4096 };
const context = {
  table: emptyRouteTable,
  limitPeers: 2,
  pending: 3,
  busy: 1,
  held: { bytes: 4, letGo: 5 },
  changedAt: 1_800_000_000_000,
  process,
};
const fact: RequestFacts = {
  route: makeRoute(),
  service: "shop/web",
  canary: "",
  method: "GET",
  status: 200,
  milliseconds: 30,
  endpoint: { connectMs: 0, headMs: 6, wholeMs: 20 },
  requestBytes: 0,
  responseBytes: 15,
};
const labels = 'host="a.test",method="GET",status="200",namespace="shop",ingress="web",service="web",path="/",canary=""';

/** Sample → value. */
function samples(metrics: ProxyMetrics, c: Parameters<ProxyMetrics["print"]>[0] = context): ReadonlyMap<string, number> {
  const lines = metrics
    .print(c)
    .trim()
    .split("\n")
    .filter((l) => !l.startsWith("#"));
  return new Map(lines.map((l) => [l.slice(0, l.lastIndexOf(" ")), Number(l.slice(l.lastIndexOf(" ") + 1))]));
}

test("a request is in each of ingress-nginx's histograms once", () => {
  const metrics = new ProxyMetrics();
  metrics.request(fact);
  metrics.request({ ...fact, milliseconds: 20_000, endpoint: undefined });
  const got = samples(metrics);
  const name = (family: string, more = ""): string => `nginx_ingress_controller_${family}{${labels}${more}}`;
  for (const [sample, value] of [
    [name("requests"), 2],
    [name("request_duration_seconds_bucket", ',le="0.025"'), 0],
    [name("request_duration_seconds_bucket", ',le="0.05"'), 1],
    [name("request_duration_seconds_bucket", ',le="10"'), 1],
    [name("request_duration_seconds_bucket", ',le="+Inf"'), 2],
    [name("request_duration_seconds_count"), 2],
    [name("request_duration_seconds_sum"), 20.03],
    [name("connect_duration_seconds_bucket", ',le="0.005"'), 1],
    [name("header_duration_seconds_bucket", ',le="0.005"'), 0],
    [name("header_duration_seconds_bucket", ',le="0.01"'), 1],
    [name("response_duration_seconds_count"), 1],
    [name("response_size_bucket", ',le="10"'), 0],
    [name("response_size_bucket", ',le="20"'), 2],
    [name("bytes_sent_sum"), 30],
    ["nginx_ingress_controller_nginx_process_requests_total", 2],
    ['nginx_ingress_controller_nginx_process_connections{state="writing"}', 1],
    ["nginx_ingress_controller_config_last_reload_successful_timestamp_seconds", 1_800_000_000],
    ["nginx_ingress_controller_nginx_process_num_procs", 1],
    ["nginx_ingress_controller_nginx_process_cpu_seconds_total", 1.5],
    ["nginx_ingress_controller_nginx_process_oldest_start_time_seconds", 1_700_000_000],
    ["nginx_ingress_controller_nginx_process_write_bytes_total", 4096],
    ["fairway_ingress_limit_peers", 2],
    ["fairway_ingress_pending_requests", 3],
    ["fairway_ingress_held_bytes", 4],
    ["fairway_ingress_held_let_go_total", 5],
  ] as const)
    expect([sample, got.get(sample)]).toEqual([sample, value]);
});

test("each family has its type once, and no sample comes twice", () => {
  const metrics = new ProxyMetrics();
  for (const status of [200, 404, 500]) metrics.request({ ...fact, status });
  const lines = metrics.print(context).trim().split("\n");
  const names = lines.map((l) => (l.startsWith("#") ? l.split(" ").slice(0, 3).join(" ") : l.slice(0, l.lastIndexOf(" "))));
  expect(names.filter((n, i) => names.indexOf(n) !== i)).toEqual([]);
});

test("a canary's requests are told apart; methods that nobody knows are one", () => {
  const metrics = new ProxyMetrics();
  metrics.request({ ...fact, service: "shop/next", canary: "shop-next-80", method: "BREW" });
  metrics.request({ ...fact, service: "shop/next", canary: "shop-next-80", method: "MAKE" });
  const want = labels
    .replace('method="GET"', 'method="OTHER"')
    .replace('service="web"', 'service="next"')
    .replace('canary=""', 'canary="shop-next-80"');
  expect(samples(metrics).get(`nginx_ingress_controller_requests{${want}}`)).toBe(2);
});

test("many routes: no more series than there may be, and no request lost", () => {
  const metrics = new ProxyMetrics();
  for (let i = 0; i < 12_000; i++)
    metrics.request({ ...fact, route: makeRoute({ object: { kind: "Ingress", namespace: "shop", name: `i${i}` }, rule: `h${i}.test/` }) });
  const counted = [...samples(metrics)].filter(([s]) => s.startsWith("nginx_ingress_controller_requests{"));
  expect(counted.length).toBe(10_001);
  expect(counted.reduce((sum, [, n]) => sum + n, 0)).toBe(12_000);
  expect(counted.filter(([s]) => s.includes('path="/"')).length).toBe(2_000);
  expect(counted.find(([s]) => s.includes('ingress="other"'))?.[1]).toBe(2_000);
});

test("when certificates expire", () => {
  const pair = selfSignedCertificate(Date.UTC(2026, 0, 1));
  const object = { kind: "Secret", namespace: "shop", name: "tls" };
  const none = { upserts: [], deletes: [] };
  const table = emptyRouteTable.with({
    revision: 1,
    full: true,
    routes: none,
    pools: none,
    certificates: {
      upserts: [
        { host: "a.test", ...pair, object },
        { host: "b.test", certificate: "x", key: "y", object },
      ],
      deletes: [],
    },
  });
  const expiry = [...samples(new ProxyMetrics(), { ...context, table })].filter(([s]) => s.includes("ssl_expire"));
  expect(expiry.map(([s]) => s)).toEqual([
    'nginx_ingress_controller_ssl_expire_time_seconds{host="a.test",namespace="shop",secret_name="tls"}',
  ]);
  expect(expiry[0]?.[1]).toBeGreaterThan(Date.UTC(2026, 0, 2) / 1000);
  const info = [...samples(new ProxyMetrics(), { ...context, table }).keys()].filter((s) => s.includes("ssl_certificate_info"));
  expect(info).toHaveLength(1);
  expect(info[0]).toMatch(
    /\{host="a.test",identifier="tls-[0-9]+",issuer_common_name="[^"]+",.*namespace="shop",public_key_algorithm="ECDSA"/,
  );
});

test("the hash of a configuration is that of what is served, whatever its order and its endpoints", () => {
  const none = { upserts: [], deletes: [] };
  const tableOf = (ids: readonly string[], change: Partial<Parameters<typeof emptyRouteTable.with>[0]> = {}) =>
    emptyRouteTable.with({
      revision: 1,
      full: true,
      routes: { upserts: ids.map((id) => makeRoute({ id })), deletes: [] },
      pools: none,
      certificates: none,
      ...change,
    });
  const hash = configHash(tableOf(["a", "b"]));
  expect(hash).toBeGreaterThan(0);
  expect(configHash(tableOf(["b", "a"]))).toBe(hash);
  const pool = { id: "p", service: "shop/web", port: 80, endpoints: [{ ip: "10.0.0.1", port: 80 }] };
  expect(configHash(tableOf(["a", "b"], { pools: { upserts: [pool], deletes: [] } }))).toBe(hash);
  expect(configHash(tableOf(["a", "c"]))).not.toBe(hash);
  expect(configHash(tableOf(["a", "b"], { settings: { drainSeconds: 1 } }))).not.toBe(hash);
});

test("a large table's hash is there after some scrapes", () => {
  const upserts = Array.from({ length: 12_000 }, (_, i) => makeRoute({ id: String(i) }));
  const none = { upserts: [], deletes: [] };
  const table = emptyRouteTable.with({ revision: 1, full: true, routes: { upserts, deletes: [] }, pools: none, certificates: none });
  expect([configHash(table), configHash(table)]).toEqual([undefined, undefined]);
  expect(configHash(table)).toBeGreaterThan(0);
});
