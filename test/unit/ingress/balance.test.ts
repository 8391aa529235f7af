import { expect, test } from "vitest";
import { affinityCookie, affinityValue } from "../../../ingress/balance/affinity.ts";
import { cost, joinOthers, newEndpointLoad, observe, slowStartShare } from "../../../ingress/balance/endpoint-load.ts";
import { pickPeakEwma, pickRoundRobin } from "../../../ingress/balance/pick.ts";
import { NodeLimits } from "../../../ingress/filter/limits.ts";
import type { Pool } from "../../../ingress/route/route.ts";
import { EndpointPicker, endpointKey } from "../../../ingress/upstream/endpoint-picker.ts";
import { EndpointUses } from "../../../ingress/upstream/endpoint-uses.ts";
import { poolOf } from "./proxy-lab.ts";

const all = (count: number, out: readonly number[] = []) => ({ count, usable: (i: number) => !out.includes(i) });

test("round robin takes turns and steps over what is out", () => {
  expect([0, 1, 2, 3].map((turn) => pickRoundRobin(all(3), turn))).toEqual([0, 1, 2, 0]);
  expect([0, 1, 2, 3].map((turn) => pickRoundRobin(all(3, [1]), turn))).toEqual([0, 2, 0, 2]);
  expect([0, 1, 2, 3].map((turn) => pickRoundRobin(all(4, [2, 3]), turn))).toEqual([0, 1, 0, 1]);
  expect(pickRoundRobin(all(2, [0, 1]), 5)).toBe(-1);
  expect(pickRoundRobin(all(0), 0)).toBe(-1);
});

test("of two endpoints taken at random, the cheaper serves", () => {
  const loads = [newEndpointLoad(), newEndpointLoad(), newEndpointLoad()];
  observe(loads[0]!, 500, 1000);
  loads[1]!.inFlight = 20;
  for (let r = 0; r < 1; r += 0.05) {
    const picked = pickPeakEwma(all(3), loads, 1000, r);
    expect(picked === 2 || cost(loads[picked]!, 1000) <= cost(loads[picked === 0 ? 1 : 0]!, 1000)).toBe(true);
  }
  expect(pickPeakEwma(all(3, [1, 2]), loads, 1000, 0.99)).toBe(0);
  expect(pickPeakEwma(all(1), loads, 1000, 0.5)).toBe(0);
  expect(pickPeakEwma(all(3, [0, 1, 2]), loads, 1000, 0.5)).toBe(-1);
});

test("the estimate of a response time goes up at once and down slowly", () => {
  const load = newEndpointLoad();
  observe(load, 10, 0);
  observe(load, 200, 1);
  expect(load.ewma).toBe(200);
  observe(load, 10, 1000);
  expect(load.ewma).toBeGreaterThan(150);
  observe(load, 10, 60_000);
  expect(load.ewma).toBeLessThan(11);
});

test("an endpoint that failed is left alone while there are others", () => {
  const picker = new EndpointPicker();
  const pool = poolOf([1, 2]);
  const pick = (now: number, tried: readonly string[] = []): number | undefined =>
    picker.pick(pool, { balance: "round_robin", tried: new Set(tried), now, random: 0 })?.endpoint.port;
  const first = picker.pick(pool, { balance: "round_robin", tried: new Set(), now: 0, random: 0 });
  expect(first?.endpoint.port).toBe(1);
  picker.failed(first!, 0);
  expect([pick(1), pick(2), pick(3)]).toEqual([2, 2, 2]);
  expect([pick(2000), pick(2001)].sort((a, b) => (a ?? 0) - (b ?? 0))).toEqual([1, 2]);
  picker.failed(first!, 3000);
  expect(pick(3001, [endpointKey({ ip: "127.0.0.1", port: 2 })])).toBe(1);
  expect(pick(3001, ["127.0.0.1 1", "127.0.0.1 2"])).toBeUndefined();
});

const occasion = { secure: true, now: Date.UTC(2026, 0, 1), userAgent: "" };

