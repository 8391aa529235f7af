import { isRecord, type JsonObject } from "../api/json-value.ts";

/** What identifies an item of a list of objects; the first that all items have. A port is one only with its protocol. */
const itemKeys: readonly (readonly [field: string, more?: string])[] = [
  ["containerPort", "protocol"],
  ["port", "protocol"],
  ["mountPath"],
  ["name"],
  ["ip"],
];

/** Of these only what the file says is kept: the kinds within are alternatives, and the API fills in the one that was chosen. */
const alternatives: ReadonlySet<string> = new Set(["strategy", "updateStrategy", "volumes"]);

/**
 * The object as a file wants it, and in all else as it is: what `before` (the file as last applied) had and `after` (the file now) has no
 * more is gone, what the API or others filled in stays. Lists of objects are merged item by item, all others are the file's.
 */
export function mergeThreeWays(live: JsonObject, before: JsonObject, after: JsonObject): JsonObject {
  const merged: Record<string, unknown> = { ...live };
  for (const key of Object.keys(before)) if (!Object.hasOwn(after, key)) delete merged[key];
  for (const [key, value] of Object.entries(after)) {
    if (value === null) delete merged[key];
    else merged[key] = mergeValue(key, live[key], before[key], value);
  }
  return merged;
}

function mergeValue(key: string, live: unknown, before: unknown, after: unknown): unknown {
  if (isRecord(after) && isRecord(live)) return mergeChosen(key, live, isRecord(before) ? before : {}, after);
  if (Array.isArray(after) && Array.isArray(live)) return mergeList(key, live, Array.isArray(before) ? before : [], after);
  return after;
}

function mergeChosen(key: string, live: JsonObject, before: JsonObject, after: JsonObject): JsonObject {
  const merged = mergeThreeWays(live, before, after);
  return alternatives.has(key) ? Object.fromEntries(Object.entries(merged).filter(([k]) => Object.hasOwn(after, k))) : merged;
}

function mergeList(key: string, live: readonly unknown[], before: readonly unknown[], after: readonly unknown[]): readonly unknown[] {
  const idOf = identityOf(live, after);
  if (idOf === undefined) return after;
  const here = new Map(live.map((item) => [idOf(item), item]));
  const had = new Map(before.map((item) => [idOf(item), item]));
  const wanted = new Set(after.map(idOf));
  // What others added (a sidecar, a volume) follows the file's own.
  const others = live.filter((item) => !wanted.has(idOf(item)) && !had.has(idOf(item)));
  return [...after.map((item) => mergeValue(key, here.get(idOf(item)), had.get(idOf(item)), item)), ...others];
}

/** Undefined for lists that have no such thing: scalars, objects without a key, or with one key twice. */
function identityOf(...lists: readonly (readonly unknown[])[]): ((item: unknown) => string) | undefined {
  const items = lists.flat();
  if (!items.every(isRecord)) return undefined;
  const found = itemKeys.find(([field]) => items.every((item) => item[field] !== undefined && item[field] !== null));
  if (found === undefined) return undefined;
  const [field, more] = found;
  const idOf = (item: unknown): string => {
    const fields = isRecord(item) ? item : {};
    return JSON.stringify([fields[field], more === undefined ? "" : (fields[more] ?? "TCP")]);
  };
  return lists.every((list) => new Set(list.map(idOf)).size === list.length) ? idOf : undefined;
}
