import { expect, test } from "vitest";
import { IngressTranslator, type RouteDelta, routeOffline } from "../../../ingress/index.ts";
import type { Filter } from "../../../ingress/route/filter.ts";
import type { Kind, Snapshot } from "../../../src/snapshot/cluster-snapshot.ts";
import { batchFromEmpty } from "../../../src/snapshot/snapshot-store.ts";
import { makeIngress, makeRules, makeService, makeSnapshot } from "./cluster.ts";

const services = ["a", "b"].map((n, i) => makeService(n, [`10.0.${i}.1:8080`])).join("");
const n = (text: string): string => text.replaceAll("@", "nginx.ingress.kubernetes.io/");

function configMap(data: string, at = "ingress-nginx/ingress-nginx-controller"): string {
  const [namespace, name] = at.split("/");
  return `\nkind: ConfigMap\nmetadata: {name: ${name}, namespace: ${namespace}}\ndata: {${data}}\n---`;
}

const tls = (annotations = ""): string =>
  makeIngress("one", { spec: `tls: [{hosts: [h.test]}], ${makeRules("h.test", ["/", "Prefix", "a"])}`, annotations: n(annotations) });
const plain = (annotations = ""): string =>
  makeIngress("one", { spec: makeRules("h.test", ["/", "Prefix", "a"]), annotations: n(annotations) });

interface Translated {
  readonly delta: RouteDelta;
  readonly problems: readonly string[];
}

function translate(yaml: string): Translated {
  const translator = new IngressTranslator();
  translator.apply(batchFromEmpty(makeSnapshot(services + yaml)));
  return { delta: translator.full(), problems: translator.problems.map((p) => `${p.reason} ${p.object.kind} ${p.field}`) };
}

const filter = ({ delta }: Translated, kind: Filter["kind"]): Filter | undefined =>
  delta.routes.upserts.find((r) => r.rule === "h.test/")?.filters.find((f) => f.kind === kind);
const forward = ({ delta }: Translated): object => delta.routes.upserts.find((r) => r.rule === "h.test/")?.action ?? {};

test.for<[name: string, yaml: string, kind: Filter["kind"], want: object | undefined]>([
  ["HSTS by default", tls(), "responseHeaders", { set: [{ value: "max-age=31536000; includeSubDomains" }] }],
  [
    "HSTS as the ConfigMap says",
    tls() + configMap('hsts-max-age: "60", hsts-include-subdomains: "false", hsts-preload: "true"'),
    "responseHeaders",
    { set: [{ value: "max-age=60; preload" }] },
  ],
  ["no HSTS", tls() + configMap('hsts: "false"'), "responseHeaders", undefined],
  ["the status of redirects to https", tls() + configMap('http-redirect-code: "301"'), "sslRedirect", { status: 301 }],
  ["no redirects to https", tls() + configMap('ssl-redirect: "false"'), "sslRedirect", undefined],
  ["an annotation goes before", tls("@ssl-redirect: 'true'") + configMap('ssl-redirect: "false"'), "sslRedirect", { status: 308 }],
  ["the size of bodies", plain() + configMap("proxy-body-size: 8m"), "bodyLimit", { bytes: 8 * 1024 * 1024 }],
  ["the status of limits", plain("@limit-rps: '1'") + configMap('limit-req-status-code: "429"'), "rateLimit", { status: 429 }],
  ["a status that is no error", plain("@limit-rps: '1'") + configMap('limit-req-status-code: "200"'), "rateLimit", { status: 503 }],
  [
    "who may not come in at all",
    plain() + configMap('block-user-agents: "curl/1, ~*evil", block-referers: ""'),
    "agentBlock",
    {
      userAgents: [
        { kind: "exact", text: "curl/1" },
        { kind: "regex", pattern: "evil", ignoreCase: true },
      ],
      referers: [],
    },
  ],
  ["ranges that may not", plain() + configMap("block-cidrs: 10.0.0.0/8"), "addressList", { allow: [], deny: ["10.0.0.0/8"] }],
  [
    "a judge of all",
    plain() + configMap('global-auth-url: "https://judge.test/", global-auth-response-headers: "X-User"'),
    "externalAuth",
    { url: [{ kind: "text", text: "https://judge.test/" }], responseHeaders: ["x-user"] },
  ],
  [
    "who does without",
    plain("@enable-global-auth: 'false'") + configMap('global-auth-url: "https://judge.test/"'),
    "externalAuth",
    undefined,
  ],
  [
    "who has one of its own",
    plain("@auth-url: 'https://own.test/'") + configMap('global-auth-url: "https://judge.test/"'),
    "externalAuth",
    { url: [{ kind: "text", text: "https://own.test/" }] },
  ],
  [
    "paths that nobody judges",
    plain() + configMap('global-auth-url: "https://judge.test/", no-auth-locations: "/"'),
    "externalAuth",
    undefined,
  ],
  [
    "headers for endpoints",
    plain() + configMap('proxy-set-headers: "x/h"') + configMap("X-Where: $host", "x/h"),
    "filledHeaders",
    { set: [{ name: "X-Where", value: [{ kind: "host" }] }] },
  ],
  [
    "headers of answers",
    plain() + configMap('add-headers: "x/h"') + configMap("X-By: us", "x/h"),
    "responseHeaders",
    { set: [{ name: "X-By", value: "us" }] },
  ],
  [
    "headers that an Ingress names, of those that are allowed",
    plain("@custom-headers: x/h") + configMap('global-allowed-response-headers: "X-By"') + configMap("X-By: us, Server: me", "x/h"),
    "responseHeaders",
    { set: [{ name: "X-By", value: "us" }] },
  ],
])("%s", ([, yaml, kind, want]) => {
  const found = filter(translate(yaml), kind);
  if (want === undefined) expect(found).toBeUndefined();
  else expect(found).toMatchObject(want);
});

