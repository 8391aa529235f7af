import { expect, test } from "vitest";
import { ApplyError } from "../../../rules/apply/errors.ts";
import { type Leftover, LeftoverRemoval, type LeftoverState } from "../../../rules/sync/leftovers.ts";

const signal = new AbortController().signal;

/** What each look at one leftover finds, and what comes of it: what is said, and how long until the next look. */
const cases: readonly {
  readonly name: string;
  readonly finds: readonly (LeftoverState | ApplyError)[];
  readonly said: readonly string[];
  readonly waits: readonly (number | undefined)[];
}[] = [
  { name: "nothing was left: one more look", finds: ["none", "none"], said: [], waits: [60_000, undefined] },
  {
    name: "removed, and it stays away",
    finds: ["removed", "none"],
    said: ["info X are removed: fairway's rules are in force in their place"],
    waits: [60_000, undefined],
  },
  {
    name: "connections end in peace",
    finds: ["draining", "draining", "removed", "none"],
    said: [
      "info X stay until their connections have ended: new ones take the Service rules that are in force now",
      "info X are removed: fairway's rules are in force in their place",
    ],
    waits: [2000, 2000, 60_000, undefined],
  },
  {
    name: "a kube-proxy runs beside: no fight",
    finds: ["removed", "removed", "removed", "none"],
    said: [
      "info X are removed: fairway's rules are in force in their place",
      "warn X came back: does a kube-proxy run on this node? Stop it; they are removed again every ten minutes",
    ],
    waits: [60_000, 600_000, 600_000, undefined],
  },
  {
    name: "what cannot be removed is tried again, told once",
    finds: [new ApplyError("UNAVAILABLE", "busy"), new ApplyError("UNAVAILABLE", "busy"), "removed", "none"],
    said: ["warn X are still there: busy", "info X are removed: fairway's rules are in force in their place"],
    waits: [60_000, 60_000, 60_000, undefined],
  },
];

test.each(cases)("$name", async ({ finds, said, waits }) => {
  const log: string[] = [];
  let failures = 0;
  let looks = 0;
  const remove = (): Promise<LeftoverState> => {
    const found = finds[looks++] ?? "none";
    return found instanceof ApplyError ? Promise.reject(found) : Promise.resolve(found);
  };
  const clock = { now: () => 0, monotonic: () => 1_000_000, sleep: () => Promise.resolve() };
  const leftovers: readonly Leftover[] = [{ what: "X", remove }];
  const removal = new LeftoverRemoval(() => leftovers, {
    clock,
    log: (level, message) => log.push(`${level} ${message}`),
    onFailure: () => failures++,
  });
  expect(removal.due()).toBe(Number.NEGATIVE_INFINITY);
  const due: (number | undefined)[] = [];
  for (const _ of finds) {
    await removal.look("nftables", signal);
    const at = removal.due();
    due.push(at === undefined ? undefined : at - 1_000_000);
  }
  expect(due).toEqual(waits);
  expect(log).toEqual(said);
  expect(failures).toBe(finds.filter((find) => find instanceof ApplyError).length);
});
