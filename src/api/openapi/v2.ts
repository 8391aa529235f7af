import { isRecord, type JsonObject } from "../json-value.ts";
import { WireWriter } from "../protobuf-wire.ts";
import { resources } from "../scheme.ts";
import type { Describe } from "./descriptions.ts";
import { schemasOf } from "./schemas.ts";

/** The form that clients ask for, in Accept. */
export const openApiV2Accepted = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
/** The same as the answer's Content-Type: an `@` may not stand there. */
export const openApiV2MediaType = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

const kindsKey = "x-kubernetes-group-version-kind";

/** Field numbers of gnostic's openapi.v2 messages. */
const inDocument = { swagger: 1, info: 2, paths: 8, definitions: 9 } as const;
const inInfo = { title: 1, version: 2 } as const;
const inSchema = {
  reference: 1,
  format: 2,
  description: 4,
  required: 19,
  additionalProperties: 21,
  type: 22,
  items: 23,
  properties: 25,
  extension: 31,
} as const;
const inAny = { yaml: 2 } as const;
const named = { name: 1, value: 2 } as const;
const only = 1;

/**
 * The OpenAPI v2 document in protobuf: definitions of every kind, no paths. kubectl needs it still, to check what it
 * cannot have checked by the server: the items of a `kind: List`.
 */
export function openApiV2(describe: Describe = () => undefined, version = "v1.36"): Uint8Array {
  const info = new WireWriter();
  info.bytes(inInfo.title, utf8("Kubernetes"));
  info.bytes(inInfo.version, utf8(version));
  const document = new WireWriter();
  document.bytes(inDocument.swagger, utf8("2.0"));
  document.bytes(inDocument.info, info.finish());
  document.bytes(inDocument.paths, new Uint8Array());
  document.bytes(inDocument.definitions, namedSchemas(definitions(describe)));
  return document.finish();
}

/** The schemas of all groups; a kind of the meta group is told with every group it appears in. */
function definitions(describe: Describe): JsonObject {
  const all: Record<string, JsonObject> = {};
  for (const group of new Set(resources.map((r) => r.group))) {
    const served = resources.filter((r) => r.group === group);
    for (const [name, schema] of Object.entries(schemasOf(served, describe))) {
      if (!isRecord(schema)) continue;
      const kinds = [...kindsOf(all[name]), ...kindsOf(schema)];
      all[name] = kinds.length === 0 ? schema : { ...schema, [kindsKey]: unique(kinds) };
    }
  }
  return all;
}

function kindsOf(schema: JsonObject | undefined): readonly unknown[] {
  const kinds = schema?.[kindsKey];
  return Array.isArray(kinds) ? (kinds as unknown[]) : [];
}

function unique(values: readonly unknown[]): readonly unknown[] {
  return [...new Map(values.map((value) => [JSON.stringify(value), value])).values()];
}

function namedSchemas(schemas: JsonObject): Uint8Array {
  const writer = new WireWriter();
  for (const [name, schema] of Object.entries(schemas)) {
    if (!isRecord(schema)) continue;
    const entry = new WireWriter();
    entry.bytes(named.name, utf8(name));
    entry.bytes(named.value, encodeSchema(schema));
    writer.bytes(only, entry.finish());
  }
  return writer.finish();
}

function encodeSchema(given: JsonObject): Uint8Array {
  const schema = asVersion2(given);
  const writer = new WireWriter();
  const { $ref: reference, type, items, properties, required, additionalProperties } = schema;
  if (typeof reference === "string") writer.bytes(inSchema.reference, utf8(reference));
  for (const key of ["format", "description"] as const) {
    const text = schema[key];
    if (typeof text === "string") writer.bytes(inSchema[key], utf8(text));
  }
  for (const name of Array.isArray(required) ? (required as unknown[]) : []) writer.bytes(inSchema.required, utf8(String(name)));
  if (isRecord(additionalProperties)) writer.bytes(inSchema.additionalProperties, wrapped(encodeSchema(additionalProperties)));
  if (typeof type === "string") writer.bytes(inSchema.type, wrapped(utf8(type)));
  if (isRecord(items)) writer.bytes(inSchema.items, wrapped(encodeSchema(items)));
  if (isRecord(properties)) writer.bytes(inSchema.properties, namedSchemas(properties));
  for (const key of Object.keys(schema)) if (key.startsWith("x-")) writer.bytes(inSchema.extension, extension(key, schema[key]));
  return writer.finish();
}

/** References stand by themselves, and what may be one of two is the text of it. */
function asVersion2(schema: JsonObject): JsonObject {
  const { allOf, oneOf, ...rest } = schema;
  const [reference] = Array.isArray(allOf) ? (allOf as readonly unknown[]) : [];
  const target = isRecord(reference) ? reference["$ref"] : schema["$ref"];
  if (typeof target === "string") return { ...rest, $ref: target.replace("#/components/schemas/", "#/definitions/") };
  return oneOf === undefined ? rest : { ...rest, type: "string" };
}

/** The value as YAML, of which JSON is a part. */
function extension(name: string, value: unknown): Uint8Array {
  const any = new WireWriter();
  any.bytes(inAny.yaml, utf8(JSON.stringify(value)));
  const entry = new WireWriter();
  entry.bytes(named.name, utf8(name));
  entry.bytes(named.value, any.finish());
  return entry.finish();
}

/** A message with nothing but its first field. */
function wrapped(bytes: Uint8Array): Uint8Array {
  const writer = new WireWriter();
  writer.bytes(only, bytes);
  return writer.finish();
}

function utf8(text: string): Uint8Array {
  return Buffer.from(text, "utf8");
}
