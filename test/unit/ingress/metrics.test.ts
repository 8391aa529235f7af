import { expect, test } from "vitest";
import { selfSignedCertificate } from "../../../ingress/proxy/default-certificate.ts";
import { ProxyMetrics, type RequestFacts } from "../../../ingress/proxy/metrics.ts";
import { emptyRouteTable } from "../../../ingress/route/route-table.ts";
import { makeRoute } from "./proxy-lab.ts";

const context = { table: emptyRouteTable, limitPeers: 2, pending: 3, busy: 1, changedAt: 1_800_000_000_000 };
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
    ["fairway_ingress_limit_peers", 2],
    ["fairway_ingress_pending_requests", 3],
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
});
