import { fnv1a } from "../../src/base/hash.ts";
import type { IpFamily } from "../../src/base/ip.ts";
import type { FrontendKey } from "../plan/frontend.ts";
import { elementsOf, type PlacedFrontend, sharedElements } from "./place.ts";
import { printElements, printSkeleton } from "./print.ts";
import type { Ruleset } from "./ruleset.ts";
import { skeletonChains, skeletonElements, skeletonSets } from "./skeleton.ts";
import { type Element, elementId, sameValue, type Table } from "./statement.ts";

/** Elements that change together; a refused group can be left out without harm to the others. */
export interface ChangeGroup {
  /** A frontend, or `shared` or `surroundings`. */
  readonly owner: FrontendKey;
  readonly deletes: readonly Element[];
  readonly adds: readonly Element[];
}

/** What turns one table into another. Atomic; groups are in the order in which they may be split into several batches. */
export interface TableTransaction {
  readonly family: IpFamily;
  readonly table: string;
  /**
   * `replace`: the table is made anew, with nothing in it but its skeleton, and the groups add all the rest.
   * `extend`: chains and numbers are added to the skeleton.
   */
  readonly skeleton?: { readonly kind: "replace" | "extend"; readonly table: Table };
  readonly groups: readonly ChangeGroup[];
}
export type Transaction = readonly TableTransaction[];

export function transactionSize(tx: Transaction): number {
  return tx.reduce((n, t) => n + t.groups.reduce((m, g) => m + g.deletes.length + g.adds.length, 0), 0);
}

export function isEmptyTransaction(tx: Transaction): boolean {
  return tx.every((t) => t.skeleton === undefined && t.groups.length === 0);
}

/** Identifies a skeleton: its whole text, as a number that fits an element. */
export function skeletonVersion(r: Ruleset): number {
  const table = skeletonTable(r);
  return fnv1a([...printSkeleton(table), ...printElements("add", table, table.elements)].join("\n"));
}

/**
 * Written once a skeleton is loaded: which one, and what its rules look like in the kernel. A table without it is not
 * finished; one whose rules look otherwise was changed by others. Both are made anew.
 */
export function versionTransaction(r: Ruleset, fingerprint: number, before: readonly Element[]): TableTransaction {
  const mark: Element = { set: "version", key: [skeletonVersion(r)], value: [fingerprint] };
  return { family: r.family, table: r.table, groups: [{ owner: "version", deletes: before, adds: [mark] }] };
}

/** The transaction that makes an absent (or foreign) table be `after`. */
export function diffFromNothing(after: Ruleset): TableTransaction {
  const groups: ChangeGroup[] = [];
  if (after.surroundings.length > 0) groups.push({ owner: "surroundings", deletes: [], adds: after.surroundings });
  const shared = [...after.shared.values()].map((s) => s.element);
  if (shared.length > 0) groups.push({ owner: "shared", deletes: [], adds: shared });
  for (const [owner, placed] of after.frontends) groups.push({ owner, deletes: [], adds: elementsOf(placed) });
  return { family: after.family, table: after.table, skeleton: { kind: "replace", table: skeletonTable(after) }, groups };
}

/**
 * `keys`: the frontends that may differ; absent: all are compared. A skeleton that cannot be reached by adding chains is
 * replaced, and everything with it.
 */
export function diffRulesets(before: Ruleset, after: Ruleset, keys?: Iterable<FrontendKey>): TableTransaction {
  if (before === after) return { family: after.family, table: after.table, groups: [] };
  const extension = extendSkeleton(before, after);
  if (extension === "impossible") return diffFromNothing(after);
  const groups: ChangeGroup[] = [];
  if (before.surroundings !== after.surroundings) pushGroup(groups, "surroundings", before.surroundings, after.surroundings);
  const among = keys ?? new Set([...before.frontends.keys(), ...after.frontends.keys()]);
  // where nobody says which frontends changed, neither does anybody say whose elements these were
  const sharedIds = new Set<string>(keys === undefined ? [...before.shared.keys(), ...after.shared.keys()] : []);
  const own: ChangeGroup[] = [];
  for (const key of among) {
    const a = before.frontends.get(key);
    const b = after.frontends.get(key);
    if (a === b) continue;
    for (const placed of [a, b]) {
      if (placed !== undefined) for (const element of sharedElements(placed)) sharedIds.add(elementId(element));
    }
    pushGroup(own, key, elementsIn(a), elementsIn(b));
  }
  const was: Element[] = [];
  const is: Element[] = [];
  for (const id of sharedIds) {
    const a = before.shared.get(id);
    const b = after.shared.get(id);
    if (a !== undefined && b === undefined) was.push(a.element);
    if (b !== undefined && a === undefined) is.push(b.element);
  }
  if (was.length > 0 || is.length > 0) groups.push({ owner: "shared", deletes: was, adds: is });
  groups.push(...own);
  const tx = { family: after.family, table: after.table, groups };
  return extension === undefined ? tx : { ...tx, skeleton: extension };
}

