import { expect, test } from "vitest";
import { emptyRouteTable, IngressTranslator, routeOffline } from "../../../ingress/index.ts";
import { samePool } from "../../../ingress/translate/pool-plan.ts";
import { batchFromEmpty } from "../../../src/snapshot/snapshot-store.ts";
import { loopback, makeIngress, makeRules, makeService, makeSnapshot } from "./cluster.ts";

const services = ["a", "b", "c"].map((n, i) => makeService(n, [`10.0.${i}.1:8080`])).join("");
const n = (text: string): string => text.replaceAll("@", "nginx.ingress.kubernetes.io/");

interface Case {
  readonly name: string;
  readonly ingresses: string;
  /** URL → what comes of it: `a` a Service, `a 90, b 10`, a status, `status location`. */
  readonly want: Readonly<Record<string, string>>;
  /** Reason and object of each problem. */
  readonly problems?: readonly string[];
  readonly headers?: readonly (readonly [string, string])[];
}

const one = (rules: string, annotations = ""): string => makeIngress("one", { spec: rules, annotations: n(annotations) });
const two = (rules: string, annotations = ""): string =>
  makeIngress("two", { spec: rules, annotations: n(annotations), created: "2026-02-02T00:00:00Z" });

const cases: readonly Case[] = [
  {
    name: "Exact before Prefix, longer first, by elements",
    ingresses: one(makeRules("h.test", ["/", "Prefix", "a"], ["/x", "Prefix", "b"], ["/x", "Exact", "c"])),
    want: {
      "http://h.test/": "a",
      "http://h.test/x": "c",
      "http://h.test/x/": "b",
      "http://h.test/x/y": "b",
      "http://h.test/xy": "a",
      "http://h.test/X": "a",
    },
  },
  {
    name: "ImplementationSpecific is a plain beginning, as at nginx",
    ingresses: one(makeRules("h.test", ["/x", "ImplementationSpecific", "a"])),
    want: { "http://h.test/x": "a", "http://h.test/xy": "a", "http://h.test/y": "404" },
  },
  {
    name: "no spelling of a path escapes its rule",
    ingresses: one(makeRules("h.test", ["/", "Prefix", "a"], ["/admin", "Prefix", "b"])),
    want: {
      "http://h.test//admin/x": "b",
      "http://h.test/y/../admin": "b",
      "http://h.test/%61dmin": "b",
      "http://h.test/y/%2e%2e/admin": "b",
      "http://h.test/..": "400",
      "http://h.test/%00": "400",
    },
  },
  {
    name: "hosts: exact before wildcard (one label) before none; case, port and dot do not matter",
    ingresses:
      one(makeRules("h.test", ["/", "Prefix", "a"])) +
      two(`${makeRules("*.h.test", ["/", "Prefix", "b"])}`) +
      makeIngress("three", { spec: makeRules("", ["/", "Prefix", "c"]) }),
    want: { "http://H.TEST:8080/": "a", "http://h.test./": "a", "http://x.h.test/": "b", "http://y.x.h.test/": "c", "http://other/": "c" },
  },
  {
    name: "paths of a host that no rule takes do not fall to rules without a host",
    ingresses: one(makeRules("h.test", ["/x", "Prefix", "a"])) + two(makeRules("", ["/", "Prefix", "b"])),
    want: { "http://h.test/x": "a", "http://h.test/y": "404", "http://other/y": "b" },
  },
  {
    name: "default backends: of the Ingress for its hosts, of one without rules for the rest",
    ingresses:
      one(`defaultBackend: {service: {name: b, port: {name: http}}}, ${makeRules("h.test", ["/x", "Exact", "a"])}`) +
      two("defaultBackend: {service: {name: c, port: {number: 80}}}"),
    want: { "http://h.test/x": "a", "http://h.test/y": "b", "http://other/": "c" },
  },
  {
    name: "on conflict the oldest wins, other paths merge",
    ingresses: two(makeRules("h.test", ["/", "Prefix", "b"], ["/y", "Prefix", "b"])) + one(makeRules("h.test", ["/", "Prefix", "a"])),
    want: { "http://h.test/": "a", "http://h.test/y": "b" },
    problems: ["PathConflict shop/two"],
  },
  {
    name: "use-regex on one Ingress makes all paths of the host regular expressions, in any case",
    ingresses:
      one(makeRules("h.test", ["/x[0-9]+", "ImplementationSpecific", "a"]), '@use-regex: "true"') +
      two(makeRules("h.test", ["/yy", "Prefix", "b"])),
    want: { "http://h.test/x12": "a", "http://h.test/X1": "a", "http://h.test/x": "404", "http://h.test/YYz": "b" },
  },
  {
    name: "a path with a closing slash makes the bare form a 301",
    ingresses: one(makeRules("h.test", ["/x/", "Prefix", "a"], ["/y/", "ImplementationSpecific", "b"], ["/y", "Exact", "c"])),
    want: { "http://h.test/x?q": "301 http://h.test/x/?q", "http://h.test/x/": "a", "http://h.test/y": "c", "http://h.test/y/": "b" },
  },
  {
    name: "ssl-redirect is on where TLS is set",
    ingresses:
      one(`tls: [{hosts: ["*.h.test"]}], ${makeRules("x.h.test", ["/", "Prefix", "a"])}`) + two(makeRules("h.test", ["/", "Prefix", "b"])),
    want: { "http://x.h.test/y?z": "308 https://x.h.test/y?z", "https://x.h.test/": "a", "http://h.test/": "b" },
  },
  {
    name: "ssl-redirect can be turned off, and forced",
    ingresses:
      one(`tls: [{hosts: [h.test]}], ${makeRules("h.test", ["/", "Prefix", "a"])}`, '@ssl-redirect: "false"') +
      two(makeRules("i.test", ["/", "Prefix", "b"]), '@force-ssl-redirect: "true"'),
    want: { "http://h.test/": "a", "http://i.test:8080/": "308 https://i.test/" },
  },
  {
    name: "permanent-redirect with a code",
    ingresses: one(makeRules("h.test", ["/", "Prefix", "a"]), "@permanent-redirect: 'https://new.test/x', @permanent-redirect-code: '308'"),
    want: { "http://h.test/y": "308 https://new.test/x" },
  },
  {
    name: "temporal-redirect counts before permanent-redirect",
    ingresses: one(
      makeRules("h.test", ["/", "Prefix", "a"]),
      "@permanent-redirect: 'https://p.test', @temporal-redirect: 'https://t.test'",
    ),
    want: { "http://h.test/y": "302 https://t.test" },
  },
  {
    name: "app-root may have variables",
    ingresses: one(makeRules("h.test", ["/", "Prefix", "a"]), "@app-root: '/app/$http_x_tenant?from=$host'"),
    headers: [["X-Tenant", "blue"]],
    want: { "http://h.test/": "302 http://h.test/app/blue?from=h.test" },
  },
  {
    name: "groups of the path stand in texts that are filled from the request",
    ingresses: one(
      makeRules("h.test", ["/old/(\\w+)/(.*)", "ImplementationSpecific", "a"]),
      "@use-regex: 'true', @permanent-redirect: 'https://$1.new.test/$2'",
    ),
    want: { "http://h.test/old/blue/x%20y": "301 https://blue.new.test/x%20y" },
  },
  {
    name: "look-ahead behind letters is understood; what only a backtracking matcher runs is told, and what to write instead",
    ingresses: one(
      makeRules("h.test", ["/(?!admin)(.*)", "ImplementationSpecific", "a"], ["/x(.*)(?!y)", "ImplementationSpecific", "b"]),
      "@rewrite-target: /$1",
    ),
    want: { "http://h.test/web": "a /web", "http://h.test/admin/x": "404" },
    problems: ["InvalidPattern shop/one"],
  },
  {
    name: "a pattern of a redirect that is none is told",
    ingresses: one(makeRules("h.test", ["/", "Prefix", "a"]), "@proxy-redirect-from: '~(', @proxy-redirect-to: /x"),
    want: { "http://h.test/": "a" },
    problems: ["InvalidAnnotation shop/one"],
  },
  {
    name: "app-root",
    ingresses: one(makeRules("h.test", ["/", "Prefix", "a"]), "@app-root: /app"),
    want: { "http://h.test/": "302 http://h.test/app", "http://h.test/x": "a" },
  },
  {
    name: "server-alias",
    ingresses: one(makeRules("h.test", ["/", "Prefix", "a"]), "@server-alias: 'x.test, *.y.test'"),
    want: { "http://h.test/": "a", "http://x.test/": "a", "http://z.y.test/": "a" },
  },
  {
    name: "from-to-www-redirect, where the other host is free",
    ingresses:
      one(makeRules("h.test", ["/", "Prefix", "a"]), "@from-to-www-redirect: 'true'") +
      two(makeRules("www.i.test", ["/", "Prefix", "b"]), "@from-to-www-redirect: 'true'"),
    want: { "http://h.test/": "a", "https://www.h.test/x?y": "308 https://h.test/x?y", "http://i.test/": "308 http://www.i.test/" },
  },
  {
    name: "from-to-www-redirect of a host whose other begins with www. too",
    ingresses: one(makeRules("www.www.i.test", ["/", "Prefix", "a"]), "@from-to-www-redirect: 'true'"),
    want: { "http://www.www.i.test/": "a", "http://www.i.test/x": "308 http://www.www.i.test/x", "http://i.test/": "404" },
  },
  {
    name: "a canary by weight of another total",
    ingresses:
      one(makeRules("h.test", ["/", "Prefix", "a"])) +
      two(makeRules("h.test", ["/", "Prefix", "b"]), "@canary: 'true', @canary-weight: '50', @canary-weight-total: '200'"),
    want: { "http://h.test/": "a 75, b 25" },
  },
  {
    name: "a canary without endpoints leaves its share to the main Service",
    headers: [["X-V", "always"]],
    ingresses:
      one(makeRules("h.test", ["/", "Prefix", "a"])) +
      two(makeRules("h.test", ["/", "Prefix", "empty"]), "@canary: 'true', @canary-by-header: x-v, @canary-weight: '50'"),
    want: { "http://h.test/": "a" },
    problems: ["ServiceNotFound shop/two"],
  },
  {
    name: "a canary by header value leaves others to the weight",
    headers: [["X-V", "always"]],
    ingresses:
      one(makeRules("h.test", ["/", "Prefix", "a"])) +
      two(
        makeRules("h.test", ["/", "Prefix", "b"]),
        "@canary: 'true', @canary-by-header: x-v, @canary-by-header-value: two, @canary-weight: '10'",
      ),
    want: { "http://h.test/": "a 90, b 10" },
  },
  {
    name: "a canary by header pattern",
    headers: [["X-V", "v22"]],
    ingresses:
      one(makeRules("h.test", ["/", "Prefix", "a"])) +
      two(makeRules("h.test", ["/", "Prefix", "b"]), "@canary: 'true', @canary-by-header: X-V, @canary-by-header-pattern: '^v2'"),
    want: { "http://h.test/": "b" },
  },
  {
    name: "a header that says never goes before a cookie that says always",
    headers: [
      ["X-V", "never"],
      ["Cookie", "a=b; beta=always"],
    ],
    ingresses:
      one(makeRules("h.test", ["/", "Prefix", "a"])) +
      two(
        makeRules("h.test", ["/", "Prefix", "b"]),
        "@canary: 'true', @canary-by-header: X-V, @canary-by-cookie: beta, @canary-weight: '100'",
      ),
    want: { "http://h.test/": "a" },
  },
  {
    name: "a cookie goes before the weight",
    headers: [["Cookie", "a=b; beta=never"]],
    ingresses:
      one(makeRules("h.test", ["/", "Prefix", "a"])) +
      two(makeRules("h.test", ["/", "Prefix", "b"]), "@canary: 'true', @canary-by-cookie: beta, @canary-weight: '100'"),
    want: { "http://h.test/": "a" },
  },
  {
    name: "a canary of nothing",
    ingresses:
      one(makeRules("h.test", ["/", "Prefix", "a"])) +
      two(makeRules("h.test", ["/x", "Prefix", "b"]), "@canary: 'true', @canary-weight: '10'"),
    want: { "http://h.test/x": "a" },
    problems: ["CanaryWithoutMain shop/two"],
  },
  {
    name: "what guards a path and cannot be understood shuts it; the rest is served",
    ingresses:
      one(makeRules("h.test", ["/", "Prefix", "a"]), "@whitelist-source-range: 'everyone', @unheard-of: 'x', @proxy-body-size: 'much'") +
      two(makeRules("i.test", ["/", "Prefix", "b"]), "@configuration-snippet: 'deny all;'") +
      makeIngress("three", {
        spec: makeRules("j.test", ["/", "Prefix", "c"]),
        annotations: n("@configuration-snippet: 'more_set_headers \"X-A: b\";', @enable-modsecurity: 'false'"),
      }),
    want: { "http://h.test/": "503", "http://i.test/": "503", "http://j.test/": "c" },
    problems: [
      "InvalidAnnotation shop/one",
      "InvalidAnnotation shop/one",
      "UnsupportedAnnotation shop/one",
      "UnsupportedAnnotation shop/three",
      "UnsupportedAnnotation shop/two",
    ],
  },
  {
    name: "auth without its Secret, and auth by what is no URL, shut their paths; another server is a filter",
    ingresses:
      one(makeRules("h.test", ["/", "Prefix", "a"]), "@auth-type: basic, @auth-secret: nobody") +
      two(makeRules("i.test", ["/", "Prefix", "b"]), "@auth-url: 'auth.test'") +
      makeIngress("three", { spec: makeRules("j.test", ["/", "Prefix", "c"]), annotations: n("@auth-url: 'http://auth.shop.svc/'") }),
    want: { "http://h.test/": "503", "http://i.test/": "503", "http://j.test/": "c" },
    problems: ["InvalidAnnotation shop/two", "SecretNotFound shop/one", "ServiceNotFound shop/three"],
  },
  {
    name: "address lists",
    ingresses:
      one(makeRules("h.test", ["/", "Prefix", "a"]), "@whitelist-source-range: '10.0.0.0/8, 203.0.113.0/24'") +
      two(makeRules("i.test", ["/", "Prefix", "b"]), "@denylist-source-range: '203.0.113.1'"),
    want: { "http://h.test/": "a", "http://i.test/": "403" },
  },
  {
    name: "default-backend answers while the backend has no endpoint",
    ingresses:
      makeService("empty", []) +
      one(makeRules("h.test", ["/", "Prefix", "empty"], ["/a", "Prefix", "a"]), "@default-backend: b") +
      two(makeRules("i.test", ["/", "Prefix", "empty"]), "@default-backend: nobody"),
    want: { "http://h.test/": "b", "http://h.test/a": "a", "http://i.test/": "503" },
    problems: ["ServiceNotFound shop/two"],
  },
  {
    name: "backends that are not there",
    ingresses:
      one(makeRules("h.test", ["/x", "Prefix", "nobody"], ["/", "Prefix", "a"])) +
      two("rules: [{host: i.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: a, port: {name: grpc}}}}]}}]"),
    want: { "http://h.test/x": "503", "http://h.test/": "a", "http://i.test/": "503" },
    problems: ["ServiceNotFound shop/one", "ServicePortNotFound shop/two"],
  },
  {
    name: "rewrite to one path, keeping the query",
    ingresses: one(makeRules("h.test", ["/x", "Prefix", "a"]), "@rewrite-target: /y?z=1"),
    want: { "http://h.test/x/w?q=2": "a /y?z=1&q=2" },
  },
  {
    name: "rewrite escapes what it decoded",
    ingresses: one(makeRules("h.test", ["/x/(.*)", "ImplementationSpecific", "a"]), "@rewrite-target: /$1"),
    want: { "http://h.test/x/a%20b%3Fc%25/%C3%A9": "a /a%20b%3Fc%25/%C3%A9" },
  },
  {
    name: "rewrite to a text that is filled from request and route, with a query of its own instead of the client's",
    ingresses: one(
      makeRules("h.test", ["/x/(.*)", "ImplementationSpecific", "a"]),
      "@rewrite-target: '/$namespace/$host/$1/$arg_v?v=$arg_v?'",
    ),
    want: { "http://h.test/x/y%3Fz?v=1%3F&w=2": "a /shop/h.test/y%3Fz/1%253F?v=1%3F" },
  },
  {
    name: "variables that are not known are told by name, and the annotation is ignored",
    ingresses: one(
      makeRules("h.test", ["/x", "Prefix", "a"]),
      "@rewrite-target: /$geoip_country, @upstream-vhost: $upstream_addr.test, @x-forwarded-prefix: $nginx_version",
    ),
    want: { "http://h.test/x": "a /x" },
    problems: ["InvalidAnnotation shop/one", "InvalidAnnotation shop/one", "InvalidAnnotation shop/one"],
  },
  {
    name: "a path that is no regular expression where they all are is told, and compared by its letters; (?i) is no news",
    ingresses: one(makeRules("h.test", ["/[x", "Prefix", "a"], ["/(?i)y+", "Prefix", "b"]), "@use-regex: 'true'"),
    want: { "http://h.test/[x": "a", "http://h.test/Yyy": "b", "http://h.test/x": "404" },
    problems: ["InvalidPattern shop/one"],
  },
  {
    name: "nothing that a client sends ends the line of a header",
    ingresses: one(makeRules("h.test", ["/", "Prefix", "a"]), "@permanent-redirect: 'https://new.test$uri?a=$arg_a'"),
    want: { "http://h.test/x%0D%0Ay?a=%0D%0Az": "301 https://new.test/x%0D%0Ay?a=%0D%0Az" },
  },
];

