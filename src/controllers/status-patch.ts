import { jsonEqual, semanticEqual } from "../api/json-value.ts";
import type { KubeObject, Resource } from "../client/resource.ts";
import type { Write } from "./outcome.ts";

/**
 * Sets a status that one controller alone writes: only the fields that differ, and without a version, so that a change
 * of the spec at the same time is no conflict. Undefined when nothing differs.
 */
export function statusPatch(
  of: Resource,
  object: KubeObject & { readonly status?: object },
  status: Readonly<Record<string, unknown>> | object,
): Write | undefined {
  const before = (object.status ?? {}) as Readonly<Record<string, unknown>>;
  const after = status as Readonly<Record<string, unknown>>;
  const changed: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(after)) if (value !== undefined && !jsonEqual(before[key], value)) changed[key] = value;
  for (const key of Object.keys(before)) if (after[key] === undefined) changed[key] = null;
  if (Object.keys(changed).length === 0 || semanticEqual(before, after)) return undefined;
  const { namespace, name } = object.metadata ?? {};
  return {
    kind: "patch",
    of,
    at: { namespace, name: name ?? "" },
    subresource: "status",
    patch: { type: "merge", body: { status: changed } },
  };
}
