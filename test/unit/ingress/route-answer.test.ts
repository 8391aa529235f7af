import { expect, test } from "vitest";
import { answerRoute, emptyRouteTable, routeOffline } from "../../../ingress/index.ts";
import type { FilterKind, FilterOf } from "../../../ingress/route/filter.ts";
import { makeIngress, makeRules, makeService, makeSnapshot } from "./cluster.ts";
import { makeForward, makeRoute, makeTable } from "./proxy-lab.ts";

const services =
  makeService("web", ["10.0.1.1:8080", "10.0.1.2:8080"]) +
  makeService("web-next", ["10.0.2.1:8080"]) +
  makeService("api", ["10.0.3.1:9090"]);
const n = (text: string): string => text.replaceAll("@", "nginx.ingress.kubernetes.io/");

const shop = makeSnapshot(
  services +
    makeIngress("web", { spec: `tls: [{hosts: [shop.example]}], ${makeRules("shop.example", ["/", "Prefix", "web"])}` }) +
    makeIngress("web-next", {
      annotations: n('@canary: "true", @canary-by-header: X-Next, @canary-weight: "10"'),
      spec: makeRules("shop.example", ["/", "Prefix", "web-next"]),
    }) +
    makeIngress("api", {
      annotations: n('@rewrite-target: /$2, @limit-rps: "5"'),
      spec: makeRules("api.example", ["/v1(/|$)(.*)", "ImplementationSpecific", "api"]),
    }),
);

test("forwards by weight, with endpoints and reasons", async () => {
  const answer = await routeOffline(shop, { url: "https://shop.example/cart?x=1" });
  expect(answer).toMatchObject({
    outcome: "forward",
    listener: "https",
    object: "Ingress shop/web",
    rule: "shop.example/",
    backends: [
      { service: "shop/web", port: 80, weight: 90, endpoints: ["10.0.1.1:8080", "10.0.1.2:8080"] },
      { service: "shop/web-next", port: 80, weight: 10, endpoints: ["10.0.2.1:8080"] },
    ],
    request: { path: "/cart?x=1" },
  });
  expect(answer.why.at(-2)).toContain("shop.example/ of Ingress shop/web matches");
  expect(answer.why.at(-1)).toBe("by weight: of header x-next none says which backend");
});

test("a header chooses the canary", async () => {
  const answer = await routeOffline(shop, { url: "https://shop.example/", headers: [["x-next", "always"]] });
  expect(answer.backends).toEqual([{ service: "shop/web-next", port: 80, weight: 100, endpoints: ["10.0.2.1:8080"] }]);
});

test.for<[name: string, canary: string, headers: readonly (readonly [string, string])[], endpoints: string, want: string]>([
  ["a header that says always", "@canary-by-header: X-N", [["x-n", "always"]], "10.0.2.1:1", "header x-n is always: it chooses"],
  ["a header that says never", "@canary-by-header: X-N", [["x-n", "never"]], "10.0.2.1:1", "header x-n is never: it chooses"],
  [
    "a pattern",
    "@canary-by-header: X-N, @canary-by-header-pattern: '^b.*'",
    [["x-n", "beta"]],
    "10.0.2.1:1",
    "header x-n matches ^b.*: it chooses",
  ],
  ["a cookie", "@canary-by-cookie: c", [["cookie", "c=always"]], "10.0.2.1:1", "cookie c is always: it chooses"],
  [
    "none of two",
    "@canary-by-header: X-N, @canary-by-cookie: c",
    [],
    "10.0.2.1:1",
    "by weight: of header x-n, cookie c none says which backend",
  ],
  ["a canary without endpoints", "@canary-weight: '10'", [], "", "shop/next:80 has no endpoint: shop/web:80 stands in for it"],
])("says why these backends and not the others: %s", async ([, canary, headers, endpoints, want]) => {
  const snapshot = makeSnapshot(
    makeService("web", ["10.0.1.1:1"]) +
      makeService("next", endpoints === "" ? [] : [endpoints]) +
      makeIngress("web", { spec: makeRules("a.test", ["/", "Prefix", "web"]) }) +
      makeIngress("next", { annotations: n(`@canary: "true", ${canary}`), spec: makeRules("a.test", ["/", "Prefix", "next"]) }),
  );
  expect((await routeOffline(snapshot, { url: "http://a.test/", headers })).why.at(-1)).toBe(want);
});

test("plain http of a host with TLS is redirected", async () => {
  expect(await routeOffline(shop, { url: "http://shop.example/cart?x=1" })).toMatchObject({
    outcome: "redirect",
    status: 308,
    location: "https://shop.example/cart?x=1",
    listener: "http",
  });
});

test("rewrites with capture groups, names the filters", async () => {
  const answer = await routeOffline(shop, { url: "http://api.example/v1/items/7?all=1" });
  expect(answer).toMatchObject({ outcome: "forward", request: { path: "/items/7?all=1" }, object: "Ingress shop/api" });
  expect(answer.filters).toEqual(["rateLimit", "rewrite"]);
});

test("nobody's host and nobody's path are none", async () => {
  expect(await routeOffline(shop, { url: "http://other.example/" })).toMatchObject({ outcome: "none", status: 404, backends: [] });
  expect(await routeOffline(shop, { url: "http://api.example/v2" })).toMatchObject({ outcome: "none", status: 404 });
});