test.for(cases)("$name", async ({ ingresses, want, problems = [], headers = [] }) => {
  const snapshot = makeSnapshot(services + ingresses);
  for (const [url, expected] of Object.entries(want)) {
    const a = await routeOffline(snapshot, { url, headers });
    const backends = a.backends.map((b) => b.service.slice("shop/".length));
    const told =
      a.status !== undefined
        ? [a.status, a.location].filter((x) => x !== undefined).join(" ")
        : a.backends.length === 1
          ? `${backends[0]}${expected.includes(" /") ? ` ${a.request.path}` : ""}`
          : a.backends.map((b, i) => `${backends[i]} ${b.weight}`).join(", ");
    expect({ [url]: told }).toEqual({ [url]: expected });
  }
  const translator = new IngressTranslator();
  translator.apply(batchFromEmpty(snapshot));
  expect(translator.problems.map((p) => `${p.reason} ${p.object.namespace}/${p.object.name}`).sort()).toEqual([...problems].sort());
});

test("classes: ours by name, by controller, by the old annotation, by default; others are left alone", () => {
  const ingress = (name: string, className: string, annotation = ""): string =>
    `kind: Ingress\nmetadata: {name: ${name}, namespace: shop, annotations: {${annotation}}}\nspec: {${className} ${makeRules(`${name}.test`, ["/", "Prefix", "a"])}}\n---\n`;
  const classes = (isDefault: boolean): string => `
kind: IngressClass
metadata: {name: mine, annotations: {ingressclass.kubernetes.io/is-default-class: "${isDefault}"}}
spec: {controller: fairway/ingress}
---
kind: IngressClass
metadata: {name: theirs}
spec: {controller: k8s.io/ingress-nginx}
---
`;
  const ingresses =
    ingress("name", "ingressClassName: fairway,") +
    ingress("controller", "ingressClassName: mine,") +
    ingress("old", "", "kubernetes.io/ingress.class: fairway") +
    ingress("theirs", "ingressClassName: theirs,") +
    ingress("unknown", "ingressClassName: nginx,") +
    ingress("none", "");
  const served = (isDefault: boolean | undefined): readonly string[] => {
    const translator = new IngressTranslator();
    translator.apply(batchFromEmpty(makeSnapshot(services + (isDefault === undefined ? "\n" : classes(isDefault)) + ingresses)));
    return [...translator.served].sort();
  };
  expect(served(undefined)).toEqual(["shop/name", "shop/none", "shop/old"]);
  expect(served(false)).toEqual(["shop/controller", "shop/name", "shop/old"]);
  expect(served(true)).toEqual(["shop/controller", "shop/name", "shop/none", "shop/old"]);
});

