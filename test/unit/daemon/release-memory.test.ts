import { expect, test } from "vitest";
import { createMemoryRelease } from "../../../src/daemon/release-memory.ts";
import { FakeClock } from "../../support/fake-clock.ts";

/** Half of the time that it waits. */
const step = 1000;

test.each([
  { name: "little happens", trickle: 0, keys: [500, 0, 500, 0], want: 0 },
  { name: "a burst, then quiet", trickle: 0, keys: [3000, 0, 0], want: 1 },
  { name: "a burst that goes on", trickle: 0, keys: [3000, 3000, 3000], want: 0 },
  { name: "a burst that goes on and ends", trickle: 0, keys: [3000, 3000, 0, 0, 0], want: 1 },
  { name: "two bursts", trickle: 0, keys: [3000, 0, 3000, 0], want: 2 },
  { name: "much in small parts", trickle: 0, keys: [900, 900, 900, 0, 0], want: 1 },
  { name: "something always happens", trickle: 0, keys: [3000, 5, 5, 5], want: 0 },
  { name: "something always happens, and may", trickle: 10, keys: [3000, 5, 5, 5], want: 1 },
])("collects once it is quiet: $name", async ({ trickle, keys, want }) => {
  const clock = new FakeClock();
  let collected = 0;
  const memory = createMemoryRelease({ clock, trickle, collect: () => void collected++ });
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
