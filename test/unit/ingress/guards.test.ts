import { expect, test } from "vitest";
import { IngressTranslator, type Route } from "../../../ingress/index.ts";
import { batchFromEmpty } from "../../../src/snapshot/snapshot-store.ts";
import { makeIngress, makeRules, makeService, makeSnapshot } from "./cluster.ts";

const md5 = "0123456789abcdef0123456789abcdef";
const shared = `{"keys":[{"kty":"oct","k":"${Buffer.alloc(32, 1).toString("base64url")}"}]}`;

const objects = `${makeService("a", ["10.0.0.1:8080"])}
kind: Secret
metadata: {name: digest, namespace: shop}
stringData: {auth: "ann:shop:${md5}"}
---
kind: Secret
metadata: {name: keys, namespace: shop}
stringData: {jwks.json: '${shared}'}
---
kind: ConfigMap
metadata: {name: keys, namespace: shop}
data: {jwks.json: '${shared}', note: "no keys"}
---
kind: ConfigMap
metadata: {name: headers, namespace: shop}
data: {X-Tenant: "shop", X-Host: "$host"}
---
kind: ConfigMap
metadata: {name: bad, namespace: shop}
data: {X-Tenant: "$nonsense"}
---
`;

const n = (text: string): string => text.replaceAll("@", "nginx.ingress.kubernetes.io/").replaceAll("%", "fairway.dev/jwt-");
const ingress = (annotations: string): string =>
  makeIngress("one", { spec: makeRules("h.test", ["/", "Prefix", "a"]), annotations: n(annotations) });

function translate(yaml: string): { route: Route | undefined; problems: readonly string[]; translator: IngressTranslator } {
  const translator = new IngressTranslator();
  translator.apply(batchFromEmpty(makeSnapshot(yaml)));
  const route = translator.full().routes.upserts.find((r) => r.rule === "h.test/");
  return { route, problems: translator.problems.map((p) => p.reason), translator };
}

const guards = ["auth", "digestAuth", "jwt", "externalAuth", "satisfyAny"];
const keys = { kind: "inline", sets: [shared] };
const jwt = { realm: "", audiences: [], leewaySeconds: 60, claimHeaders: [] };

test.for<[name: string, annotations: string, filters: readonly unknown[] | "shut", problems: readonly string[]]>([
  [
    "digest of a realm",
    "@auth-type: digest, @auth-secret: digest, @auth-realm: shop",
    [{ kind: "digestAuth", realm: "shop", users: { ann: { md5 } } }],
    [],
  ],
  [
    "digest of another realm: nobody gets in",
    "@auth-type: digest, @auth-secret: digest, @auth-realm: other",
    [{ kind: "digestAuth", realm: "other", users: {} }],
    ["UnsupportedPassword"],
  ],
  ["digest without its Secret", "@auth-type: digest, @auth-secret: nothing", "shut", ["SecretNotFound"]],
  ["digest of another namespace", "@auth-type: digest, @auth-secret: other/digest", "shut", ["SecretNotAllowed"]],
  [
    "keys of a Secret, with all there is to say",
    "%keys: secret/keys, %issuer: 'https://i.test', %audience: 'a, b', %leeway: '5', %claims-to-headers: 'sub=X-User, a.b=X-B', %cookie: t, %realm: r",
    [
      {
        kind: "jwt",
        keys,
        realm: "r",
        issuer: "https://i.test",
        audiences: ["a", "b"],
        leewaySeconds: 5,
        cookie: "t",
        claimHeaders: [
          { claim: "sub", header: "X-User" },
          { claim: "a.b", header: "X-B" },
        ],
      },
    ],
    [],
  ],
  ["keys of a ConfigMap, beside what are none", "%keys: configmap/keys", [{ kind: "jwt", ...jwt, keys }], ["InvalidKeys"]],
  ["keys behind a URL", "%keys: 'https://i.test/keys'", [{ kind: "jwt", ...jwt, keys: { kind: "url", url: "https://i.test/keys" } }], []],
  [
    "keys of a Service of the cluster",
    "%keys: 'http://a.shop.svc/keys'",
    [{ kind: "jwt", ...jwt, keys: { kind: "url", url: "http://a.shop.svc/keys", pool: "shop/a:80" } }],
    [],
  ],
  ["no keys at all in their object", "%keys: configmap/headers", "shut", ["InvalidKeys", "InvalidKeys", "InvalidConfigMap"]],
  ["keys of nowhere", "%keys: 'file:///x'", "shut", ["InvalidAnnotation"]],
  ["an issuer without keys", "%issuer: x", "shut", ["InvalidAnnotation"]],
  ["a word of ours that is none", "%keys: secret/keys, %audiences: x", "shut", ["UnsupportedAnnotation"]],
  [
    "headers for the server that judges",
    "@auth-url: 'http://j.test/', @auth-proxy-set-headers: shop/headers",
    [
      {
        kind: "externalAuth",
        url: [{ kind: "text", text: "http://j.test/" }],
        responseHeaders: [],
        setHeaders: [
          { name: "X-Tenant", value: [{ kind: "text", text: "shop" }] },
          { name: "X-Host", value: [{ kind: "host" }] },
        ],
      },
    ],
    [],
  ],
  ["headers that are not there", "@auth-url: 'http://j.test/', @auth-proxy-set-headers: nothing", "shut", ["ConfigMapNotFound"]],
  ["headers that are not understood", "@auth-url: 'http://j.test/', @auth-proxy-set-headers: bad", "shut", ["InvalidConfigMap"]],
  ["a snippet for the server that judges", "@auth-snippet: 'proxy_set_header X y;'", [], ["UnsupportedAnnotation"]],
  [
    "any of token and users is enough",
    "@satisfy: any, %keys: secret/keys, @auth-type: digest, @auth-secret: digest, @auth-realm: shop",
    [
      {
        kind: "satisfyAny",
        filters: [
          { kind: "digestAuth", realm: "shop", users: { ann: { md5 } } },
          { kind: "jwt", ...jwt, keys },
        ],
      },
    ],
    [],
  ],
])("%s", ([, annotations, filters, problems]) => {
  const got = translate(objects + ingress(annotations));
  expect(got.problems).toEqual(problems);
  if (filters === "shut") expect(got.route?.action).toMatchObject({ kind: "respond", status: 503 });
  else {
    expect(got.route?.filters.filter((f) => guards.includes(f.kind))).toEqual(filters);
    expect(got.route?.action.kind).toBe("forward");
  }
});

test("a ConfigMap that changes changes the routes that name it, and no others", () => {
  const before = makeSnapshot(objects + ingress("%keys: configmap/keys"));
  const after = makeSnapshot(
    objects.replace("data: {jwks.json", "data: {old: x, jwks.json").replaceAll(shared, '{"keys":[]}') + ingress("%keys: configmap/keys"),
  );
  const translator = new IngressTranslator();
  translator.apply(batchFromEmpty(before));
  const change = (key: string) =>
    translator.apply({ before, after, dirty: new Map([["ConfigMap", new Set([key])]]), causes: [] }).routes.upserts;
  expect(change("shop/headers")).toEqual([]);
  expect(change("shop/keys").map((r) => r.action.kind)).toEqual(["respond"]);
});