test("endpoints: only ready ones, serving ones when none is ready; loopback only where allowed", () => {
  const slice = (conditions: readonly string[]): string => `
kind: EndpointSlice
metadata: {name: a-1, namespace: shop, labels: {kubernetes.io/service-name: a}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [${conditions.map((c, i) => `{addresses: ["127.0.0.${i + 1}"], conditions: {${c}}}`).join(", ")}]
`;
  const endpoints = (conditions: readonly string[], allowedEndpoints = loopback): readonly string[] => {
    const translator = new IngressTranslator({ allowedEndpoints });
    translator.apply(batchFromEmpty(makeSnapshot(services + one(makeRules("h.test", ["/", "Prefix", "a"])) + slice(conditions))));
    return translator.full().pools.upserts.flatMap((p) => p.endpoints.map((e) => `${e.ip}:${e.port}`));
  };
  const terminating = "ready: false, serving: true, terminating: true";
  expect(endpoints(["ready: true", "ready: false", terminating, ""])).toEqual(["127.0.0.1:8080", "127.0.0.4:8080"]);
  expect(endpoints(["ready: false", terminating, "ready: false, serving: false, terminating: true"])).toEqual(["127.0.0.2:8080"]);
  expect(endpoints(["ready: true"], [])).toEqual([]);
});