test.for<[name: string, yaml: string, want: object]>([
  ["timeouts", plain() + configMap('proxy-read-timeout: "7"'), { timeouts: { readSeconds: 7 } }],
  [
    "retries",
    plain() + configMap('proxy-next-upstream: "error http_502", retry-non-idempotent: "true"'),
    { retry: { on: ["error", "http_502"], nonIdempotent: true } },
  ],
  ["balance", plain() + configMap("load-balance: ewma"), { balance: "ewma" }],
  [
    "error pages",
    plain("@default-backend: b") + configMap('custom-http-errors: "404,503"'),
    { errorPages: { statuses: [404, 503], pool: "shop/b:80" } },
  ],
  ["hidden headers", plain() + configMap("hide-headers: X-Powered-By"), { answer: { hide: ["x-powered-by"] } }],
  [
    "cookies",
    plain() + configMap("proxy-cookie-path: /one/ /"),
    { answer: { cookiePath: [{ kind: "prefix", from: [{ text: "/one/" }], to: [{ text: "/" }] }] } },
  ],
])("forwarding: %s", ([, yaml, want]) => {
  expect(forward(translate(yaml))).toMatchObject(want);
});

test.for<[size: string, heldBytes: number | undefined]>([
  ["64m", 64 * 1024 * 1024],
  ["1m", undefined],
  ["much", undefined],
])("held-bytes: %s", ([size, heldBytes]) => {
  const { delta, problems } = translate(configMap(`held-bytes: "${size}"`));
  expect(delta.settings?.heldBytes).toBe(heldBytes);
  expect(problems).toEqual(heldBytes === undefined ? ["InvalidSetting ConfigMap data[held-bytes]"] : []);
});

test("settings of processes", () => {
  const data = [
    'use-forwarded-headers: "true", proxy-real-ip-cidr: "10.0.0.0/8", keep-alive: "10", large-client-header-buffers: "4 16k"',
    'use-gzip: "true", gzip-level: "20", ssl-protocols: TLSv1.3, worker-shutdown-timeout: 30s, enable-opentelemetry: "true"',
    'otlp-collector-host: "otel.test", otlp-collector-port: "4318", otel-sampler: TraceIdRatioBased, otel-sampler-ratio: "0.5"',
  ].join(", ");
  expect(translate(configMap(data)).delta.settings).toMatchObject({
    trustedProxies: ["10.0.0.0/8"],
    keepAliveSeconds: 10,
    headBytes: 65_536,
    drainSeconds: 30,
    compression: { gzip: { level: 9 }, minBytes: 256 },
    tls: { minVersion: "TLSv1.3", maxVersion: "TLSv1.3" },
    tracing: { enabled: true, endpoint: "http://otel.test:4318", protocol: "http/protobuf", ratio: 0.5 },
  });
  expect(translate("").delta.settings).toEqual({});
});

