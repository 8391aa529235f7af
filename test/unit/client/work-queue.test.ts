import { expect, test } from "vitest";
import { type Again, WorkQueue } from "../../../src/client/work-queue.ts";
import { FakeClock } from "../../support/fake-clock.ts";

function makeQueue(o: { workers?: number; run?: (key: string) => Promise<Again | undefined> } = {}) {
  const clock = new FakeClock();
  const runs: string[] = [];
  const failures: string[] = [];
  const queue = new WorkQueue({
    workers: o.workers ?? 2,
    clock,
    random: () => 1,
    backoff: { first: 5, factor: 2, max: 1000, jitter: 0 },
    run: async (key) => {
      runs.push(key);
      return o.run?.(key);
    },
    onFailure: (key, error, ms) => void failures.push(`${key} ${error instanceof Error ? error.message : ""} ${ms}`),
  });
  return { clock, runs, failures, queue };
}

test("a key added often before it runs is run once, in the order of arrival, without a timer", async () => {
  const { runs, queue, clock } = makeQueue();
  for (const key of ["a", "b", "a", "c", "a"]) queue.add(key);
  expect(runs).toEqual([]);
  await queue.idle();
  expect(runs).toEqual(["a", "b", "c"]);
  expect(clock.sleeping).toEqual([]);
});

test("a key added while it runs is run again afterwards, never beside itself", async () => {
  let running = 0;
  let most = 0;
  const gate = Promise.withResolvers<void>();
  const { runs, queue } = makeQueue({
    run: async () => {
      most = Math.max(most, ++running);
      await gate.promise;
      running--;
      return undefined;
    },
  });
  queue.add("a");
  await new Promise((resolve) => setImmediate(resolve));
  queue.add("a");
  queue.add("a");
  gate.resolve();
  await queue.idle();
  expect([runs, most]).toEqual([["a", "a"], 1]);
});

test("no more run at once than there are workers", async () => {
  const gates = new Map<string, PromiseWithResolvers<void>>();
  const { runs, queue } = makeQueue({
    workers: 2,
    run: async (key) => {
      const gate = Promise.withResolvers<void>();
      gates.set(key, gate);
      await gate.promise;
      return undefined;
    },
  });
  for (const key of ["a", "b", "c"]) queue.add(key);
  await new Promise((resolve) => setImmediate(resolve));
  expect(runs).toEqual(["a", "b"]);
  expect(queue.depth).toBe(3);
  gates.get("b")?.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  expect(runs).toEqual(["a", "b", "c"]);
  for (const gate of gates.values()) gate.resolve();
  await queue.idle();
});

test("failures wait longer each time; a change in between does not wait; success forgets them", async () => {
  let fail = true;
  const { clock, runs, failures, queue } = makeQueue({
    run: async () => {
      if (fail) throw new Error("no");
      return undefined;
    },
  });
  queue.add("a");
  await clock.advance(5);
  await clock.advance(10);
  expect(failures).toEqual(["a no 5", "a no 10", "a no 20"]);
  queue.add("a");
  await clock.advance(0);
  expect(failures.at(-1)).toBe("a no 40");
  fail = false;
  await clock.advance(20);
  expect(runs.length).toBe(5);
  fail = true;
  queue.add("a");
  await clock.advance(0);
  expect(failures.at(-1)).toBe("a no 5");
  await queue.close();
});

test("of several times to come again the earliest counts", async () => {
  const again: (Again | undefined)[] = [{ afterMs: 1000 }, undefined];
  const { clock, runs, queue } = makeQueue({ run: async () => again.shift() });
  queue.add("a");
  await clock.advance(0);
  queue.addAfter("a", 5000);
  queue.addAfter("a", 300);
  expect(clock.sleeping).toEqual([300]);
  await clock.advance(10_000);
  expect(runs).toEqual(["a", "a"]);
});

test("closing drops what waits, ends timers, and waits for what runs", async () => {
  const gate = Promise.withResolvers<void>();
  const { clock, runs, queue } = makeQueue({
    workers: 1,
    run: async () => {
      await gate.promise;
      return undefined;
    },
  });
  queue.add("a");
  queue.add("b");
  queue.addAfter("c", 10);
  await clock.advance(0);
  let closed = false;
  const closing = queue.close().then(() => {
    closed = true;
  });
  await clock.advance(100);
  expect(closed).toBe(false);
  gate.resolve();
  await closing;
  queue.add("d");
  await clock.advance(100);
  expect([runs, clock.sleeping]).toEqual([["a"], []]);
});
