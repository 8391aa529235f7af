import { expect, test } from "vitest";
import { createMemoryRelease } from "../../../src/daemon/release-memory.ts";
import { FakeClock } from "../../support/fake-clock.ts";

/** Half of the time that it waits. */
const step = 1000;

test.each([
  { name: "little happens", keys: [500, 0, 500, 0], want: 0 },
  { name: "a burst, then quiet", keys: [3000, 0, 0], want: 1 },
  { name: "a burst that goes on", keys: [3000, 3000, 3000], want: 0 },
  { name: "a burst that goes on and ends", keys: [3000, 3000, 0, 0, 0], want: 1 },
  { name: "two bursts", keys: [3000, 0, 3000, 0], want: 2 },
  { name: "much in small parts", keys: [900, 900, 900, 0, 0], want: 1 },
  { name: "a burst, then what always happens", keys: [3000, 20, 20, 20], want: 1 },
  { name: "a burst, then more than what always happens", keys: [3000, 200, 200, 200], want: 0 },
  { name: "what always happens, for long", keys: Array.from({ length: 200 }, () => 40), want: 0 },
])("collects once it is quiet: $name", async ({ keys, want }) => {
  const clock = new FakeClock();
  let collected = 0;
  const memory = createMemoryRelease({ clock, collect: () => void collected++ });
  for (const n of keys) {
    if (n > 0) memory.changed(n);
    await clock.advance(step);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(collected).toBe(want);
  memory.changed(5000);
  memory.close();
  await clock.advance(4 * step);
  expect(collected).toBe(want);
});

test("a burst that was released at once is not released again when it is quiet", async () => {
  const clock = new FakeClock();
  let collected = 0;
  const memory = createMemoryRelease({ clock, collect: () => void collected++ });
  memory.changed(5000);
  memory.release();
  for (let i = 0; i < 4; i++) {
    await clock.advance(step);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(collected).toBe(1);
  memory.changed(5000);
  for (let i = 0; i < 4; i++) {
    await clock.advance(step);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(collected).toBe(2);
  memory.close();
});
