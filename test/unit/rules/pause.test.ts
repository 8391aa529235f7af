import { expect, test } from "vitest";
import { Pause } from "../../../rules/sync/pause.ts";
import { FakeClock } from "../../support/fake-clock.ts";

/** Rests one after the other: how long each is asked for, when somebody ends it, and how long it takes. */
interface Case {
  readonly name: string;
  readonly rests: readonly { readonly ms?: number; readonly ended?: number; readonly want: number }[];
}

test.each<Case>([
  { name: "a time", rests: [{ ms: 100, want: 100 }] },
  { name: "an end before it", rests: [{ ms: 100, ended: 30, want: 30 }] },
  { name: "an end alone", rests: [{ ended: 30, want: 30 }] },
  {
    name: "the rest of the same time",
    rests: [
      { ms: 100, ended: 30, want: 30 },
      { ms: 70, want: 70 },
    ],
  },
  {
    name: "an earlier time than was set",
    rests: [
      { ms: 100, ended: 30, want: 30 },
      { ms: 20, want: 20 },
    ],
  },
  {
    name: "a later time: ends early, and then in time",
    rests: [
      { ms: 100, ended: 30, want: 30 },
      { ms: 200, want: 70 },
      { ms: 130, want: 130 },
    ],
  },
])("rests for $name", async ({ rests }) => {
  const clock = new FakeClock();
  const stop = new AbortController();
  const pause = new Pause(clock, stop.signal);
  for (const { ms, ended, want } of rests) {
    const started = clock.monotonic();
    let took: number | undefined;
    const done = pause.take(ms).then(() => {
      took = clock.monotonic() - started;
    });
    await clock.advance(want - 1);
    expect(took).toBeUndefined();
    await clock.advance(1);
    if (ended !== undefined) pause.end();
    await done;
    expect(took).toBe(want);
  }
  stop.abort();
});

test("stopping takes the timer away; no rest is taken any more", async () => {
  const clock = new FakeClock();
  const stop = new AbortController();
  const pause = new Pause(clock, stop.signal);
  const resting = pause.take(100);
  expect(clock.sleeping).toEqual([100]);
  stop.abort();
  pause.end();
  await resting;
  await pause.take(undefined);
  expect(clock.sleeping).toEqual([]);
});

test("many rests that are ended set one timer", async () => {
  const clock = new FakeClock();
  const stop = new AbortController();
  const pause = new Pause(clock, stop.signal);
  for (let i = 0; i < 50; i++) {
    const resting = pause.take(1000 - clock.monotonic());
    await clock.advance(1);
    pause.end();
    await resting;
  }
  expect(clock.sleeping).toEqual([950]);
  stop.abort();
});
