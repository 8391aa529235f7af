import { describe, expect, test } from "vitest";
import type { BalancePolicy, Member } from "../../../rules/plan/frontend.ts";
import { type Choosing, chooseEndpoint } from "../../../rules/userspace/choose.ts";
import { seededRandom } from "../../support/random.ts";

const member = (n: number, weight?: number): Member => ({
  ip: `10.0.0.${n}`,
  port: 80,
  local: false,
  ...(weight === undefined ? {} : { weight }),
});
const members = [member(1), member(2), member(3), member(4)];
const pool = (balance: BalancePolicy | undefined, of: readonly Member[] = members) => ({
  id: "p",
  members: of,
  ...(balance === undefined ? {} : { balance }),
});
const by = (more: Partial<Choosing> = {}): Choosing => ({
  source: "192.0.2.1",
  sourcePort: 4000,
  remembered: undefined,
  now: 1000,
  random: 0.5,
  active: () => 0,
  ...more,
});
const clients = Array.from({ length: 2000 }, (_, i) => `192.0.${i >> 8}.${i & 255}`);

/** How many of many clients each member gets. */
function counts(balance: BalancePolicy | undefined, of: readonly Member[], more: Partial<Choosing> = {}): readonly number[] {
  const random = seededRandom(7);
  const chosen = clients.map((source) => chooseEndpoint(pool(balance, of), by({ source, random: random.next(), ...more }))?.ip);
  return of.map((m) => chosen.filter((ip) => ip === m.ip).length);
}

test.each(["random", "least-connections", "source-hash", "maglev", undefined] as const)(
  "%s: evenly, by weights, and nobody of an empty pool",
  (balance) => {
    for (const n of counts(balance, members)) expect(n).toBeGreaterThan(400);
    const [light = 0, heavy = 0] = counts(balance, [member(1, 1), member(2, 3)], { active: (m) => m.weight ?? 1 });
    if (balance !== "least-connections") expect(heavy / light).toBeGreaterThan(2.5);
    expect(chooseEndpoint(pool(balance, []), by())).toBeUndefined();
    for (const random of [0, 0.999_999_9]) expect(chooseEndpoint(pool(balance), by({ random }))).toBeDefined();
  },
);

describe("least connections", () => {
  const with_ = (active: readonly number[], of = members): string | undefined =>
    chooseEndpoint(pool("least-connections", of), by({ active: (m) => active[of.indexOf(m)] ?? 0, random: 0 }))?.ip;
  test.each([
    ["the one that has fewest", [3, 2, 1, 2], undefined, "10.0.0.3"],
    ["of those that have as few, any", [3, 1, 1, 2], undefined, "10.0.0.2"],
    ["against its weight", [1, 2], [member(1, 1), member(2, 4)], "10.0.0.2"],
  ] as const)("%s", (_, active, of, want) => {
    expect(with_(active, of === undefined ? members : [...of])).toBe(want);
  });
});

describe.each(["source-hash", "maglev"] as const)("%s", (balance) => {
  const owners = (of: readonly Member[]): readonly (string | undefined)[] =>
    clients.map((source) => chooseEndpoint(pool(balance, of), by({ source }))?.ip);
  test("a client keeps its endpoint, whatever is drawn, unless that one goes; one that comes takes its share only", () => {
    const before = owners(members);
    expect(clients.map((source) => chooseEndpoint(pool(balance), by({ source, random: 0.1 }))?.ip)).toEqual(before);
    const without = owners(members.slice(0, 3));
    expect(without.filter((ip, i) => ip !== before[i] && before[i] !== "10.0.0.4")).toEqual([]);
    const more = owners([...members, member(5)]);
    expect(more.filter((ip, i) => ip !== before[i] && ip !== "10.0.0.5")).toEqual([]);
    expect(more.filter((ip) => ip === "10.0.0.5").length / clients.length).toBeCloseTo(0.2, 1);
  });

  test(balance === "maglev" ? "connections of one client go to all" : "all connections of one client go to one", () => {
    const seen = new Set(clients.map((_, i) => chooseEndpoint(pool(balance), by({ sourcePort: i }))?.ip));
    expect(seen.size).toBe(balance === "maglev" ? 4 : 1);
  });
});

test("a remembered endpoint is kept in time and while it takes connections, whatever the policy", () => {
  const remembered = { endpoint: member(2), until: 1001 };
  for (const balance of ["random", "least-connections", "source-hash"] as const) {
    expect(chooseEndpoint(pool(balance), by({ remembered }))?.ip).toBe("10.0.0.2");
    expect(chooseEndpoint(pool(balance, [member(1)]), by({ remembered }))?.ip).toBe("10.0.0.1");
  }
  expect(chooseEndpoint(pool("random"), by({ remembered, now: 1001, random: 0 }))?.ip).toBe("10.0.0.1");
});
