import fc from "fast-check";
import { expect, test } from "vitest";
import { emptyRouteTable, IngressTranslator, type Route, type RouteDelta, type RouteTable } from "../../ingress/index.ts";
import { mismatch } from "../../ingress/route/host-routes.ts";
import { compareRoutes } from "../../ingress/route/match-order.ts";
import { normalizePath } from "../../ingress/route/request-head.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { runs } from "../support/runs.ts";
import { makeForward } from "../unit/ingress/proxy-lab.ts";

const host = fc.constantFrom<Route["host"]>(
  { kind: "exact", name: "a.test" },
  { kind: "exact", name: "b.a.test" },
  { kind: "wildcard", suffix: ".a.test" },
  { kind: "wildcard", suffix: ".test" },
  { kind: "any" },
);
const path = fc.oneof(
  fc
    .tuple(
      fc.constantFrom("exact" as const, "prefix" as const, "string" as const),
      fc.constantFrom("/", "/a", "/a/", "/a/b", "/ab", "/a/b/c"),
    )
    .map(([kind, p]) => ({ kind, path: p })),
  fc.constantFrom("/a", "/a/.*", "/[ab]", "/a(/|$)(.*)").map((pattern) => ({ kind: "regex" as const, pattern, ignoreCase: true })),
  fc.constant({ kind: "fallback" as const }),
);
const route: fc.Arbitrary<Route> = fc
  .record({
    host,
    path,
    methods: fc.option(fc.constant(["POST"]), { nil: undefined }),
    headers: fc.option(fc.constant([{ name: "x", value: { kind: "exact" as const, text: "1" } }]), { nil: undefined }),
    created: fc.constantFrom("2026-01-01", "2026-01-02"),
    id: fc.integer({ min: 0, max: 30 }),
  })
  .map(({ id, methods, headers, ...r }) => ({
    ...r,
    ...(methods === undefined ? {} : { methods }),
    ...(headers === undefined ? {} : { headers }),
    id: `r${id}`,
    object: { kind: "Ingress", namespace: "n", name: `i${id}` },
    rule: `r${id}`,
    filters: [],
    action: makeForward(),
  }));
const request = fc.record({
  method: fc.constantFrom("GET", "POST"),
  host: fc.constantFrom("a.test", "b.a.test", "c.a.test", "c.b.a.test", "test", ""),
  path: fc.constantFrom("/", "/a", "/a/", "/A", "/ab", "/a/b", "/a/bc", "/a/b/c/d", "/b"),
  query: fc.constant(""),
  headers: fc.constantFrom([], ["x", "1"]),
});

function hostMatches(r: Route, name: string): boolean {
  if (r.host.kind === "any") return true;
  if (r.host.kind === "exact") return r.host.name === name;
  return name.endsWith(r.host.suffix) && name.length > r.host.suffix.length && !name.slice(0, -r.host.suffix.length).includes(".");
}

function delta(upserts: readonly Route[], deletes: readonly string[] = []): RouteDelta {
  const nothing = { upserts: [], deletes: [] };
  return { revision: 1, full: false, routes: { upserts, deletes }, pools: nothing, certificates: nothing };
}

test("the table finds what the order on summaries says, after any changes", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.array(route, { maxLength: 8 }), fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 4 })), { maxLength: 6 }),
      fc.array(request, { maxLength: 10 }),
      (changes, requests) => {
        let table: RouteTable = emptyRouteTable;
        const all = new Map<string, Route>();
        for (const [upserts, deletes] of changes) {
          const ids = deletes.map((d) => `r${d}`);
          table = table.with(delta(upserts, ids));
          for (const id of ids) all.delete(id);
          for (const r of upserts) all.set(r.id, r);
        }
        const ordered = [...all.values()].sort(compareRoutes);
        for (const r of requests) {
          const want = ordered.find((c) => hostMatches(c, r.host) && mismatch(c, r) === undefined);
          expect(table.match(r)?.route.id).toBe(want?.id);
        }
      },
    ),
    runs(300, 7),
  );
});

test("a normalised path is stable, absolute, without dot segments or double slashes", () => {
  const piece = fc.constantFrom("a", ".", "..", "", "%2e", "%2E%2e", "%2f", "%41", "b c", "%c3%a9", "...");
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      const path = normalizePath(`/${pieces.join("/")}`);
      if (path === undefined) return;
      expect(path).toMatch(/^\//);
      expect(path).not.toMatch(/\/\/|\/\.\.?(\/|$)/);
      expect(normalizePath(path.replaceAll("%", "%25"))).toBe(path);
    }),
    runs(500, 7),
  );
});

type Step = {
  readonly kind: "Ingress" | "Service" | "EndpointSlice" | "Secret" | "IngressClass";
  readonly name: string;
  readonly object: object | undefined;
};

