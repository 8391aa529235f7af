import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { defaultObject } from "../api/defaults/default-object.ts";
import { isRecord, type JsonObject, own } from "../api/json-value.ts";
import { type Resource, resourceOfKind } from "../api/scheme.ts";
import { checkStructure } from "../api/structure.ts";
import { withTable } from "../snapshot/apply-event.ts";
import { emptySnapshot, type Kind, type Snapshot, type SnapshotKinds, snapshotKinds } from "../snapshot/cluster-snapshot.ts";
import { inputError } from "./errors.ts";
import { describeFileFault, readOption } from "./file-options.ts";
import { parseDocuments } from "./yaml-documents.ts";

/** One object of a file, with where it stands. */
export interface LoadedObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  /** `default` where a namespaced object names none. */
  readonly namespace?: string;
  readonly value: JsonObject;
  /** `shop/web.yaml: document 2`: for messages. */
  readonly source: string;
  /** Fields that this version of the API does not know, and that are left out: `spec.clusterIp`. */
  readonly unknownFields: readonly string[];
}

/**
 * Objects of files and folders (all *.yaml, *.yml and *.json below them, by name), Lists taken apart, in order.
 * Throws an input error that names file, document, object and field; `option` is who named a path that cannot be read.
 */
export function loadObjects(paths: readonly string[], option = "--objects"): readonly LoadedObject[] {
  return paths.flatMap((path) => {
    const files = filesOf(option, path);
    if (files.length === 0) throw inputError(`${option} ${path}: no *.yaml, *.yml or *.json file in this folder`);
    return files.flatMap((file) => parseObjects(file, readOption(option, file)));
  });
}

/** The snapshot that the questions are asked of: with the API's defaults, without its validation. Kinds that no dataplane reads are left out; of an object that comes twice the last counts. */
export function snapshotOf(objects: readonly LoadedObject[]): Snapshot {
  let snapshot = emptySnapshot;
  for (const kind of snapshotKinds) {
    const found = objects.filter((o) => o.kind === kind && resourceOfKind(o.apiVersion, o.kind) !== undefined);
    if (found.length > 0) snapshot = withKind(snapshot, kind, found);
  }
  return snapshot;
}

/** The objects in one text. `file` is for messages only. */
export function parseObjects(file: string, text: string): readonly LoadedObject[] {
  return parseDocuments(text).flatMap((document) => {
    const source = `${file}: document ${document.index + 1}`;
    if ("error" in document) throw inputError(`${file}: line ${document.line} (document ${document.index + 1}): ${document.error}`);
    return takeApart(document.value, source);
  });
}

function withKind<K extends Kind>(snapshot: Snapshot, kind: K, objects: readonly LoadedObject[]): Snapshot {
  return withTable(
    snapshot,
    kind,
    objects.map((o) => asKind<K>(defaultObject(resourceOfKind(o.apiVersion, o.kind) ?? { group: "", kind }, o.value))),
  );
}

/** The structure was checked against the kind's type when the object was loaded. */
function asKind<K extends Kind>(value: unknown): SnapshotKinds[K] {
  return value as SnapshotKinds[K];
}

/** Lists in Lists are taken apart too, to this depth: nothing real goes deeper. */
const maxListDepth = 8;

function takeApart(value: unknown, source: string, depth = 0): readonly LoadedObject[] {
  if (depth > maxListDepth) throw inputError(`${source}: Lists within Lists within Lists; nested too deeply`);
  if (Array.isArray(value)) return value.flatMap((item: unknown, i) => takeApart(item, `${source}, item ${i + 1}`, depth + 1));
  if (!isRecord(value)) throw inputError(`${source}: not an object; each document is one Kubernetes object or a List`);
  const kind = text(value, "kind", source);
  const apiVersion = text(value, "apiVersion", source);
  const items = own(value, "items");
  if (kind.endsWith("List") && Array.isArray(items)) {
    const itemKind = kind.slice(0, -"List".length);
    return items.flatMap((item: unknown, i) => {
      // A typed list (`PodList`) may leave kind and apiVersion out of its items, as the API does.
      const named = isRecord(item) && itemKind !== "" && own(item, "kind") === undefined ? { apiVersion, kind: itemKind, ...item } : item;
      return takeApart(named, `${source}, items[${i}]`, depth + 1);
    });
  }
  return [objectOf(value, apiVersion, kind, source)];
}