test("service-upstream: the Service's own address, whatever its endpoints, and only for who asks for it", () => {
  const translator = new IngressTranslator();
  const ingresses =
    one(makeRules("h.test", ["/", "Prefix", "a"]), "@service-upstream: 'true'") + two(makeRules("i.test", ["/", "Prefix", "a"]));
  translator.apply(batchFromEmpty(makeSnapshot(services + ingresses)));
  const pools = translator.full().pools.upserts.map((p) => `${p.service}:${p.port} ${p.endpoints.map((e) => `${e.ip}:${e.port}`).join()}`);
  expect(new Set(pools)).toEqual(new Set(["shop/a:80 10.0.0.1:8080", "shop/a:80 10.96.0.1:80"]));
});

test("endpoints of a dual-stack Service are those of its first family", () => {
  const slice = (name: string, type: string, ip: string): string => `
kind: EndpointSlice
metadata: {name: ${name}, namespace: shop, labels: {kubernetes.io/service-name: dual}}
addressType: ${type}
ports: [{name: http, port: 8080}]
endpoints: [{addresses: ["${ip}"]}]
---`;
  const endpoints = (families: string, slices: string): readonly string[] => {
    const service = `kind: Service\nmetadata: {name: dual, namespace: shop}\nspec: {ipFamilies: [${families}], ports: [{name: http, port: 80}]}\n---`;
    const translator = new IngressTranslator();
    translator.apply(batchFromEmpty(makeSnapshot(service + slices + one(makeRules("h.test", ["/", "Prefix", "dual"])))));
    return translator.full().pools.upserts.flatMap((p) => p.endpoints.map((e) => e.ip));
  };
  const both = slice("four", "IPv4", "10.0.0.1") + slice("six", "IPv6", "fd00::1");
  expect(endpoints("IPv4, IPv6", both)).toEqual(["10.0.0.1"]);
  expect(endpoints("IPv6, IPv4", both)).toEqual(["fd00::1"]);
  expect(endpoints("IPv4, IPv6", slice("six", "IPv6", "fd00::1"))).toEqual(["fd00::1"]);
});

