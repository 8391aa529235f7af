import { expect, test } from "vitest";
import { affinityCookie, affinityValue } from "../../../ingress/balance/affinity.ts";
import { cost, newEndpointLoad, observe } from "../../../ingress/balance/endpoint-load.ts";
import { pickPeakEwma, pickRoundRobin } from "../../../ingress/balance/pick.ts";
import { ProcessLimits } from "../../../ingress/filter/limits.ts";
import { EndpointPicker, endpointKey } from "../../../ingress/upstream/endpoint-picker.ts";
import { EndpointUses } from "../../../ingress/upstream/endpoint-uses.ts";
import { poolOf } from "./proxy-lab.ts";

const all = (count: number, out: readonly number[] = []) => ({ count, usable: (i: number) => !out.includes(i) });

test("round robin takes turns and steps over what is out", () => {
  expect([0, 1, 2, 3].map((turn) => pickRoundRobin(all(3), turn))).toEqual([0, 1, 2, 0]);
  expect([0, 1, 2, 3].map((turn) => pickRoundRobin(all(3, [1]), turn))).toEqual([0, 2, 2, 0]);
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
  const limits = new ProcessLimits();
  const take = (at: number, client = "c"): boolean => limits.takeToken("b", client, { perMinute: 60, burst: 2 }, at);
  expect([take(0), take(0), take(0), take(0)]).toEqual([true, true, true, false]);
  expect(take(0, "other")).toBe(true);
  expect([take(1000), take(1000)]).toEqual([true, false]);
  expect([take(3500), take(3500), take(3500)]).toEqual([true, true, false]);
});
