import { isRecord, type JsonObject, jsonEqual, setKey } from "../json-value.ts";
import { ApiError, badRequest, tooLarge } from "../status-error.ts";

/** As many operations as a JSON patch may have, as Kubernetes limits it. */
const maxOperations = 10_000;
/** Bytes (roughly) that `copy` may multiply an object to. */
const maxCopied = 3 * 1024 * 1024;

interface Operation {
  readonly op: string;
  readonly path: readonly string[];
  readonly from: readonly string[];
  readonly value: unknown;
}

/** RFC 6902. All operations or none; the object given is not changed. */
export function applyJsonPatch(object: JsonObject, patch: unknown): JsonObject {
  if (!Array.isArray(patch)) throw badRequest("error decoding patch: a JSON patch must be an array of operations");
  if (patch.length > maxOperations) {
    throw tooLarge(`The allowed maximum operations in a JSON patch is ${maxOperations}, got ${patch.length}`);
  }
  let copied = 0;
  let result: unknown = object;
  for (const raw of patch) {
    const operation = parseOperation(raw);
    if (operation.op === "copy") {
      copied += JSON.stringify(at(result, operation.from, "copy")).length;
      if (copied > maxCopied) throw tooLarge("a JSON patch copies more than an object may hold");
    }
    result = applyOperation(result, operation);
  }
  if (!isRecord(result)) throw failed("the patch replaces the whole object by something that is none");
  return result;
}

function parseOperation(raw: unknown): Operation {
  if (!isRecord(raw)) throw badRequest("error decoding patch: an operation must be a JSON object");
  const { op, path, from, value } = raw;
  if (typeof op !== "string" || typeof path !== "string") throw badRequest("error decoding patch: an operation needs op and path");
  if ((op === "move" || op === "copy") && typeof from !== "string") throw badRequest(`error decoding patch: ${op} needs from`);
  if ((op === "add" || op === "replace") && !Object.hasOwn(raw, "value")) {
    throw badRequest(`error decoding patch: ${op} needs value`);
  }
  return { op, path: parsePointer(path), from: typeof from === "string" ? parsePointer(from) : [], value: value ?? null };
}

/** RFC 6901. */
function parsePointer(text: string): readonly string[] {
  if (text === "") return [];
  if (!text.startsWith("/")) throw badRequest(`error decoding patch: path ${JSON.stringify(text)} does not start with /`);
  return text
    .slice(1)
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function applyOperation(document: unknown, o: Operation): unknown {
  switch (o.op) {
    case "add":
      return put(document, o.path, o.value, "add");
    case "replace": // of a member that is not there: Kubernetes sets it, where the RFC refuses
      return put(document, o.path, o.value, "replace");
    case "remove":
      return remove(document, o.path, "remove");
    case "copy":
      return put(document, o.path, at(document, o.from, "copy"), "copy");
    case "move": {
      const value = at(document, o.from, "move");
      return put(remove(document, o.from, "move"), o.path, value, "move");
    }
    case "test": {
      const found = lookUp(document, o.path);
      if (!jsonEqual(found ?? null, o.value)) throw failed(`testing value ${printPath(o.path)} failed: test failed`);
      return document;
    }
    default:
      throw badRequest(`error decoding patch: unexpected kind: ${o.op}`);
  }
}

function put(node: unknown, path: readonly string[], value: unknown, op: string): unknown {
  const [head, ...rest] = path;
  if (head === undefined) return value;
  if (Array.isArray(node)) {
    const items: unknown[] = [...node];
    if (rest.length > 0) {
      const index = indexOf(head, items.length - 1, path, op);
      items[index] = put(items[index], rest, value, op);
    } else if (op === "replace") items[indexOf(head, items.length - 1, path, op)] = value;
    else items.splice(head === "-" ? items.length : indexOf(head, items.length, path, op), 0, value);
    return items;
  }
  if (!isRecord(node)) throw missing(path, op);
  if (rest.length > 0 && !Object.hasOwn(node, head)) throw missing(path, op);
  const out: Record<string, unknown> = {};
  for (const key of Object.keys(node)) setKey(out, key, node[key]);
  setKey(out, head, rest.length === 0 ? value : put(node[head], rest, value, op));
  return out;
}

function remove(node: unknown, path: readonly string[], op: string): unknown {
  const [head, ...rest] = path;
  if (head === undefined) return null;
  if (Array.isArray(node)) {
    const items: unknown[] = [...node];
    const index = indexOf(head, items.length - 1, path, op);
    if (rest.length === 0) items.splice(index, 1);
    else items[index] = remove(items[index], rest, op);
    return items;
  }
  if (!isRecord(node) || !Object.hasOwn(node, head)) throw missing(path, op);
  const out: Record<string, unknown> = {};
  for (const key of Object.keys(node)) {
    if (key !== head) setKey(out, key, node[key]);
    else if (rest.length > 0) setKey(out, key, remove(node[key], rest, op));
  }
  return out;
}

function at(document: unknown, path: readonly string[], op: string): unknown {
  const found = lookUp(document, path);
  if (found === undefined) throw missing(path, op);
  return found;
}

function lookUp(document: unknown, path: readonly string[]): unknown {
  let node = document;
  for (const part of path) {
    if (Array.isArray(node)) node = /^(0|[1-9][0-9]*)$/.test(part) ? (node[Number(part)] as unknown) : undefined;
    else node = isRecord(node) && Object.hasOwn(node, part) ? node[part] : undefined;
    if (node === undefined) return undefined;
  }
  return node;
}

function indexOf(part: string, max: number, path: readonly string[], op: string): number {
  if (!/^(0|[1-9][0-9]*)$/.test(part) || Number(part) > max) throw missing(path, op);
  return Number(part);
}

function missing(path: readonly string[], op: string): ApiError {
  return failed(`${op} operation does not apply: doc is missing path: ${printPath(path)}: missing value`);
}

function printPath(path: readonly string[]): string {
  return JSON.stringify(path.map((p) => `/${p.replaceAll("~", "~0").replaceAll("/", "~1")}`).join(""));
}

function failed(message: string): ApiError {
  return new ApiError(422, "Invalid", `the server rejected our request due to an error in our request: ${message}`, {});
}