function objectOf(value: JsonObject, apiVersion: string, kind: string, source: string): LoadedObject {
  const metadata = own(value, "metadata");
  if (!isRecord(metadata)) throw inputError(`${source} (${kind}): metadata: missing; give it at least a name`);
  const name = own(metadata, "name");
  if (typeof name !== "string" || name === "")
    throw inputError(`${source} (${kind}): metadata.name: ${name === undefined ? "missing" : "must be text"}`);
  const given = own(metadata, "namespace");
  if (given !== undefined && given !== null && typeof given !== "string")
    throw inputError(`${source} (${kind} ${name}): metadata.namespace: must be text`);
  const resource = resourceOfKind(apiVersion, kind);
  const otherVersion = resource === undefined && isSnapshotKind(kind);
  if (otherVersion) {
    throw inputError(`${source} (${kind} ${name}): apiVersion: ${apiVersion} has no ${kind} that is read here; use ${versionOf(kind)}`);
  }
  if (resource === undefined) return { apiVersion, kind, name, ...(given ? { namespace: given } : {}), value, source, unknownFields: [] };
  const namespace = resource.namespaced ? given || "default" : undefined;
  const full = `${source} (${kind} ${namespace === undefined ? name : `${namespace}/${name}`})`;
  const { object, unknownFields } = structureOf(
    resource,
    namespace === undefined ? value : { ...value, metadata: { ...metadata, namespace } },
    full,
  );
  return { apiVersion, kind, name, ...(namespace === undefined ? {} : { namespace }), value: object, source: full, unknownFields };
}

function structureOf(
  resource: Resource,
  value: JsonObject,
  source: string,
): { readonly object: JsonObject; readonly unknownFields: readonly string[] } {
  const { object, unknown, errors } = checkStructure(resource, value);
  if (errors.length > 0) throw inputError(`${source}: ${errors.map(printStructureError).join("; ")}`);
  return { object, unknownFields: unknown.map((u) => /"(.*)"/.exec(u)?.[1] ?? u) };
}

/** Says in terms of the manifest what the API says in terms of Go. */
function printStructureError(error: string): string {
  const match = /cannot unmarshal (.+) into Go struct field [^.]+\.(\S+) of type (\S+)/.exec(error);
  if (match === null) return error;
  const [, found = "", field = "", type = ""] = match;
  return `${field}: must be ${wordOfType(type)}, not ${found === "string" ? "text" : found}`;
}

function wordOfType(type: string): string {
  if (type.startsWith("[]")) return "a list";
  if (type.startsWith("map[")) return "a map";
  if (/^u?int\d*$/.test(type)) return "a whole number";
  if (type === "intstr.IntOrString") return "a whole number or text";
  if (type === "bool") return "true or false";
  return type === "string" ? "text" : `an object (${type})`;
}

const versions: Readonly<Partial<Record<Kind, string>>> = {
  EndpointSlice: "discovery.k8s.io/v1",
  Ingress: "networking.k8s.io/v1",
  IngressClass: "networking.k8s.io/v1",
  ServiceCIDR: "networking.k8s.io/v1",
  ServiceImport: "multicluster.x-k8s.io/v1alpha1",
};

function versionOf(kind: Kind): string {
  return versions[kind] ?? "v1";
}

function isSnapshotKind(kind: string): kind is Kind {
  return (snapshotKinds as readonly string[]).includes(kind);
}

function text(object: JsonObject, field: string, source: string): string {
  const value = own(object, field);
  if (typeof value !== "string" || value === "") {
    throw inputError(`${source}: ${field}: ${value === undefined ? "missing; is this a Kubernetes object?" : "must be text"}`);
  }
  return value;
}

function filesOf(option: string, path: string): readonly string[] {
  try {
    if (!statSync(path).isDirectory()) return [path];
    return readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((e) => !e.isDirectory() && /\.(ya?ml|json)$/.test(e.name))
      .map((e) => join(e.parentPath, e.name))
      .filter(
        (file) =>
          !file
            .slice(path.length)
            .split("/")
            .some((part) => part.startsWith(".")),
      )
      .sort();
  } catch (e) {
    throw inputError(`${option} ${path}: ${describeFileFault(e)}`);
  }
}