test("the affinity value stands for one endpoint of one pool, and finds it again", () => {
  const picker = new EndpointPicker();
  const pool = poolOf([1, 2, 3]);
  const values = pool.endpoints.map((e) => affinityValue(pool.id, e));
  expect(new Set(values).size).toBe(3);
  expect(values.map((v) => picker.pickByCookie(pool, v, new Set())?.endpoint.port)).toEqual([1, 2, 3]);
  expect(picker.pickByCookie(pool, affinityValue("other", pool.endpoints[0]!), new Set())).toBeUndefined();
  expect(affinityCookie({ cookie: "A", path: "/x", maxAgeSeconds: 60, sameSite: "Lax" }, "v", occasion)).toBe(
    "A=v; Path=/x; Max-Age=60; SameSite=Lax; Secure; HttpOnly",
  );
});

test.for<[name: string, userAgent: string, none: boolean]>([
  ["nobody", "", true],
  ["Chrome 80", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/80.0.3987.0 Safari/537.36", true],
  ["Chrome 60", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/60.0.3112.0 Safari/537.36", false],
  [
    "iOS 12",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 12_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1 Mobile/15E148 Safari/604.1",
    false,
  ],
  [
    "Safari of 10.14",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_6) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1 Safari/605.1.15",
    false,
  ],
  [
    "Chrome on 10.14",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_6) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0.0.0 Safari/537.36",
    true,
  ],
  ["old UC", "Mozilla/5.0 (Linux; U; Android 9) AppleWebKit/537.36 Version/4.0 Chrome/57.0.2987.108 UCBrowser/12.9.0.1 Mobile", false],
])("SameSite=None for %s, where that is asked of the client", ([, userAgent, none]) => {
  const affinity = { cookie: "A", path: "/", sameSite: "None", expiresSeconds: 60, conditionalSameSiteNone: true };
  expect(affinityCookie(affinity, "v", { ...occasion, userAgent })).toBe(
    `A=v; Path=/; Expires=Thu, 01 Jan 2026 00:01:00 GMT${none ? "; SameSite=None" : ""}; Secure; HttpOnly`,
  );
});

test("an endpoint is gone when no pool names it any more", () => {
  const uses = new EndpointUses();
  const [a, b] = [poolOf([1, 2], "a"), poolOf([2, 3], "b")];
  expect([...uses.replace(undefined, a), ...uses.replace(undefined, b)]).toEqual([]);
  expect(uses.replace(a, poolOf([3], "a"))).toEqual(["127.0.0.1 1"]);
  expect(uses.replace(b, undefined)).toEqual(["127.0.0.1 2"]);
  expect(uses.has("127.0.0.1 3")).toBe(true);
});

test("a bucket drains at its rate; clients do not share theirs", () => {
  const limits = new NodeLimits();
  const take = (at: number, client = "c"): boolean => limits.takeToken("b", client, { perMinute: 60, burst: 2 }, at);
  expect([take(0), take(0), take(0), take(0)]).toEqual([true, true, true, false]);
  expect(take(0, "other")).toBe(true);
  expect([take(1000), take(1000)]).toEqual([true, false]);
  expect([take(3500), take(3500), take(3500)]).toEqual([true, true, false]);
});

const none = new Set<string>();
/** Requests of `count` each endpoint got, by port. */
function shares(
  picker: EndpointPicker,
  pool: Pool,
  o: { count: number; now: number; balance?: "round_robin" | "ewma" },
): Record<number, number> {
  const got: Record<number, number> = {};
  for (let i = 0; i < o.count; i++) {
    const random = (i * 0.618_033_988_75) % 1;
    const port = picker.pick(pool, { balance: o.balance ?? "round_robin", tried: none, now: o.now, random })?.endpoint.port ?? 0;
    got[port] = (got[port] ?? 0) + 1;
  }
  return got;
}

