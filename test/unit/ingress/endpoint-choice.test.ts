import { expect, test } from "vitest";
import { affinityValue, sessionValue } from "../../../ingress/balance/affinity.ts";
import type { ProxyContext } from "../../../ingress/proxy/context.ts";
import type { IncomingRequest } from "../../../ingress/proxy/downstream.ts";
import { chooseEndpoint, upstreamAddress } from "../../../ingress/proxy/endpoint-choice.ts";
import type { ClientIdentity } from "../../../ingress/proxy/forwarded.ts";
import { RequestIds } from "../../../ingress/proxy/request-id.ts";
import type { CookieAffinity, Forwarding, Pool, WeightedBackend } from "../../../ingress/route/route.ts";
import { emptyRouteTable } from "../../../ingress/route/route-table.ts";
import { EndpointPicker, endpointKey } from "../../../ingress/upstream/endpoint-picker.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { makeForward, poolOf } from "./proxy-lab.ts";

const main = poolOf([1], "main");
const canary = poolOf([2], "canary");

/** Chooses for one client after another, where chance falls on `random`. */
function chooser(pools: readonly Pool[], random: () => number) {
  const picker = new EndpointPicker();
  const requestIds = new RequestIds(Math.random);
  const nothing = { upserts: [], deletes: [] };
  return (action: Forwarding, o: { readonly cookie?: string; readonly tried?: readonly Pool[]; readonly pools?: readonly Pool[] } = {}) => {
    const upserts = o.pools ?? pools;
    const table = emptyRouteTable.with({
      revision: 1,
      full: true,
      routes: nothing,
      pools: { upserts, deletes: [] },
      certificates: nothing,
    });
    const context = { table, picker, requestIds, random, clock: new FakeClock() } as unknown as ProxyContext;
    const request = { fields: o.cookie === undefined ? [] : ["cookie", o.cookie], authority: "a.test" } as unknown as IncomingRequest;
    const tried = new Set((o.tried ?? []).flatMap((p) => p.endpoints.map(endpointKey)));
    const pool = o.tried === undefined ? undefined : upserts[0];
    return chooseEndpoint(context, action, { request, client: {} as ClientIdentity, requestId: "", pool, tried, now: 0 });
  };
}

function forwardTo(backends: readonly WeightedBackend[], affinity: Partial<CookieAffinity>): Forwarding {
  return makeForward({
    backends,
    affinity: { cookie: "A", mode: "persistent", path: "/", changeOnFailure: false, ...affinity },
  }) as Forwarding;
}

const both = [
  { pool: "main", weight: 90 },
  { pool: "canary", weight: 10 },
];

test.for<[name: string, affinity: Partial<CookieAffinity>, cookieOf: typeof main, random: number, want: string]>([
  ["who was served by the canary stays there", {}, canary, 0, "canary"],
  ["who was served by the main stays there", {}, main, 0.95, "main"],
  ["as of old, weights count all the same", { ignoredByWeights: true }, canary, 0, "main"],
  ["and draw some to the canary", { ignoredByWeights: true }, main, 0.95, "canary"],
])("affinity and canaries: %s", ([, affinity, cookieOf, random, want]) => {
  for (const mode of ["persistent", "balanced"] as const) {
    const value =
      mode === "persistent" ? affinityValue(cookieOf.id, cookieOf.endpoints[0]!) : sessionValue(cookieOf.id, "0123456789abcdef");
    const choose = chooser([main, canary], () => random);
    expect(choose(forwardTo(both, { ...affinity, mode }), { cookie: `A=${value}` })?.pool.id).toBe(want);
  }
});

test("a backend with terms of its own has its own cookie, and its own way to balance", () => {
  const own = { cookie: "B", mode: "persistent", path: "/", changeOnFailure: false, ignoredByWeights: true } as const;
  const [first, second] = both;
  const backends = [first!, { ...second!, terms: { balance: "hash", hash: { key: [], algorithm: "ring" }, affinity: own } as const }];
  const many = { ...canary, endpoints: Array.from({ length: 9 }, (_, i) => ({ ip: "127.0.0.1", port: 100 + i })) };
  let random = 0.95;
  const choose = chooser([main, many], () => random);
  const chosen = Array.from({ length: 8 }, () => choose(forwardTo(backends, { ignoredByWeights: true })));
  // all have the same hash
  expect(new Set(chosen.map((c) => c?.picked?.endpoint.port)).size).toBe(1);
  for (const c of chosen) expect(c?.setCookie).toMatch(/^B=/);
  const cookie = `A=${affinityValue("main", main.endpoints[0]!)}; B=${affinityValue("canary", many.endpoints[4]!)}`;
  expect(choose(forwardTo(backends, { ignoredByWeights: true }), { cookie })?.picked?.endpoint.port).toBe(104);
  random = 0;
  expect(choose(forwardTo(backends, { ignoredByWeights: true }))?.setCookie).toMatch(/^A=/);
});