/** One filter of each kind, and what becomes of a plain GET / that meets it. */
const met: { readonly [K in FilterKind]: readonly [filter: FilterOf<K>, want: object] } = {
  responseHeaders: [{ kind: "responseHeaders", set: [{ name: "X-A", value: "b" }] }, { outcome: "forward" }],
  sslRedirect: [
    { kind: "sslRedirect", status: 308 },
    { outcome: "redirect", status: 308, location: "https://a.test/" },
  ],
  cors: [
    { kind: "cors", origins: ["*"], methods: "GET", headers: "", exposeHeaders: "", credentials: false, maxAgeSeconds: 1 },
    { outcome: "forward" },
  ],
  appRoot: [
    { kind: "appRoot", path: [{ kind: "text", text: "/app" }] },
    { outcome: "redirect", status: 302, location: "http://a.test/app" },
  ],
  redirect: [
    { kind: "redirect", status: 301, location: [{ kind: "text", text: "https://b.test" }, { kind: "uri" }] },
    { outcome: "redirect", status: 301, location: "https://b.test/" },
  ],
  agentBlock: [
    { kind: "agentBlock", userAgents: [{ kind: "exact", text: "" }], referers: [] },
    { outcome: "respond", status: 403 },
  ],
  clientCertificate: [
    { kind: "clientCertificate", verify: "on", passOn: false },
    { outcome: "respond", status: 400 },
  ],
  addressList: [
    { kind: "addressList", allow: ["10.0.0.0/8"], deny: [] },
    { outcome: "respond", status: 403 },
  ],
  connectionLimit: [{ kind: "connectionLimit", bucket: "b", limit: 1, status: 503 }, { outcome: "forward" }],
  sharedRate: [
    { kind: "sharedRate", bucket: "b", limit: 1, windowSeconds: 1, key: [{ kind: "clientIp" }], status: 429 },
    { outcome: "forward" },
  ],
  rateLimit: [{ kind: "rateLimit", bucket: "b", perMinute: 1, burst: 1, status: 503 }, { outcome: "forward" }],
  auth: [
    { kind: "auth", realm: "r", users: {} },
    { outcome: "respond", status: 401 },
  ],
  digestAuth: [
    { kind: "digestAuth", realm: "r", users: {} },
    { outcome: "respond", status: 401 },
  ],
  jwt: [
    { kind: "jwt", realm: "r", keys: { kind: "inline", sets: [] }, audiences: [], leewaySeconds: 0, claimHeaders: [] },
    { outcome: "respond", status: 401 },
  ],
  externalAuth: [
    { kind: "externalAuth", url: [{ kind: "text", text: "http://judge.test/" }], responseHeaders: [] },
    { outcome: "forward" },
  ],
  satisfyAny: [
    {
      kind: "satisfyAny",
      filters: [
        { kind: "addressList", allow: ["10.0.0.0/8"], deny: [] },
        { kind: "auth", realm: "r", users: {} },
      ],
    },
    { outcome: "respond", status: 401 },
  ],
  bodyLimit: [{ kind: "bodyLimit", bytes: 5 }, { outcome: "forward" }],
  filledHeaders: [
    {
      kind: "filledHeaders",
      set: [
        { name: "X-Path", value: [{ kind: "uri" }] },
        { name: "X-None", value: [] },
      ],
    },
    { outcome: "forward", request: { setHeaders: { "X-Path": "/" } } },
  ],
  rewrite: [
    { kind: "rewrite", pattern: "/", ignoreCase: true, target: [{ kind: "text", text: "/new" }] },
    { outcome: "forward", request: { path: "/new" } },
  ],
};

test.for(Object.entries(met))("a route with %s is told of, with what becomes of it", async ([kind, [filter, want]]) => {
  const table = emptyRouteTable.with(makeTable([8080], [makeRoute({ filters: [filter] })]));
  const answer = await answerRoute(table, { url: "http://a.test/" });
  expect(answer).toMatchObject({ filters: [kind], rule: "a.test/", object: "Ingress shop/web", ...want });
  if (answer.outcome !== "forward")
    expect(answer.why.join()).toContain(`answered by ${kind === "satisfyAny" ? "auth" : kind}: ${answer.status}`);
  expect(answer.request.setHeaders).not.toHaveProperty("X-None");
});

test("what is done besides is told: session, copy, pages of errors, changes of answers", async () => {
  const action = makeForward({
    affinity: { cookie: "S", mode: "balanced", path: "/", changeOnFailure: false },
    mirror: { pool: "shop/copy:80", withBody: false },
    errorPages: { statuses: [404, 503], pool: "shop/pages:80" },
    answer: { hide: ["x-a"] },
  });
  const { why } = await answerRoute(emptyRouteTable.with(makeTable([8080], [makeRoute({ action })])), { url: "http://a.test/" });
  expect(why.slice(1)).toEqual([
    "the cookie S binds the client to its endpoint",
    "a copy goes to shop/copy:80, without its body",
    "answers with 404, 503 are replaced by shop/pages:80",
    "in answers is changed: hide",
  ]);
});

test("over TLS a host that asks for certificates answers as to a client without one; trusted proxies are the cluster's", async () => {
  const clientCertificates = { verify: "on", ca: "PEM", depth: 1 } as const;
  const filter: FilterOf<"clientCertificate"> = { kind: "clientCertificate", verify: "on", passOn: false };
  const table = emptyRouteTable.with({
    ...makeTable([8080], [makeRoute({ hostTls: { clientCertificates }, filters: [filter] })]),
    settings: { trustedProxies: ["203.0.113.0/24"] },
  });
  expect(await answerRoute(table, { url: "https://a.test/" })).toMatchObject({ outcome: "respond", status: 400 });
  const open = emptyRouteTable.with({ ...makeTable([8080]), settings: { trustedProxies: ["203.0.113.0/24"] } });
  const { request } = await answerRoute(open, { url: "http://a.test/", headers: [["X-Forwarded-For", "198.51.100.7"]] });
  expect(request.setHeaders).toMatchObject({ "X-Real-IP": "198.51.100.7" });
});
