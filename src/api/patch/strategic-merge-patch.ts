import { isRecord, type JsonObject, jsonEqual, own, setKey } from "../json-value.ts";
import { type ApiError, badRequest } from "../status-error.ts";
import { type Field, isStruct, jsonFields } from "../type-table.ts";

const directive = "$patch";
const retainKeys = "$retainKeys";
const deleteFrom = "$deleteFromPrimitiveList/";
const elementOrder = "$setElementOrder/";
const maxDepth = 500;

/**
 * Applies a strategic merge patch to an object of a type of the table: lists merge by the keys the type declares,
 * `$patch: replace|delete`, `$retainKeys`, `$deleteFromPrimitiveList/…` and `$setElementOrder/…` do what they say.
 * Neither argument is changed. Throws an ApiError for a patch that does not fit the type.
 */
export function applyStrategicMergePatch(type: string, object: JsonObject, patch: unknown): JsonObject {
  if (!isRecord(patch)) throw badRequest("error decoding patch: a strategic merge patch must be a JSON object");
  return mergeMap(type, object, patch, 0);
}

/** `type` is undefined below maps and raw values, where nothing but plain merging is declared. */
function mergeMap(type: string | undefined, original: JsonObject, patch: JsonObject, depth: number): JsonObject {
  if (depth > maxDepth) throw badRequest("error decoding patch: exceeded max depth");
  const marker = own(patch, directive);
  if (marker !== undefined) return mapDirective(marker, patch);
  const out = retained(original, patch);
  const handled = new Set<string>([retainKeys]);
  for (const key of Object.keys(patch)) if (key.startsWith(elementOrder)) orderList({ type, out, patch, key, depth, handled });
  for (const key of Object.keys(patch)) {
    if (handled.has(key)) continue;
    const value = patch[key];
    if (key.startsWith(deleteFrom)) deleteFromList(out, key.slice(deleteFrom.length), value);
    else if (value === null) delete out[key];
    else mergeField({ type, out, key, value, depth });
  }
  return out;
}

function mapDirective(marker: unknown, patch: JsonObject): JsonObject {
  if (marker === "delete") return {};
  if (marker !== "replace") throw unfit(`unknown patch type: ${JSON.stringify(marker)} in map: ${JSON.stringify(patch)}`);
  const out: Record<string, unknown> = {};
  for (const key of Object.keys(patch)) if (key !== directive) setKey(out, key, patch[key]);
  return out;
}

/** A copy of the original, with the keys only that `$retainKeys` names when the patch has it. */
function retained(original: JsonObject, patch: JsonObject): Record<string, unknown> {
  const list = own(patch, retainKeys);
  const keep = Array.isArray(list) ? new Set<unknown>(list) : undefined;
  if (list !== undefined && keep === undefined) throw unfit("invalid patch format of retainKeys");
  if (keep !== undefined) {
    for (const key of Object.keys(patch)) {
      if (key === retainKeys || patch[key] === null || key.startsWith(deleteFrom) || key.startsWith(elementOrder)) continue;
      if (!keep.has(key)) throw unfit("invalid patch format of retainKeys");
    }
  }
  const out: Record<string, unknown> = {};
  for (const key of Object.keys(original)) if (keep === undefined || keep.has(key)) setKey(out, key, original[key]);
  return out;
}

function deleteFromList(out: Record<string, unknown>, key: string, value: unknown): void {
  const list = own(out, key);
  if (list === undefined || list === null) return;
  if (!Array.isArray(list) || !Array.isArray(value)) throw unfit("invalid patch format of primitive list");
  setKey(
    out,
    key,
    list.filter((item: unknown) => !value.some((gone: unknown) => jsonEqual(gone, item))),
  );
}

interface FieldMerge {
  readonly type: string | undefined;
  readonly out: Record<string, unknown>;
  readonly key: string;
  readonly value: unknown;
  readonly depth: number;
}

function mergeField({ type, out, key, value, depth }: FieldMerge): void {
  const before = own(out, key);
  const field = fieldOf(type, key);
  if (Array.isArray(before) && Array.isArray(value)) {
    setKey(out, key, field?.patchStrategy.includes("merge") ? mergeList(field, before, value, depth) : value);
  } else if (isRecord(before) && isRecord(value)) {
    const replace = field?.patchStrategy.includes("replace") === true;
    setKey(out, key, replace ? value : mergeMap(innerType(field), before, value, depth + 1));
  } else {
    const fresh = withoutDirectives(value);
    if (fresh === undefined) delete out[key];
    else setKey(out, key, fresh);
  }
}

interface Ordering {
  readonly type: string | undefined;
  readonly out: Record<string, unknown>;
  readonly patch: JsonObject;
  readonly key: string;
  readonly depth: number;
  readonly handled: Set<string>;
}

/** `$setElementOrder/x`: merges the list x with its patch, if there is one, and puts it in the order asked for. */
function orderList({ type, out, patch, key, depth, handled }: Ordering): void {
  const name = key.slice(elementOrder.length);
  const order = listOf(patch[key]);
  const before = own(out, name);
  const change = own(patch, name);
  handled.add(key);
  const field = fieldOf(type, name);
  const mergeKey = field?.mergeKey ?? "";
  const changes = change === undefined || change === null ? undefined : listOf(change);
  if (changes !== undefined) checkOrder(changes, order, mergeKey);
  if (before === undefined && changes === undefined) return;
  const live = before === undefined ? [] : listOf(before);
  let merged: readonly unknown[] = live;
  if (changes !== undefined && before === undefined) merged = listOf(withoutDirectives(changes));
  else if (changes !== undefined && field?.patchStrategy.includes("merge") === true) merged = mergeList(field, live, changes, depth);
  else if (changes !== undefined) merged = changes;
  if (change === null) return;
  handled.add(name);
  setKey(out, name, arranged(merged, order, live, mergeKey));
}

