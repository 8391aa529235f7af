import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { TimeLimits } from "../../../ingress/proxy/time-limits.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

test("who is late is ended, in whatever order the limits come; who was in time is not", () => {
  const ended: string[] = [];
  const limits = new TimeLimits<string>((late) => void ended.push(late));
  limits.add("long", 3_000);
  limits.add("short", 1_000);
  limits.add("in time", 1_000);
  vi.advanceTimersByTime(900);
  limits.delete("in time");
  limits.add("second", 1_000);
  expect([ended, limits.size]).toEqual([[], 3]);
  vi.advanceTimersByTime(200);
  expect(ended).toEqual(["short"]);
  vi.advanceTimersByTime(1_000);
  expect(ended).toEqual(["short", "second"]);
  vi.advanceTimersByTime(1_000);
  expect([ended, limits.size]).toEqual([["short", "second", "long"], 0]);
  limits.add("again", 500);
  vi.advanceTimersByTime(502);
  expect(ended.at(-1)).toBe("again");
});

test("all can be ended at once", () => {
  const ended: string[] = [];
  const limits = new TimeLimits<string>((late) => void ended.push(late));
  for (const name of ["a", "b"]) limits.add(name, 1_000);
  limits.endAll();
  vi.advanceTimersByTime(2_000);
  expect([ended, limits.size]).toEqual([["a", "b"], 0]);
});