test.for<[host: string, endpoint: string | undefined]>([
  ["otel.shop.svc", "http://otel.shop.svc:4317"],
  ["https://otel.test", "https://otel.test:4317"],
  ["fd00::1", "http://[fd00::1]:4317"],
  ["https://[fd00::1]", "https://[fd00::1]:4317"],
  ["ftp://otel.test", undefined],
  ["https://otel.test/v1", undefined],
])("a collector %s", ([host, endpoint]) => {
  const { delta, problems } = translate(configMap(`otlp-collector-host: "${host}"`));
  expect(delta.settings?.tracing?.endpoint).toBe(endpoint);
  expect(problems).toEqual(endpoint === undefined ? ["InvalidSetting ConfigMap data[otlp-collector-host]"] : []);
});

test.for([
  ["@permanent-redirect: http://x/, @permanent-redirect-code: '999'", 301],
  ["@permanent-redirect: http://x/, @permanent-redirect-code: '308'", 308],
  ["@temporal-redirect: http://x/, @temporal-redirect-code: '308'", 302],
] as const)("a redirect of %s is told where its status is none", ([annotations, status]) => {
  const { delta, problems } = translate(plain(annotations));
  expect(JSON.stringify(delta.routes.upserts.find((r) => r.rule === "h.test/"))).toContain(`"status":${status}`);
  expect(problems.length).toBe(status === 308 ? 0 : 1);
});

test("what is wrong is told of the ConfigMap, once, and the rest counts", () => {
  const data = 'proxy-body-size: much, keep-alive: "5", no-such-key: x, main-snippet: "user root;", enable-syslog: "false"';
  const { delta, problems } = translate(
    plain() + makeIngress("two", { spec: makeRules("i.test", ["/", "Prefix", "b"]) }) + configMap(data),
  );
  expect(problems).toEqual([
    "InvalidSetting ConfigMap data[proxy-body-size]",
    "UnsupportedSetting ConfigMap data[no-such-key]",
    "UnsupportedSetting ConfigMap data[main-snippet]",
  ]);
  expect(delta.settings).toEqual({ keepAliveSeconds: 5 });
});

test("what keeps somebody out and cannot be read shuts all paths", async () => {
  const snapshot = makeSnapshot(services + plain() + configMap("block-cidrs: everybody"));
  expect(await routeOffline(snapshot, { url: "http://h.test/" })).toMatchObject({ outcome: "respond", status: 503 });
});

test("a class' parameters name its own ConfigMap; others are told of", () => {
  const ingressClass = (parameters: string): string =>
    `\nkind: IngressClass\nmetadata: {name: fairway}\nspec: {controller: fairway/ingress, parameters: ${parameters}}\n---`;
  const both = configMap("load-balance: ewma") + configMap("load-balance: least_requests", "x/mine");
  const own = translate(plain() + both + ingressClass("{kind: ConfigMap, name: mine, namespace: x, scope: Namespace}"));
  expect(forward(own)).toMatchObject({ balance: "least_requests" });
  const wrong = translate(plain() + both + ingressClass("{apiGroup: k8s.example, kind: Thing, name: mine}"));
  expect(forward(wrong)).toMatchObject({ balance: "ewma" });
  expect(wrong.problems).toEqual(["InvalidParameters IngressClass spec.parameters"]);
});

/** A batch between two snapshots in which these keys changed. */
function change(before: Snapshot, after: Snapshot, kind: Kind, ...keys: readonly string[]) {
  return { before, after, dirty: new Map([[kind, new Set(keys)]]), causes: [] };
}

test("a changed ConfigMap counts at once: routes and settings, and nothing where it says the same", () => {
  const before = makeSnapshot(services + plain() + configMap('keep-alive: "5"'));
  const after = makeSnapshot(services + plain() + configMap('keep-alive: "6", proxy-read-timeout: "9"'));
  const translator = new IngressTranslator();
  const first = translator.apply(batchFromEmpty(before));
  const key = "ingress-nginx/ingress-nginx-controller";
  const delta = translator.apply(change(before, after, "ConfigMap", key));
  expect(delta).toMatchObject({ revision: first.revision + 1, settings: { keepAliveSeconds: 6 } });
  expect(delta.routes.upserts.map((r) => r.rule)).toContain("h.test/");
  expect(translator.apply(change(after, after, "ConfigMap", key, "x/other"))).toMatchObject({
    revision: delta.revision,
    routes: { upserts: [], deletes: [] },
  });
  const gone = translator.apply(change(after, makeSnapshot(services + plain()), "ConfigMap", key));
  expect(gone.settings).toEqual({});
});

