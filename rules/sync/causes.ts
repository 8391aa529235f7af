import type { Batch, Cause, Kind } from "../../src/snapshot/cluster-snapshot.ts";
import type { HistoryCause } from "./history.ts";

export interface Causes {
  readonly told: readonly HistoryCause[];
  /** How many more objects changed. */
  readonly more: number;
}

/** Causes that are kept of one transaction. */
export const maxCauses = 16;

/** Which objects of `kinds` a batch changed, latest last, each once. Costs by the causes, of which a batch has few. */
export function causesOf(batch: Batch, kinds: readonly Kind[]): Causes {
  let total = 0;
  for (const kind of kinds) total += batch.dirty.get(kind)?.size ?? 0;
  const last = new Map<string, Cause>();
  for (const cause of batch.causes) {
    if (!kinds.includes(cause.kind)) continue;
    const id = `${cause.kind} ${cause.key}`;
    last.delete(id);
    last.set(id, cause);
  }
  const told = [...last.values()].slice(-maxCauses).map((cause) => describe(batch, cause));
  return { told, more: Math.max(0, total - told.length) };
}

/** Those of an earlier batch whose objects did not change again, then the later ones. */
export function joinCauses(earlier: Causes, later: Causes): Causes {
  if (earlier.told.length === 0 && earlier.more === 0) return later;
  const again = new Set(later.told.map(idOf));
  const all = [...earlier.told.filter((c) => !again.has(idOf(c))), ...later.told];
  const told = all.slice(-maxCauses);
  return { told, more: earlier.more + later.more + all.length - told.length };
}

export const noCauses: Causes = { told: [], more: 0 };

function idOf(c: HistoryCause): string {
  return `${c.kind} ${c.namespace ?? ""}/${c.name}`;
}

function describe(batch: Batch, { kind, key, resourceVersion }: Cause): HistoryCause {
  const slash = key.indexOf("/");
  const before = batch.before.tables[kind].get(key);
  const after = batch.after.tables[kind].get(key);
  return {
    kind,
    ...(slash < 0 ? {} : { namespace: key.slice(0, slash) }),
    name: key.slice(slash + 1),
    resourceVersion,
    change: after === undefined ? "deleted" : before === undefined ? "added" : "changed",
    // what a slice says shows in its Service's endpoints; comparing its list would cost more than all the rest
    fields: before === undefined || after === undefined || kind === "EndpointSlice" ? [] : changedFields(before, after),
  };
}

const told = ["spec", "status"] as const;
const toldMetadata = ["labels", "annotations", "deletionTimestamp"] as const;

/** `spec.ports`, `metadata.annotations`: two levels deep say what a person did. */
export function changedFields(before: object, after: object): readonly string[] {
  const fields: string[] = [];
  const compare = (path: string, a: unknown, b: unknown): void => {
    if (!same(a, b)) fields.push(path);
  };
  const [oldMeta, newMeta] = [part(before, "metadata"), part(after, "metadata")];
  for (const name of toldMetadata) compare(`metadata.${name}`, oldMeta[name], newMeta[name]);
  for (const top of told) {
    const [a, b] = [part(before, top), part(after, top)];
    for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) compare(`${top}.${name}`, a[name], b[name]);
  }
  return fields;
}

function part(object: object, name: string): Readonly<Record<string, unknown>> {
  const value: unknown = (object as Readonly<Record<string, unknown>>)[name];
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [x, y] = [a as Readonly<Record<string, unknown>>, b as Readonly<Record<string, unknown>>];
  const keys = Object.keys(x);
  return keys.length === Object.keys(y).length && keys.every((k) => Object.hasOwn(y, k) && same(x[k], y[k]));
}