test("a newcomer gets a tenth of its share, then more and more, and the first ones theirs at once", () => {
  const picker = new EndpointPicker();
  const before = { ...poolOf([1, 2, 3]), slowStartSeconds: 100 };
  expect(shares(picker, before, { count: 300, now: 0 })).toEqual({ 1: 100, 2: 100, 3: 100 });
  const after = { ...poolOf([1, 2, 3, 4]), slowStartSeconds: 100 };
  const at = (now: number): number => shares(picker, after, { count: 400, now })[4] ?? 0;
  const [first, middle, late, last] = [at(1_000), at(51_000), at(91_000), at(200_000)];
  expect([first > 0, first < 25, middle > 30, middle < 75, late > middle, last]).toEqual([true, true, true, true, true, 100]);
});

test("the share of a newcomer goes from a tenth to the whole in a straight line", () => {
  const load = newEndpointLoad();
  expect(slowStartShare(load, 0, 1000)).toBe(1);
  joinOthers(load, [], 500);
  expect([500, 1000, 1500, 9000].map((now) => slowStartShare(load, now, 1000))).toEqual([0.1, 0.5, 1, 1]);
});

test("one that joins others is taken for as fast as they are, not for the fastest", () => {
  const picker = new EndpointPicker();
  const before = poolOf([1, 2]);
  for (let i = 0; i < 20; i++) {
    const picked = picker.pick(before, { balance: "ewma", tried: none, now: 1000, random: i / 20 })!;
    picker.answered(picked, 900, 1000);
  }
  const got = shares(picker, poolOf([1, 2, 3]), { count: 300, now: 1000, balance: "ewma" });
  expect(got[3]).toBeGreaterThan(50);
  expect(got[3]).toBeLessThan(150);
});

function inZone(zone: string): EndpointPicker {
  const picker = new EndpointPicker();
  picker.moveTo(zone);
  return picker;
}

test("endpoints that are meant for this zone come first, and others when none of those is well", () => {
  const picker = inZone("a");
  const pool: Pool = {
    ...poolOf([]),
    endpoints: [1, 2, 3, 4].map((port) => ({ ip: "127.0.0.1", port, zones: [port < 3 ? "a" : "b"] })),
  };
  expect(shares(picker, pool, { count: 100, now: 0 })).toEqual({ 1: 50, 2: 50 });
  picker.judge(pool.endpoints[0]!, true);
  expect(shares(picker, pool, { count: 100, now: 0 })).toEqual({ 2: 100 });
  picker.judge(pool.endpoints[1]!, true);
  expect(shares(picker, pool, { count: 100, now: 0 })).toEqual({ 3: 50, 4: 50 });
  expect(shares(inZone("c"), pool, { count: 100, now: 0 })).toEqual({ 1: 25, 2: 25, 3: 25, 4: 25 });
  const unhinted = { ...pool, endpoints: [...pool.endpoints, { ip: "127.0.0.1", port: 5 }] };
  expect(Object.keys(shares(inZone("a"), unhinted, { count: 100, now: 0 }))).toHaveLength(5);
});

test("turns of what is out go to all others alike", () => {
  const picker = new EndpointPicker();
  const pool = poolOf([1, 2, 3, 4]);
  for (const at of [1, 3]) picker.judge(pool.endpoints[at]!, true);
  const got = shares(picker, pool, { count: 400, now: 0 });
  expect(Object.keys(got)).toEqual(["1", "3"]);
  expect(Math.abs((got[1] ?? 0) - (got[3] ?? 0))).toBeLessThan(60);
});

test("what health checks found unwell gets nothing while others are well", () => {
  const picker = new EndpointPicker();
  const pool = poolOf([1, 2]);
  picker.judge(pool.endpoints[0]!, true);
  expect(shares(picker, pool, { count: 10, now: 0 })).toEqual({ 2: 10 });
  picker.judge(pool.endpoints[1]!, true);
  expect(Object.keys(shares(picker, pool, { count: 10, now: 0 }))).toEqual(["1", "2"]);
  picker.judge(pool.endpoints[0]!, false);
  expect(shares(picker, pool, { count: 10, now: 0 })).toEqual({ 1: 10 });
});