test("a rewritten slice with the same endpoints changes nothing; one changed endpoint, one pool", () => {
  const with_ = (ip: string): string =>
    services + one(makeRules("h.test", ["/", "Prefix", "a"], ["/b", "Prefix", "b"])) + makeService("a", [ip]);
  const before = makeSnapshot(with_("10.0.0.9:8080"));
  const translator = new IngressTranslator();
  const first = translator.apply(batchFromEmpty(before));
  const dirty = new Map([["EndpointSlice" as const, new Set(["shop/a-1"])]]);
  expect(translator.apply({ before, after: makeSnapshot(with_("10.0.0.9:8080")), dirty, causes: [] })).toMatchObject({
    revision: first.revision,
  });
  const delta = translator.apply({ before, after: makeSnapshot(with_("10.0.0.8:8080")), dirty, causes: [] });
  expect(delta).toMatchObject({ revision: first.revision + 1, routes: { upserts: [], deletes: [] } });
  expect(delta.pools.upserts.map((p) => p.id)).toEqual(["shop/a:80"]);
});

test.for<[name: string, annotations: string, want: object]>([
  ["says nothing: round robin, bound as the main's", "", { terms: { balance: "round_robin", affinity: { cookie: "M" } } }],
  ["balances as the main", "@load-balance: ewma", {}],
  ["by a hash", "@upstream-hash-by: $host", { terms: { balance: "hash", hash: { key: [{ kind: "host" }] }, affinity: { cookie: "M" } } }],
  ["has a cookie that does not count", "@load-balance: ewma, @affinity: cookie, @session-cookie-name: C", {}],
  [
    "has a cookie of its own, as of old",
    "@affinity: cookie, @session-cookie-name: C, @affinity-canary-behavior: legacy",
    { terms: { balance: "round_robin", affinity: { cookie: "C", mode: "balanced", ignoredByWeights: true } } },
  ],
])("a canary that %s", ([, annotations, want]) => {
  const rules = makeRules("h.test", ["/", "Prefix", "a"]);
  const main = one(rules, "@load-balance: ewma, @affinity: cookie, @session-cookie-name: M");
  const yaml = services + main + two(makeRules("h.test", ["/", "Prefix", "b"]), `@canary: 'true', @canary-weight: '10', ${annotations}`);
  const translator = new IngressTranslator();
  translator.apply(batchFromEmpty(makeSnapshot(yaml)));
  const action = translator.full().routes.upserts.find((r) => r.rule === "h.test/")?.action;
  const canary = action?.kind === "forward" ? action.backends[1] : undefined;
  expect(canary).toMatchObject({ pool: "shop/b:80", weight: 10, ...want });
  expect(canary !== undefined && "terms" in canary).toBe("terms" in want);
});