/** The transaction that makes a table that holds `elements` (as read from the kernel) be `after`; its skeleton is right already. */
export function diffFromElements(elements: readonly Element[], after: Ruleset): TableTransaction {
  const present = new Map(elements.map((e) => [elementId(e), e]));
  const groups: ChangeGroup[] = [];
  const settle = (owner: string, wanted: readonly Element[]): void => {
    const deletes: Element[] = [];
    const adds: Element[] = [];
    for (const element of wanted) {
      const id = elementId(element);
      const there = present.get(id);
      present.delete(id);
      if (there !== undefined && sameValue(there.value, element.value)) continue;
      if (there !== undefined) deletes.push(there);
      adds.push(element);
    }
    if (adds.length > 0) groups.push({ owner, deletes, adds });
  };
  settle("skeleton", skeletonElements(after.skeleton));
  settle("surroundings", after.surroundings);
  settle(
    "shared",
    [...after.shared.values()].map((s) => s.element),
  );
  for (const [key, placed] of after.frontends) settle(key, elementsOf(placed));
  const leftover = [...present.values()].filter((e) => e.set !== "version");
  // a range must be gone before one that overlaps it is added, so leftovers go in front
  if (leftover.length > 0) groups.unshift({ owner: "leftover", deletes: leftover, adds: [] });
  return { family: after.family, table: after.table, groups };
}

function elementsIn(placed: PlacedFrontend | undefined): readonly Element[] {
  return placed === undefined ? [] : elementsOf(placed);
}

function pushGroup(groups: ChangeGroup[], owner: string, before: readonly Element[], after: readonly Element[]): void {
  const had = new Map(before.map((e) => [elementId(e), e]));
  const deletes: Element[] = [];
  const adds: Element[] = [];
  for (const element of after) {
    const id = elementId(element);
    const old = had.get(id);
    had.delete(id);
    if (old !== undefined && sameValue(old.value, element.value)) continue;
    if (old !== undefined) deletes.push(old);
    adds.push(element);
  }
  deletes.push(...had.values());
  if (deletes.length > 0 || adds.length > 0) groups.push({ owner, deletes, adds });
}

function skeletonTable(r: Ruleset): Table {
  return {
    family: r.family,
    name: r.table,
    sets: skeletonSets(r.family),
    chains: skeletonChains(r.family, r.skeleton),
    elements: skeletonElements(r.skeleton),
  };
}

function extendSkeleton(before: Ruleset, after: Ruleset): TableTransaction["skeleton"] | "impossible" | undefined {
  const a = before.skeleton;
  const b = after.skeleton;
  const sameBase =
    a.knowsPods === b.knowsPods &&
    a.localInterface?.kind === b.localInterface?.kind &&
    a.localInterface?.name === b.localInterface?.name &&
    a.masqueradeAll === b.masqueradeAll &&
    a.nodePorts === b.nodePorts &&
    a.untracked === b.untracked &&
    a.dropInvalid === b.dropInvalid &&
    a.masqueradeMark === b.masqueradeMark;
  const hashesKept = a.hashes.every((h) => b.hashes.some((i) => i.of === h.of && i.size === h.size));
  const grown = hashesKept && b.largestClass >= a.largestClass && a.affinityTimeouts.every((t, i) => b.affinityTimeouts[i] === t);
  if (!sameBase || !grown) return "impossible";
  if (a.largestClass === b.largestClass && a.affinityTimeouts.length === b.affinityTimeouts.length && a.hashes.length === b.hashes.length) {
    return undefined;
  }
  const had = skeletonTable(before);
  const wanted = skeletonTable(after);
  const chains = new Set(had.chains.map((c) => c.name));
  const elements = new Set(had.elements.map(elementId));
  return {
    kind: "extend",
    table: {
      ...wanted,
      chains: wanted.chains.filter((c) => !chains.has(c.name)),
      elements: wanted.elements.filter((e) => !elements.has(elementId(e))),
    },
  };
}