const cookieOf = (setCookie: string | undefined): string => setCookie?.split(";")[0] ?? "";
const poolWith = (count: number): Pool => poolOf(Array.from({ length: count }, (_, i) => 1000 + i));

test.for<[mode: CookieAffinity["mode"], least: number, most: number]>([
  ["persistent", 0, 0],
  // a third of 200 belongs to the third
  ["balanced", 30, 110],
])("%s: of the clients that are bound, an endpoint that comes takes over from %i to %i of 200", ([mode, least, most]) => {
  const [before, after] = [poolWith(2), poolWith(3)];
  const choose = chooser([before], Math.random);
  const forward = forwardTo([{ pool: "p", weight: 1 }], { mode });
  let moved = 0;
  for (let i = 0; i < 200; i++) {
    const first = choose(forward);
    const cookie = cookieOf(first?.setCookie);
    const again = choose(forward, { cookie });
    expect([again?.picked?.endpoint, again?.setCookie]).toEqual([first?.picked?.endpoint, undefined]);
    const later = choose(forward, { cookie, pools: [after] });
    expect(later?.setCookie).toBeUndefined();
    if (later?.picked?.endpoint.port === first?.picked?.endpoint.port) continue;
    moved++;
    expect(later?.picked?.endpoint.port).toBe(1002);
  }
  expect(moved).toBeGreaterThanOrEqual(least);
  expect(moved).toBeLessThanOrEqual(most);
});

test.for<[mode: CookieAffinity["mode"], changeOnFailure: boolean]>([
  ["persistent", true],
  ["persistent", false],
  ["balanced", true],
  ["balanced", false],
])("%s: whose endpoint fails gets another, for good: %s", ([mode, changeOnFailure]) => {
  const pool = poolWith(2);
  const choose = chooser([pool], Math.random);
  const forward = forwardTo([{ pool: "p", weight: 1 }], { mode, changeOnFailure });
  for (let i = 0; i < 20; i++) {
    const first = choose(forward);
    const cookie = cookieOf(first?.setCookie);
    const failed = first?.picked?.endpoint;
    const next = choose(forward, { cookie, tried: [{ ...pool, endpoints: failed === undefined ? [] : [failed] }] });
    expect(next?.picked?.endpoint).toEqual(pool.endpoints.find((e) => e !== failed));
    const now = next?.setCookie === undefined ? cookie : cookieOf(next.setCookie);
    expect(choose(forward, { cookie: now })?.picked?.endpoint).toEqual(changeOnFailure ? next?.picked?.endpoint : failed);
  }
});

test("a cookie that is none of ours is answered with one that is", () => {
  const choose = chooser([poolWith(2)], Math.random);
  for (const mode of ["persistent", "balanced"] as const)
    for (const cookie of ["A=", "A=x", `A=${sessionValue("q", "0123456789abcdef")}`, `A=${"0".repeat(16)}`])
      expect(choose(forwardTo([{ pool: "p", weight: 1 }], { mode }), { cookie })?.setCookie).toMatch(/^A=[0-9a-f]{16,24};/);
});

test.for<[name: string, filled: string, want: string]>([
  ["is what its variables give", "blue.inner.test", "blue.inner.test"],
  ["is the host that is asked for where they give nothing", "", "h.test"],
  ["or what is no name", "a b\0.test", "h.test"],
])("the name of an endpoint's certificate %s", ([, filled, want]) => {
  const picked = new EndpointPicker().pick(main, { balance: "round_robin", tried: new Set(), now: 0, random: 0 });
  const name = [{ kind: "header", name: "x-shard" }] as const;
  const forward = makeForward({ protocol: "https", tls: { verify: true, sendServerName: true, name } }) as Forwarding;
  const address = upstreamAddress(picked!, forward, { host: "H.test:80", fill: () => filled });
  expect(address).toMatchObject({ serverName: want, expectedName: want });
});
