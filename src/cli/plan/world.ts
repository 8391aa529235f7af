import { defaultObject } from "../../api/defaults/default-object.ts";
import { printFieldError } from "../../api/field-error.ts";
import { isRecord, type JsonObject, own, semanticEqual } from "../../api/json-value.ts";
import { type Resource, resourceOfKind } from "../../api/scheme.ts";
import { validateCreate, validateUpdate } from "../../api/validate/validate-object.ts";
import type { ObjectRef } from "../../snapshot/problem.ts";
import { mergeThreeWays } from "../three-way-merge.ts";

/** One object, whoever told it: a file or an API server. */
export interface WorldObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  readonly value: JsonObject;
}

/** Objects by `Kind namespace/name`. */
export type World = ReadonlyMap<string, WorldObject>;

export type Deletion = ObjectRef;

/** What one document of the change does. */
export interface ObjectChange {
  readonly object: string;
  /** refused: the API server would not take it, so it stays as it is. */
  readonly change: "added" | "changed" | "deleted" | "unchanged" | "refused";
  /** Of a changed one: `spec.ports`. */
  readonly fields: readonly string[];
}

export interface ChangedWorld {
  readonly after: World;
  readonly objects: readonly ObjectChange[];
  /** Why the API server would not take what is refused. */
  readonly refusals: readonly string[];
  readonly remarks: readonly string[];
}

export function worldKey(o: Pick<WorldObject, "kind" | "namespace" | "name">): string {
  return `${o.kind} ${o.namespace === undefined ? "" : `${o.namespace}/`}${o.name}`;
}

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration";

/**
 * Applies documents as `kubectl apply` would, in order, then deletes. Pure; `now` is the creation time of what is new. Of a kind
 * that is not known it is not known either whether the object is there: it is a remark, and nothing here depends on it.
 */
export function changeWorld(
  before: World,
  documents: readonly WorldObject[],
  deletions: readonly Deletion[],
  { now, isKnown }: { readonly now: string; isKnown(kind: string): boolean },
): ChangedWorld {
  const after = new Map(before);
  const objects: ObjectChange[] = [];
  const refusals: string[] = [];
  const remarks: string[] = [];
  const unknown: string[] = [];
  for (const document of documents) {
    const key = worldKey(document);
    const resource = resourceOfKind(document.apiVersion, document.kind);
    if (resource === undefined) {
      remarks.push(`${key}: nothing here reads objects of ${document.apiVersion} ${document.kind}`);
      continue;
    }
    if (!isKnown(document.kind)) {
      unknown.push(key);
      continue;
    }
    const live = after.get(key)?.value;
    const value = defaultObject(
      resource,
      live === undefined ? created(document, now) : mergeThreeWays(live, appliedBefore(live), withAnnotations(document.value)),
    );
    const refused = refusalsOf(resource, withMetadata(value, document), live);
    if (refused.length > 0) {
      refusals.push(...refused.map((text) => `${key}: ${text}`));
      objects.push({ object: key, change: "refused", fields: [] });
      continue;
    }
    const same = live !== undefined && semanticEqual(withoutTrace(live), withoutTrace(value));
    objects.push({
      object: key,
      change: live === undefined ? "added" : same ? "unchanged" : "changed",
      fields: live === undefined ? [] : fieldsOf(live, value),
    });
    if (!same) after.set(key, { ...document, value });
  }
  if (unknown.length > 0) remarks.push(`no connection, name or route depends on ${unknown.join(", ")}: not looked at`);
  for (const ref of deletions) {
    const key = worldKey(ref);
    if (!after.has(key)) {
      remarks.push(`${key}: there is none to be deleted`);
      continue;
    }
    for (const gone of [key, ...dependentsOf(after, ref)]) {
      after.delete(gone);
      objects.push({ object: gone, change: "deleted", fields: [] });
    }
  }
  return { after, objects, refusals, remarks };
}

