import { expect, test } from "vitest";
import { newEndpointLoad } from "../../../ingress/balance/endpoint-load.ts";
import { type HashTable, hashOf, hashRing, maglevTable } from "../../../ingress/balance/hash-ring.ts";
import { pickByHash, pickLeastRequests } from "../../../ingress/balance/pick.ts";
import { RetryBudget } from "../../../ingress/balance/retry-budget.ts";
import { EndpointPicker } from "../../../ingress/upstream/endpoint-picker.ts";
import { poolOf } from "./proxy-lab.ts";

const keysOf = (n: number): readonly string[] => Array.from({ length: n }, (_, i) => `10.0.0.${i} 80`);
const all = (count: number, out: readonly number[] = []) => ({ count, usable: (i: number) => !out.includes(i) });
const firstOf = (table: HashTable, text: string): number => table.choices(hashOf(text))[Symbol.iterator]().next().value ?? -1;
const clients = Array.from({ length: 20_000 }, (_, i) => `client-${i}`);

test.for<[name: string, make: (keys: readonly string[]) => HashTable, spread: number, moved: number]>([
  ["ring", hashRing, 0.35, 1],
  ["maglev", maglevTable, 0.12, 1.6],
])("%s: even shares, and an endpoint that leaves moves little but its own", ([, make, spread, moved]) => {
  const keys = keysOf(10);
  const before = make(keys);
  const shares = new Array<number>(10).fill(0);
  for (const c of clients) shares[firstOf(before, c)]!++;
  for (const s of shares) expect(Math.abs(s / 2_000 - 1)).toBeLessThan(spread);
  const after = make(keys.filter((_, i) => i !== 3));
  const place = (i: number): number => (i > 3 ? i - 1 : i);
  const movedClients = clients.filter((c) => firstOf(before, c) !== 3 && place(firstOf(before, c)) !== firstOf(after, c)).length;
  expect(movedClients / clients.length).toBeLessThan(moved * 0.1);
  if (make === hashRing) expect(movedClients).toBe(0);
});

test.for([["ring", hashRing] as const, ["maglev", maglevTable] as const])(
  "%s: the same for every process, whatever came before",
  ([, make]) => {
    expect(clients.slice(0, 200).map((c) => firstOf(make(keysOf(7)), c))).toEqual(
      clients.slice(0, 200).map((c) => firstOf(make(keysOf(7)), c)),
    );
    expect(new Set(make(keysOf(7)).choices(hashOf("x")))).toEqual(new Set([0, 1, 2, 3, 4, 5, 6]));
    expect([...make([]).choices(1)]).toEqual([]);
  },
);

test("a hash steps past endpoints that are out, and past those above their bound", () => {
  const table = hashRing(keysOf(4));
  const loads = keysOf(4).map(newEndpointLoad);
  const [first = 0, second = 0, third = 0] = table.choices(hashOf("x"));
  const o = { table, hash: hashOf("x"), loads };
  expect(pickByHash(all(4), o)).toBe(first);
  expect(pickByHash(all(4, [first]), o)).toBe(second);
  expect(pickByHash(all(4, [0, 1, 2, 3]), o)).toBe(-1);
  loads[first]!.inFlight = 8;
  expect(pickByHash(all(4), o)).toBe(first);
  expect(pickByHash(all(4), { ...o, bound: 1.25 })).toBe(second);
  for (const load of loads) load.inFlight = 10;
  loads[third]!.inFlight = 0;
  // all but one are above: (30 + 1) × 1.05 / 4 = 9
  expect(pickByHash(all(4), { ...o, bound: 1.05 })).toBe(third);
});

test("least requests: the fewest in flight, the next in turn among equals", () => {
  const loads = keysOf(3).map(newEndpointLoad);
  expect([0, 1, 2].map((turn) => pickLeastRequests(all(3), loads, turn))).toEqual([0, 1, 2]);
  loads[0]!.inFlight = 1;
  loads[1]!.inFlight = 2;
  expect([0, 1, 2].map((turn) => pickLeastRequests(all(3), loads, turn))).toEqual([2, 2, 2]);
  expect(pickLeastRequests(all(3, [2]), loads, 0)).toBe(0);
  expect(pickLeastRequests(all(3, [0, 1, 2]), loads, 0)).toBe(-1);
});

test("an endpoint that keeps failing is left alone for longer each time, and is trusted again once it answers", () => {
  const picker = new EndpointPicker();
  const pool = poolOf([1, 2]);
  const pick = (now: number) => picker.pick(pool, { balance: "round_robin", tried: new Set(), now, random: 0 });
  const bad = pick(0)!;
  picker.failed(bad, 0);
  for (const now of [1, 500, 999]) expect(pick(now)?.endpoint.port).toBe(2);
  picker.failed(bad, 1_000);
  for (const now of [1_001, 2_500, 2_999]) expect(pick(now)?.endpoint.port).toBe(2);
  picker.answered(bad, 3_000, 3_001);
  expect(new Set([pick(3_002), pick(3_002)].map((p) => p?.endpoint.port))).toEqual(new Set([1, 2]));
  expect(bad.load.failures).toBe(0);
});

test("a full endpoint gets no more; all full is nobody", () => {
  const picker = new EndpointPicker();
  const pool = { ...poolOf([1, 2]), limits: { requests: 1, pending: 0, pendingSeconds: 1 } };
  const pick = () => {
    const p = picker.pick(pool, { balance: "round_robin", tried: new Set(), now: 0, random: 0 });
    if (p !== undefined) p.load.inFlight++;
    return p?.endpoint.port;
  };
  expect(new Set([pick(), pick(), pick()])).toEqual(new Set([1, 2, undefined]));
});

test("retries: ten a second, and a fifth of the requests", () => {
  const budget = new RetryBudget();
  const taken = (now: number): number => Array.from({ length: 200 }, () => budget.take(now)).filter(Boolean).length;
  expect(taken(0)).toBe(10);
  expect(taken(500)).toBe(0);
  for (let i = 0; i < 100; i++) budget.deposit();
  expect(taken(600)).toBe(20);
  expect(taken(1_000)).toBe(10);
});

test("a subset: a key keeps to so many endpoints, and uses each of them; others take over where none is left", () => {
  const table = hashRing(keysOf(10));
  const loads = keysOf(10).map(() => newEndpointLoad());
  const pick = (key: string, random: number, out: readonly number[] = []): number =>
    pickByHash(all(10, out), { table, hash: hashOf(key), loads, subset: { size: 3, random } });
  const own = [0, 0.34, 0.67, 0.99].map((random) => pick("client-1", random));
  expect(new Set(own).size).toBe(3);
  expect(own).toContain(firstOf(table, "client-1"));
  expect(own).not.toContain(pick("client-1", 0, own));
  expect(pick("client-1", 0.5, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])).toBe(-1);
});
