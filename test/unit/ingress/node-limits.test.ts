import { expect, test } from "vitest";
import { NodeLimits } from "../../../ingress/filter/limits.ts";
import type { LimitNews } from "../../../ingress/filter/node-limits.ts";

/** Processes of one node whose words arrive after `delayMs`, or never where `lost` says so; nothing happens but by `at`. */
function makeNode(size: number, o: { readonly delayMs: number; readonly lost?: (n: number) => boolean }) {
  let time = 0;
  let sent = 0;
  const under: { at: number; to: NodeLimits; from: string; news: LimitNews }[] = [];
  const tell = (i: number, news: LimitNews): void => {
    if (news.taken.length + news.inFlight.length === 0) return;
    for (const [j, to] of all.entries())
      if (i !== j && o.lost?.(sent++) !== true) under.push({ at: time + o.delayMs, to, from: `p${i}`, news });
  };
  const all: NodeLimits[] = Array.from({ length: size }, (_, i) => {
    const limits: NodeLimits = new NodeLimits({ peers: () => size - 1, onUrgent: () => tell(i, limits.news()) });
    return limits;
  });
  return {
    all,
    tell,
    /** Time goes on to `t`: words arrive, and every 100 ms each process tells what has changed. */
    at: (t: number): void => {
      for (; time < t; time++) {
        for (const w of under.splice(0)) {
          if (w.at <= time) w.to.merge(w.from, w.news, time);
          else under.push(w);
        }
        if (time % 100 === 0) for (const [i, limits] of all.entries()) tell(i, limits.changes());
      }
    },
  };
}

test.for<[name: string, size: number, delayMs: number, lost: (n: number) => boolean]>([
  ["one process", 1, 1, () => false],
  ["two processes", 2, 1, () => false],
  ["eight processes", 8, 1, () => false],
  ["three, and words that take 5 ms", 3, 5, () => false],
  ["three, and one word in five is lost", 3, 1, (n) => n % 5 === 0],
])("limit-rps: %s let in the burst and the rate, and at most what is under way above it", ([, size, delayMs, lost]) => {
  const rate = { perMinute: 6000, burst: 500 };
  const { all, at } = makeNode(size, { delayMs, lost });
  const seconds = 4;
  let taken = 0;
  // three times as many requests as drain, from one client, spread over all processes
  for (let ms = 0; ms < seconds * 1000; ms++) {
    at(ms);
    if (ms % 3 === 0 && all[(ms / 3) % size]?.takeToken("b", "c", rate, ms) === true) taken++;
  }
  const due = 1 + rate.burst + (seconds * rate.perMinute) / 60;
  expect(taken).toBeGreaterThanOrEqual(due - 2);
  // a request each 3 ms; a word that is lost is said again within 100 ms
  const underWay = Math.ceil((delayMs + 1) / 3) * (lost(0) ? 34 : 1);
  expect(taken).toBeLessThanOrEqual(due + (size - 1) + underWay);
});

test("what one process took is taken at the others too, and drains there", () => {
  const { all, at } = makeNode(3, { delayMs: 1 });
  const rate = { perMinute: 60, burst: 4 };
  const take = (i: number, ms: number): boolean | undefined => all[i]?.takeToken("b", "c", rate, ms);
  at(10);
  expect([0, 0, 0, 0, 0, 0].map((i) => take(i, 10))).toEqual([true, true, true, true, true, false]);
  at(20);
  expect([take(1, 20), take(2, 20)]).toEqual([false, false]);
  at(2100);
  expect([take(1, 2100), take(1, 2100), take(1, 2100)]).toEqual([true, true, false]);
});

test("limit-connections: what is in flight anywhere on the node counts, until it ends", () => {
  const { all, at } = makeNode(3, { delayMs: 1 });
  const enter = (i: number) => all[i]?.enter("b", "c", 3);
  const first = enter(0);
  at(5);
  const second = enter(1);
  at(10);
  const third = enter(2);
  at(15);
  expect([first, second, third].every((end) => end !== undefined)).toBe(true);
  expect([0, 1, 2].map((i) => enter(i))).toEqual([undefined, undefined, undefined]);
  first?.();
  first?.();
  at(20);
  expect(enter(2)).toBeDefined();
  at(25);
  expect([enter(0), enter(1)]).toEqual([undefined, undefined]);
});

test("requests of a process that is gone are no longer in flight", () => {
  const { all, at } = makeNode(2, { delayMs: 1 });
  expect([all[0]?.enter("b", "c", 2), all[0]?.enter("b", "c", 2)].every((end) => end !== undefined)).toBe(true);
  at(5);
  expect(all[1]?.enter("b", "c", 2)).toBeUndefined();
  all[1]?.forget("p0");
  expect(all[1]?.enter("b", "c", 2)).toBeDefined();
});

test("a process that begins anew takes no more than it says", () => {
  const limits = new NodeLimits({ peers: () => 1, onUrgent: () => undefined });
  const rate = { perMinute: 60, burst: 9 };
  const word = (total: number, excess: number): LimitNews => ({ taken: [["b c", total, excess, 60]], inFlight: [] });
  // heard for the first time: of its thousand, three have not drained
  limits.merge("p", word(1000, 2), 0);
  limits.merge("p", word(1000, 2), 0);
  limits.merge("p", word(1, 0), 0);
  const taken = Array.from({ length: 20 }, () => limits.takeToken("b", "c", rate, 0)).filter((ok) => ok).length;
  expect(taken).toBe(10 - 4);
});