const ports = (data: string, name = "tcp-services"): string => configMap(data, `ingress-nginx/${name}`);
const dns = `
kind: Service
metadata: {name: dns, namespace: shop}
spec: {clusterIP: 10.96.0.9, ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53}]}
---
kind: EndpointSlice
metadata: {name: dns-1, namespace: shop, labels: {kubernetes.io/service-name: dns}}
addressType: IPv4
ports: [{name: dns, port: 5353, protocol: UDP}, {name: dns-tcp, port: 5354}]
endpoints: [{addresses: ["10.0.9.1"]}]
---`;

test("TCP and UDP services", () => {
  const yaml =
    dns +
    ports('"9000": "shop/a:80", "9001": "shop/a:http:PROXY:PROXY", "9002": "shop/a:80::PROXY2", "9003": "shop/a:80:PROXY"') +
    ports('"53": "shop/dns:53"', "udp-services");
  const { delta, problems } = translate(yaml);
  expect(delta.streams?.upserts.map(({ object: _, ...s }) => s)).toEqual([
    { id: "tcp 9000", protocol: "tcp", port: 9000, pool: "shop/a:80", acceptProxyProtocol: false },
    { id: "tcp 9001", protocol: "tcp", port: 9001, pool: "shop/a:http", acceptProxyProtocol: true, sendProxyProtocol: 1 },
    { id: "tcp 9002", protocol: "tcp", port: 9002, pool: "shop/a:80", acceptProxyProtocol: false, sendProxyProtocol: 2 },
    { id: "tcp 9003", protocol: "tcp", port: 9003, pool: "shop/a:80", acceptProxyProtocol: true },
    { id: "udp 53", protocol: "udp", port: 53, pool: "shop/dns:53@udp", acceptProxyProtocol: false },
  ]);
  expect(delta.pools.upserts.find((p) => p.id === "shop/dns:53@udp")).toMatchObject({
    service: "shop/dns",
    port: 53,
    endpoints: [{ ip: "10.0.9.1", port: 5353 }],
  });
  expect(problems).toEqual([]);
});

test.for<[entry: string, problem: string, served: boolean]>([
  ['"0": "shop/a:80"', "InvalidStream", false],
  ['"9000": "a:80"', "InvalidStream", false],
  ['"9000": "shop/a:80:SECRET"', "InvalidStream", false],
  ['"9000": "shop/a:80:PROXY2"', "InvalidStream", false],
  ['"9000": "shop/nobody:80"', "ServiceNotFound", true],
  ['"9000": "shop/a:81"', "ServicePortNotFound", true],
])("a port that is wrong, %s, is told", ([entry, problem, served]) => {
  const { delta, problems } = translate(ports(entry));
  expect(problems.map((p) => p.split(" ")[0])).toEqual([problem]);
  expect(delta.streams?.upserts.length).toBe(served ? 1 : 0);
});

test("a port that goes takes its pool with it, and a Service that comes ends the problem", () => {
  const before = makeSnapshot(services + ports('"9000": "shop/late:80"'));
  const translator = new IngressTranslator();
  translator.apply(batchFromEmpty(before));
  const there = makeSnapshot(`${services}${makeService("late", ["10.0.5.1:8080"])}${ports('"9000": "shop/late:80"')}`);
  const delta = translator.apply(change(before, there, "Service", "shop/late"));
  expect([delta.pools.upserts.map((p) => p.id), translator.problems]).toEqual([["shop/late:80"], []]);
  const gone = translator.apply(change(there, makeSnapshot(services), "ConfigMap", "ingress-nginx/tcp-services"));
  expect(gone).toMatchObject({ streams: { upserts: [], deletes: ["tcp 9000"] }, pools: { deletes: ["shop/late:80"] } });
});
