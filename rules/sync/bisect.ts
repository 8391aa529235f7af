import { type ApplyError, isApplyError } from "../apply/errors.ts";
import type { Frontend, FrontendKey } from "../plan/frontend.ts";

/** How a backend applies a part of a change. */
export interface Halves<T> {
  /** Applies these beside what stands. Throws ApplyError; nothing of them is left then. */
  apply(some: readonly T[]): Promise<void>;
  /** It is refused all by itself: it is to be left out. */
  refuse(one: T, cause: ApplyError): Promise<void> | void;
}

/**
 * Applies all but what the kernel refuses, which is found by halves: n of N cost n × log N tries. What is not a refusal is
 * thrown, with what was applied before it in force.
 */
export async function applyByHalves<T>(all: readonly T[], halves: Halves<T>): Promise<void> {
  const [first] = all;
  if (first === undefined) return;
  try {
    await halves.apply(all);
  } catch (cause) {
    if (!isApplyError(cause) || cause.code !== "REFUSED") throw cause;
    const half = all.length >> 1;
    if (half === 0) {
      await halves.refuse(first, cause);
      return;
    }
    await applyByHalves(all.slice(0, half), halves);
    await applyByHalves(all.slice(half), halves);
  }
}

/** Frontends that change, what belongs together beside each other: halves of a Service hardly ever come apart. */
export function byOwner(wanted: ReadonlyMap<FrontendKey, { readonly after?: Frontend }>): readonly FrontendKey[] {
  const name = (key: FrontendKey): string => JSON.stringify(wanted.get(key)?.after?.owner ?? key);
  return [...wanted.keys()].sort((a, b) => (name(a) < name(b) ? -1 : 1));
}