/** What goes with an object: all that is in a Namespace, and a Service's EndpointSlices that were made for it. */
function dependentsOf(world: World, ref: Deletion): readonly string[] {
  const found: string[] = [];
  for (const [key, o] of world) {
    const inNamespace = ref.kind === "Namespace" && o.namespace === ref.name;
    const labels = recordAt(recordAt(o.value, "metadata"), "labels");
    const ofService =
      ref.kind === "Service" &&
      o.kind === "EndpointSlice" &&
      o.namespace === ref.namespace &&
      own(labels, "kubernetes.io/service-name") === ref.name &&
      (own(labels, "endpointslice.kubernetes.io/managed-by") !== undefined ||
        own(recordAt(o.value, "metadata"), "ownerReferences") !== undefined);
    if (inNamespace || ofService) found.push(key);
  }
  return found;
}

function created({ value, namespace, name }: WorldObject, now: string): JsonObject {
  const metadata = recordAt(value, "metadata");
  // younger than all that is there: an address that two claim belongs to the older one
  return {
    ...value,
    metadata: {
      ...metadata,
      name,
      ...(namespace === undefined ? {} : { namespace }),
      creationTimestamp: now,
      uid: `new ${namespace ?? ""}/${name}`,
    },
  };
}

/** Validation wants what the API server fills in before it validates. */
function withMetadata(value: JsonObject, { namespace, name }: WorldObject): JsonObject {
  return { ...value, metadata: { ...recordAt(value, "metadata"), name, ...(namespace === undefined ? {} : { namespace }) } };
}

/** What the API server would say; not what it could say of the object as it is too, which files need not tell in full. */
function refusalsOf(resource: Resource, value: JsonObject, live: JsonObject | undefined): readonly string[] {
  const errors = live === undefined ? validateCreate(resource, value) : validateUpdate(resource, value, live);
  const known = new Set(live === undefined ? [] : validateUpdate(resource, live, live).map(printFieldError));
  return errors
    .filter((e) => !isFilledInLater(e.field, live))
    .map(printFieldError)
    .filter((text) => !known.has(text));
}

/** Addresses of a new Service are the API server's to give; versions are those of files. */
function isFilledInLater(field: string, live: JsonObject | undefined): boolean {
  return (
    field === "metadata.resourceVersion" ||
    field === "metadata.uid" ||
    (live === undefined && /^spec\.(clusterIPs?|ipFamilies|ipFamilyPolicy)/.test(field))
  );
}

/** kubectl always writes annotations, its own among them: a file without any does not take away those of others. */
function withAnnotations(value: JsonObject): JsonObject {
  const metadata = recordAt(value, "metadata");
  return { ...value, metadata: { ...metadata, annotations: recordAt(metadata, "annotations") } };
}

function appliedBefore(live: JsonObject): JsonObject {
  const text = own(recordAt(recordAt(live, "metadata"), "annotations"), lastApplied);
  try {
    const value: unknown = typeof text === "string" ? JSON.parse(text) : undefined;
    return isRecord(value) ? value : {};
  } catch {
    // somebody wrote nonsense there: then nothing is known of what the file had
    return {};
  }
}

/** Two levels deep, but of the metadata only what is a person's. */
export function fieldsOf(before: JsonObject, after: JsonObject): readonly string[] {
  const fields: string[] = [];
  const [a, b] = [withoutTrace(before), withoutTrace(after)];
  for (const top of new Set([...Object.keys(a), ...Object.keys(b)])) {
    if (semanticEqual(a[top], b[top])) continue;
    const [x, y] = [a[top], b[top]];
    if (!isRecord(x) || !isRecord(y)) fields.push(top);
    else
      for (const name of new Set([...Object.keys(x), ...Object.keys(y)]))
        if (!semanticEqual(x[name], y[name])) fields.push(`${top}.${name}`);
  }
  return fields;
}

/** Without what changes by being written, and without status, which a manifest does not set. */
function withoutTrace(value: JsonObject): JsonObject {
  const { metadata, apiVersion: _, kind: __, status: ___, ...rest } = value;
  const {
    resourceVersion: _r,
    uid: _u,
    managedFields: _m,
    generation: _g,
    creationTimestamp: _c,
    annotations,
    namespace: _n,
    ...meta
  } = isRecord(metadata) ? metadata : {};
  const kept = isRecord(annotations) ? Object.fromEntries(Object.entries(annotations).filter(([k]) => k !== lastApplied)) : {};
  return { ...rest, metadata: { ...meta, ...(Object.keys(kept).length === 0 ? {} : { annotations: kept }) } };
}

export function recordAt(value: JsonObject, name: string): JsonObject {
  const found = own(value, name);
  return isRecord(found) ? found : {};
}
