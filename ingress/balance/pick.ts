import { cost, type EndpointLoad } from "./endpoint-load.ts";

/** Chooses among `count` endpoints; -1 when none is allowed. `usable(i)` leaves out those that failed this request or lately. */
export interface Choice {
  readonly count: number;
  usable(index: number): boolean;
}

/** The next after `turn`, in order; `turn` counts up for ever and is kept by the caller. */
export function pickRoundRobin(choice: Choice, turn: number): number {
  for (let i = 0; i < choice.count; i++) {
    const at = (turn + i) % choice.count;
    if (choice.usable(at)) return at;
  }
  return -1;
}

/** Power of two choices: the cheaper of two taken at random. `random` is in [0, 1). */
export function pickPeakEwma(choice: Choice, loads: readonly EndpointLoad[], now: number, random: number): number {
  const n = choice.count;
  if (n === 0) return -1;
  // one number gives both draws: the second is uniform over the others
  const draw = Math.floor(random * n * Math.max(1, n - 1));
  const first = draw % n;
  const second = (first + 1 + (Math.floor(draw / n) % Math.max(1, n - 1))) % n;
  const a = choice.usable(first) ? loads[first] : undefined;
  const b = choice.usable(second) ? loads[second] : undefined;
  if (a !== undefined && b !== undefined) return cost(b, now) < cost(a, now) ? second : first;
  if (a !== undefined) return first;
  if (b !== undefined) return second;
  return pickRoundRobin(choice, first);
}
