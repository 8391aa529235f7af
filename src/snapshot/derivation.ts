import type { Batch, Snapshot } from "./cluster-snapshot.ts";
import { type Compiled, type Problem, problemKey } from "./problem.ts";

/**
 * A keyed function of the snapshot. Laws, tested for each: after any batches the derived table equals a fresh one, and
 * `affected` names every key whose `compute` may differ between `before` and `after`.
 */
export interface Derivation<K, V> {
  affected(batch: Batch): Iterable<K>;
  /** A plan of `undefined` means that the key has no value. */
  compute(snapshot: Snapshot, key: K): Compiled<V | undefined>;
  /** Values that are equal make no change; identity when absent. */
  equal?(a: V, b: V): boolean;
}

export interface ProblemDelta {
  readonly gained: readonly Problem[];
  readonly lost: readonly Problem[];
}

/** By `problemKey`. */
export function problemDelta(before: readonly Problem[], after: readonly Problem[]): ProblemDelta {
  if (before === after || (before.length === 0 && after.length === 0)) return nothingChanged;
  const had = new Set(before.map(problemKey));
  const has = new Set(after.map(problemKey));
  return { gained: after.filter((p) => !had.has(problemKey(p))), lost: before.filter((p) => !has.has(problemKey(p))) };
}

/** What one batch did to a derived table. */
export interface Delta<K, V> {
  readonly changed: ReadonlyMap<K, { readonly before?: V; readonly after?: V }>;
  readonly problems: ProblemDelta;
}

const noProblems: readonly Problem[] = [];
const nothingChanged: ProblemDelta = { gained: noProblems, lost: noProblems };

/** A derived table, kept current batch by batch. */
export class Derived<K, V> {
  readonly #derivation: Derivation<K, V>;
  readonly #values = new Map<K, V>();
  readonly #problems = new Map<K, readonly Problem[]>();

  constructor(derivation: Derivation<K, V>) {
    this.#derivation = derivation;
  }

  get values(): ReadonlyMap<K, V> {
    return this.#values;
  }

  *problems(): Iterable<Problem> {
    for (const list of this.#problems.values()) yield* list;
  }

  /** Recomputes the affected keys against `batch.after`. */
  apply(batch: Batch): Delta<K, V> {
    return this.recompute(batch.after, new Set(this.#derivation.affected(batch)));
  }

  /** For a second derivation whose keys come from another table's delta instead of a batch. */
  recompute(snapshot: Snapshot, keys: Iterable<K>): Delta<K, V> {
    const changed = new Map<K, { before?: V; after?: V }>();
    const gained: Problem[] = [];
    const lost: Problem[] = [];
    for (const key of keys) {
      const before = this.#values.get(key);
      const { plan: after, problems } = this.#derivation.compute(snapshot, key);
      const same = before === after || (before !== undefined && after !== undefined && (this.#derivation.equal?.(before, after) ?? false));
      if (!same) {
        changed.set(
          key,
          before === undefined ? (after === undefined ? {} : { after }) : after === undefined ? { before } : { before, after },
        );
        if (after === undefined) this.#values.delete(key);
        else this.#values.set(key, after);
      }
      const had = this.#problems.get(key) ?? noProblems;
      if (had.length === 0 && problems.length === 0) continue;
      gained.push(...problems.filter((p) => !had.some((q) => sameProblem(p, q))));
      lost.push(...had.filter((p) => !problems.some((q) => sameProblem(p, q))));
      if (problems.length === 0) this.#problems.delete(key);
      else this.#problems.set(key, problems);
    }
    return { changed, problems: { gained, lost } };
  }
}

function sameProblem(a: Problem, b: Problem): boolean {
  return (
    a.reason === b.reason &&
    a.field === b.field &&
    a.message === b.message &&
    a.object.kind === b.object.kind &&
    a.object.name === b.object.name &&
    a.object.namespace === b.object.namespace
  );
}
