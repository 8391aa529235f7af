import type { Resource } from "../api/scheme.ts";
import { notAcceptable } from "../api/status-error.ts";
import { metadataOnly, type TableChoice, tableOf } from "../api/table/table-of.ts";
import { decodeObject } from "../store/object-bytes.ts";
import type { ApiObject } from "./registry.ts";

/** How a client wants to see objects. */
export type Form =
  | { readonly kind: "object" }
  | { readonly kind: "metadata" }
  | { readonly kind: "table"; readonly choice: TableChoice; readonly now: number };

interface Offer {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const offered = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/** The first form in the Accept header that we have; 406 when there is none. */
export function formOf(accept: string | undefined, includeObject: string | null, now: number): Form {
  const offers = parseAccept(accept ?? "*/*");
  for (const { type, parameters } of offers) {
    if (!["application/json", "application/*", "*/*", "application/yaml"].includes(type)) continue;
    const as = parameters.get("as");
    if (as === undefined) return { kind: "object" };
    if (parameters.get("g") !== "meta.k8s.io" || parameters.get("v") !== "v1") continue;
    if (as === "Table") return { kind: "table", choice: { includeObject: includeOf(includeObject) }, now };
    if (as === "PartialObjectMetadata" || as === "PartialObjectMetadataList") return { kind: "metadata" };
  }
  throw notAcceptable(offered.slice(0, 2));
}

export function parseAccept(accept: string): readonly Offer[] {
  return accept
    .split(",")
    .map((part) => {
      const [type = "", ...rest] = part.split(";").map((p) => p.trim());
      const parameters = new Map(rest.map((p) => [p.slice(0, p.indexOf("=")), p.slice(p.indexOf("=") + 1)] as const));
      return { type: type.toLowerCase(), parameters, quality: Number(parameters.get("q") ?? 1) };
    })
    .sort((a, b) => b.quality - a.quality);
}

export function wantsYaml(accept: string | undefined): boolean {
  return parseAccept(accept ?? "*/*")[0]?.type === "application/yaml";
}

const encoder = new TextEncoder();

/** One object in the form asked for. `rows-only` leaves the columns out of a table, as events after the first do. */
export function representObject(
  resource: Resource,
  bytes: Uint8Array,
  form: Form,
  columns: "with-columns" | "rows-only" = "with-columns",
): Uint8Array {
  switch (form.kind) {
    case "object":
      return bytes;
    case "metadata":
      return encoder.encode(JSON.stringify(metadataOnly(decodeObject(bytes))));
    case "table": {
      const object = decodeObject(bytes);
      const { resourceVersion } = (object as ApiObject).metadata;
      const table = { ...tableOf(resource, [object], form.now, form.choice), metadata: { resourceVersion } };
      return encoder.encode(JSON.stringify(columns === "with-columns" ? table : { ...table, columnDefinitions: [] }));
    }
  }
}

/** A whole list in the form asked for: in pieces that follow each other. */
export function representList(resource: Resource, items: readonly Uint8Array[], listMeta: object, form: Form): readonly Uint8Array[] {
  switch (form.kind) {
    case "object": {
      const apiVersion = resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
      return listBytes(`${resource.kind}List`, apiVersion, listMeta, items);
    }
    case "metadata":
      return listBytes(
        "PartialObjectMetadataList",
        "meta.k8s.io/v1",
        listMeta,
        items.map((i) => encoder.encode(JSON.stringify(metadataOnly(decodeObject(i))))),
      );
    case "table": {
      const table = { ...tableOf(resource, items.map(decodeObject), form.now, form.choice), metadata: listMeta };
      return [encoder.encode(JSON.stringify(table))];
    }
  }
}

const comma = encoder.encode(",");

function listBytes(kind: string, apiVersion: string, metadata: object, items: readonly Uint8Array[]): readonly Uint8Array[] {
  const head = JSON.stringify({ kind, apiVersion, metadata });
  const pieces: Uint8Array[] = [encoder.encode(`${head.slice(0, -1)},"items":[`)];
  for (const [i, item] of items.entries()) {
    if (i > 0) pieces.push(comma);
    pieces.push(item);
  }
  pieces.push(encoder.encode("]}\n"));
  return pieces;
}

function includeOf(value: string | null): "None" | "Object" | "Metadata" {
  return value === "None" || value === "Object" ? value : "Metadata";
}