const annotation = fc.constantFrom<Record<string, string>>(
  {},
  { "nginx.ingress.kubernetes.io/use-regex": "true" },
  { "nginx.ingress.kubernetes.io/canary": "true", "nginx.ingress.kubernetes.io/canary-weight": "20" },
  { "nginx.ingress.kubernetes.io/auth-type": "basic", "nginx.ingress.kubernetes.io/auth-secret": "s0" },
  { "nginx.ingress.kubernetes.io/server-alias": "h2.test", "nginx.ingress.kubernetes.io/from-to-www-redirect": "true" },
  { "nginx.ingress.kubernetes.io/limit-rps": "none" },
);
const small = fc.integer({ min: 0, max: 2 });
const meta = (name: string, more: object = {}) => ({ namespace: "n", name, ...more });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .record({
        n: small,
        host: fc.constantFrom("h0.test", "www.h0.test", "*.test", undefined),
        paths: fc.array(fc.tuple(fc.constantFrom("/", "/a", "/a/"), fc.constantFrom("Prefix", "Exact", "ImplementationSpecific"), small), {
          maxLength: 3,
        }),
        annotations: annotation,
        tls: fc.boolean(),
        fallback: fc.option(small),
        className: fc.constantFrom("fairway", undefined, "other"),
        gone: fc.boolean(),
      })
      .map(
        ({ n, host: h, paths, annotations, tls, fallback, className, gone }): Step => ({
          kind: "Ingress",
          name: `i${n}`,
          object: gone
            ? undefined
            : {
                metadata: meta(`i${n}`, { annotations, creationTimestamp: `2026-01-0${n + 1}T00:00:00Z` }),
                spec: {
                  ...(className === undefined ? {} : { ingressClassName: className }),
                  ...(fallback === null ? {} : { defaultBackend: { service: { name: `s${fallback}`, port: { number: 80 } } } }),
                  ...(tls ? { tls: [{ hosts: [h ?? "h0.test"], secretName: "s1" }] } : {}),
                  rules: [
                    {
                      ...(h === undefined ? {} : { host: h }),
                      http: {
                        paths: paths.map(([p, t, s]) => ({
                          path: p,
                          pathType: t,
                          backend: { service: { name: `s${s}`, port: { number: 80 } } },
                        })),
                      },
                    },
                  ],
                },
              },
        }),
      ),
  },
  fc.record({ n: small, gone: fc.boolean() }).map(
    ({ n, gone }): Step => ({
      kind: "Service",
      name: `s${n}`,
      object: gone ? undefined : { metadata: meta(`s${n}`), spec: { ports: [{ port: 80, name: "p" }] } },
    }),
  ),
  fc
    .record({
      n: small,
      of: small,
      ips: fc.array(fc.constantFrom("10.0.0.1", "10.0.0.2", "127.0.0.1"), { maxLength: 2 }),
      gone: fc.boolean(),
    })
    .map(
      ({ n, of, ips, gone }): Step => ({
        kind: "EndpointSlice",
        name: `e${n}`,
        object: gone
          ? undefined
          : {
              metadata: meta(`e${n}`, { labels: { "kubernetes.io/service-name": `s${of}` } }),
              addressType: "IPv4",
              ports: [{ name: "p", port: 8080 }],
              endpoints: ips.map((ip) => ({ addresses: [ip], conditions: { ready: true } })),
            },
      }),
    ),
  fc.record({ n: small, good: fc.boolean(), gone: fc.boolean() }).map(
    ({ n, good, gone }): Step => ({
      kind: "Secret",
      name: `s${n}`,
      object: gone ? undefined : { metadata: meta(`s${n}`), stringData: good ? { auth: "u:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=" } : {} },
    }),
  ),
  fc.record({ isDefault: fc.boolean(), gone: fc.boolean() }).map(
    ({ isDefault, gone }): Step => ({
      kind: "IngressClass",
      name: "fairway",
      object: gone
        ? undefined
        : {
            metadata: { name: "fairway", annotations: { "ingressclass.kubernetes.io/is-default-class": String(isDefault) } },
            spec: { controller: "fairway/ingress" },
          },
    }),
  ),
);

function contents(table: RouteTable): unknown {
  const sorted = (m: { entries(): Iterable<[string, unknown]> }): unknown => [...m.entries()].sort(([a], [b]) => (a < b ? -1 : 1));
  return { routes: sorted(table.routes), pools: sorted(table.pools), certificates: sorted(table.certificates) };
}

test("deltas of any batches add up to what a fresh translation says, problems too", () => {
  fc.assert(
    fc.property(fc.array(fc.array(step, { maxLength: 4 }), { maxLength: 8 }), (batches) => {
      const store = new SnapshotStore();
      const cursor = store.cursor(() => undefined);
      const translator = new IngressTranslator();
      let table: RouteTable = emptyRouteTable;
      for (const steps of batches) {
        for (const s of steps) store.apply(s.kind, s.kind === "IngressClass" ? s.name : `n/${s.name}`, s.object as never, "1");
        const batch = cursor.take();
        if (batch !== undefined) table = table.with(JSON.parse(JSON.stringify(translator.apply(batch))) as RouteDelta);
      }
      const fresh = new IngressTranslator();
      const all = store.cursor(() => undefined).take();
      if (all !== undefined) fresh.apply(all);
      expect(contents(table)).toEqual(contents(emptyRouteTable.with(fresh.full())));
      expect(contents(emptyRouteTable.with(translator.full()))).toEqual(contents(table));
      const texts = (t: IngressTranslator): readonly string[] => t.problems.map((p) => JSON.stringify(p)).sort();
      expect(texts(translator)).toEqual(texts(fresh));
      expect([...translator.served].sort()).toEqual([...fresh.served].sort());
    }),
    runs(300, 7),
  );
});