test("ssl-passthrough: the host's TLS goes to the backend of its root, for as long as it is asked for", () => {
  const translator = new IngressTranslator();
  const rules = makeRules("h.test", ["/", "Prefix", "a"], ["/x", "Prefix", "b"]);
  const others = makeIngress("two", { spec: makeRules("i.test", ["/", "Prefix", "c"]) });
  translator.apply(batchFromEmpty(makeSnapshot(services + one(rules, "@ssl-passthrough: 'true'") + others)));
  const table = emptyRouteTable.with(translator.full());
  expect([table.hasPassthrough, table.passthrough("h.test")?.service, table.passthrough("i.test")]).toEqual([true, "shop/a", undefined]);
  const [route] = table.routes.filter((r) => r.passthrough !== undefined).values();
  if (route === undefined) throw new Error("no route says so");
  const { passthrough: _, ...without } = route;
  const nothing = { upserts: [], deletes: [] };
  const after = table.with({
    revision: 2,
    full: false,
    routes: { upserts: [without], deletes: [] },
    pools: nothing,
    certificates: nothing,
  });
  expect([after.hasPassthrough, after.passthrough("h.test")]).toEqual([false, undefined]);
});

test("the zones of hints, and what a Service wishes for its endpoints, come with the pool; a change of either is one", () => {
  const service = (wish: string, hint: string): string =>
    makeService("a", ["10.0.0.1:80"])
      .replace("{name: a, namespace: shop}", `{name: a, namespace: shop, annotations: {${wish}}}`)
      .replace("conditions: {ready: true}", `conditions: {ready: true}, hints: {forZones: [{name: ${hint}}]}`) +
    one(makeRules("h.test", ["/", "Prefix", "a"]));
  const pool = (wish: string, hint: string) => {
    const translator = new IngressTranslator();
    translator.apply(batchFromEmpty(makeSnapshot(service(wish, hint))));
    return translator.full().pools.upserts[0];
  };
  const wished = pool('fairway.dev/slow-start: "30", fairway.dev/health-check-path: /ok', "east");
  expect(wished?.endpoints).toEqual([{ ip: "10.0.0.1", port: 80, zones: ["east"] }]);
  expect([wished?.slowStartSeconds, wished?.health?.asks]).toEqual([30, { kind: "http", path: "/ok" }]);
  const plain = pool("", "east");
  expect(plain).not.toHaveProperty("health");
  for (const other of [pool("", "west"), wished]) expect(samePool(plain!, other!)).toBe(false);
  expect(samePool(wished!, { ...wished! })).toBe(true);
});

test("X-Forwarded-Prefix may have groups of the path", async () => {
  const rules = makeRules("h.test", ["/(v\\d+)/(.*)", "ImplementationSpecific", "a"]);
  const snapshot = makeSnapshot(services + one(rules, "@rewrite-target: /$2, @x-forwarded-prefix: /$1"));
  const { request } = await routeOffline(snapshot, { url: "http://h.test/v12/x", headers: [] });
  expect(request).toMatchObject({ path: "/x", setHeaders: { "X-Forwarded-Prefix": "/v12" } });
});