/** What the patch list adds must stand in the order list, in the same order. */
function checkOrder(changes: readonly unknown[], order: readonly unknown[], mergeKey: string): void {
  if (order.length === 0 || changes.length === 0) return;
  let at = 0;
  for (const item of changes) {
    if (isRecord(item) && Object.hasOwn(item, directive)) continue;
    while (at < order.length && !sameItem(item, order[at], mergeKey)) at++;
    if (at === order.length) {
      throw unfit(
        `The order in patch list:\n${JSON.stringify(changes)}\n doesn't match $setElementOrder list:\n${JSON.stringify(order)}\n`,
      );
    }
    at++;
  }
}

function mergeList(field: Field, original: readonly unknown[], patch: readonly unknown[], depth: number): readonly unknown[] {
  if (original.length === 0 && patch.length === 0) return original;
  const mergeKey = field.mergeKey ?? "";
  if (!isStruct(field.type)) {
    const all: unknown[] = [];
    for (const item of [...original, ...patch]) if (!all.some((seen) => jsonEqual(seen, item))) all.push(item);
    return arranged(all, patch, original, "");
  }
  const { live, changes } = listDirectives(original, patch, mergeKey);
  const merged: unknown[] = [...live];
  for (const change of changes) {
    const value = keyOf(change, mergeKey);
    const at = merged.findIndex((item) => isRecord(item) && jsonEqual(own(item, mergeKey), value));
    if (at < 0) merged.push(change);
    else merged[at] = mergeMap(field.type, recordOf(merged[at]), change, depth + 1);
  }
  const fresh = merged.map((item, i) => (i < live.length ? item : withoutDirectives(item)));
  return arranged(fresh, changes, live, mergeKey);
}

interface ListChange {
  readonly live: readonly JsonObject[];
  readonly changes: readonly JsonObject[];
}

/** Takes the elements with `$patch` out of the patch list, and does what they say to the live one. */
function listDirectives(original: readonly unknown[], patch: readonly unknown[], mergeKey: string): ListChange {
  let live = original.map(recordOf);
  const changes: JsonObject[] = [];
  let replace = false;
  for (const item of patch.map(recordOf)) {
    const marker = own(item, directive);
    if (marker === undefined) changes.push(item);
    else if (marker === "replace") replace = true;
    else if (marker === "delete") {
      const value = keyOf(item, mergeKey);
      live = live.filter((entry) => !jsonEqual(own(entry, mergeKey), value));
    } else if (marker === "merge") throw unfit("merging lists cannot yet be specified in the patch");
    else throw unfit(`unknown patch type: ${JSON.stringify(marker)} in map: ${JSON.stringify(item)}`);
  }
  // The new list is taken as it is: several of its elements may have one key, as a Node's addresses do.
  return replace ? { live: changes, changes: [] } : { live, changes };
}

/**
 * Those that `order` names stand in its order; the others keep theirs, and are woven in where the live list had them:
 * before the first ordered one that followed them there.
 */
function arranged(items: readonly unknown[], order: readonly unknown[], live: readonly unknown[], mergeKey: string): readonly unknown[] {
  const place = (list: readonly unknown[], item: unknown): number => list.findIndex((other) => sameItem(item, other, mergeKey));
  const by =
    (list: readonly unknown[]) =>
    (a: unknown, b: unknown): number =>
      place(list, a) - place(list, b);
  const ordered = items.filter((item) => place(order, item) >= 0).sort(by(order));
  const others = items.filter((item) => place(order, item) < 0).sort(by(live));
  const out: unknown[] = [];
  let i = 0;
  for (const item of ordered) {
    const at = place(live, item);
    while (i < others.length && at >= 0 && place(live, others[i]) >= 0 && place(live, others[i]) < at) out.push(others[i++]);
    out.push(item);
  }
  return [...out, ...others.slice(i)];
}

function sameItem(a: unknown, b: unknown, mergeKey: string): boolean {
  if (mergeKey === "") return jsonEqual(a, b);
  return jsonEqual(keyOf(recordOf(a), mergeKey), keyOf(recordOf(b), mergeKey));
}

function keyOf(item: JsonObject, mergeKey: string): unknown {
  const value = own(item, mergeKey);
  if (value === undefined) throw unfit(`map: ${JSON.stringify(item)} does not contain declared merge key: ${mergeKey}`);
  return value;
}

/** What a patch adds anew: no nulls in it, and no directives. Undefined when it is only a directive. */
function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDirectives).filter((item) => item !== undefined);
  if (!isRecord(value)) return value;
  if (Object.hasOwn(value, directive)) return undefined;
  const out: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    const inner = value[key] === null ? undefined : withoutDirectives(value[key]);
    if (inner !== undefined) setKey(out, key, inner);
  }
  return out;
}

function fieldOf(type: string | undefined, key: string): Field | undefined {
  return type === undefined ? undefined : jsonFields(type).get(key);
}

function innerType(field: Field | undefined): string | undefined {
  return field !== undefined && !field.map && !field.list && isStruct(field.type) ? field.type : undefined;
}

function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw unfit(`expected a list, but received ${JSON.stringify(value)}`);
  return value;
}

function recordOf(value: unknown): JsonObject {
  if (!isRecord(value)) throw unfit(`expected a map, but received ${JSON.stringify(value)}`);
  return value;
}

function unfit(message: string): ApiError {
  return badRequest(message);
}
