import { isRecord, type JsonObject, setKey } from "../json-value.ts";
import { badRequest } from "../status-error.ts";

/** RFC 7396: a null removes, an object is merged, all else replaces. Neither argument is changed. */
export function applyMergePatch(object: JsonObject, patch: unknown): JsonObject {
  if (!isRecord(patch)) throw badRequest("error decoding patch: a merge patch must be a JSON object");
  return merge(object, patch);
}

function merge(target: unknown, patch: JsonObject): JsonObject {
  const out: Record<string, unknown> = {};
  if (isRecord(target)) for (const key of Object.keys(target)) setKey(out, key, target[key]);
  for (const key of Object.keys(patch)) {
    const value = patch[key];
    if (value === null) delete out[key];
    else setKey(out, key, isRecord(value) ? merge(Object.hasOwn(out, key) ? out[key] : undefined, value) : value);
  }
  return out;
}
