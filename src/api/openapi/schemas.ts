import type { JsonObject } from "../json-value.ts";
import { apiVersionOf, type Resource } from "../scheme.ts";
import { type Field, groupOfType, isStruct, jsonFields, kindOfType, typeOfKind } from "../type-table.ts";
import type { Describe } from "./descriptions.ts";

const meta = "io.k8s.apimachinery.pkg.apis.meta.v1.";
const listMeta = `${meta}ListMeta`;

/** Scalars that have a schema of their own in Kubernetes' documents. */
const named: Readonly<Record<string, { readonly name: string; readonly schema: JsonObject }>> = {
  time: { name: `${meta}Time`, schema: { type: "string", format: "date-time" } },
  microTime: { name: `${meta}MicroTime`, schema: { type: "string", format: "date-time" } },
  quantity: {
    name: "io.k8s.apimachinery.pkg.api.resource.Quantity",
    schema: { oneOf: [{ type: "string" }, { type: "number" }] },
  },
  intOrString: {
    name: "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    schema: { oneOf: [{ type: "integer" }, { type: "string" }], format: "int-or-string" },
  },
};

const scalars: Readonly<Record<string, JsonObject>> = {
  string: { type: "string" },
  bool: { type: "boolean" },
  int: { type: "integer", format: "int64" },
  int32: { type: "integer", format: "int32" },
  int64: { type: "integer", format: "int64" },
  uint8: { type: "integer", format: "byte" },
  uint32: { type: "integer", format: "int64" },
  uint64: { type: "integer", format: "int64" },
  float64: { type: "number", format: "double" },
  bytes: { type: "string", format: "byte" },
  duration: { type: "string" },
  stringList: { type: "array", items: { type: "string", default: "" } },
  raw: { type: "object" },
  any: { type: "object" },
};

/** Where a list of kinds is kept: `io.k8s.api.core.v1.PodList`. */
export function listTypeOf(resource: Pick<Resource, "type">): string {
  return `${resource.type}List`;
}

export function referenceTo(type: string): JsonObject {
  return { $ref: `#/components/schemas/${type}` };
}

/** The schemas of these resources, of their lists and subresources, and of all that those hold. */
export function schemasOf(served: readonly Resource[], describe: Describe): JsonObject {
  const schemas: Record<string, JsonObject> = {};
  const wanted = new Set<string>([`${meta}Status`, `${meta}DeleteOptions`, `${meta}WatchEvent`, `${meta}APIResourceList`]);
  for (const resource of served) {
    wanted.add(resource.type);
    wanted.add(listMeta);
    for (const { kind, group, version } of resource.subresources) {
      const type = kind === undefined ? undefined : typeOfKind(apiVersionOf({ group: group ?? "", version: version ?? "" }), kind);
      if (type !== undefined) wanted.add(type);
    }
    schemas[listTypeOf(resource)] = listSchema(resource, describe);
  }
  // The set grows while it is walked: a type brings those of its fields.
  for (const type of wanted) {
    schemas[type] = structSchema(type, served[0], describe);
    for (const field of jsonFields(type).values()) {
      if (isStruct(field.type)) wanted.add(field.type);
      const scalar = named[field.type];
      if (scalar !== undefined) schemas[scalar.name] = described(scalar.schema, describe(scalar.name));
    }
  }
  schemas[`${meta}Patch`] = { type: "object", description: "A change of an object, in the form that the content type names." };
  return Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function structSchema(type: string, resource: Resource | undefined, describe: Describe): JsonObject {
  const properties: Record<string, JsonObject> = {};
  const required: string[] = [];
  const kind = kindOfType(type);
  if (kind !== undefined) Object.assign(properties, headProperties(type, describe));
  for (const [name, field] of jsonFields(type)) {
    properties[name] = fieldSchema(field, describe(type, name));
    if (field.needed) required.push(name);
  }
  const kinds = kind === undefined ? [] : kindsOf(type, kind, resource);
  return described(
    {
      type: "object",
      ...(Object.keys(properties).length === 0 ? {} : { properties }),
      ...(required.length === 0 ? {} : { required }),
      ...(kinds.length === 0 ? {} : { "x-kubernetes-group-version-kind": kinds }),
    },
    describe(type),
  );
}

function listSchema(resource: Resource, describe: Describe): JsonObject {
  const type = listTypeOf(resource);
  return described(
    {
      type: "object",
      properties: {
        ...headProperties(type, describe),
        metadata: described(wrapped(referenceTo(listMeta)), describe(type, "metadata")),
        items: described({ type: "array", items: wrapped(referenceTo(resource.type)) }, describe(type, "items")),
      },
      required: ["items"],
      "x-kubernetes-group-version-kind": [{ group: resource.group, version: resource.version, kind: `${resource.kind}List` }],
    },
    describe(type),
  );
}

function headProperties(type: string, describe: Describe): Readonly<Record<string, JsonObject>> {
  return {
    apiVersion: described({ type: "string" }, describe(type, "apiVersion")),
    kind: described({ type: "string" }, describe(type, "kind")),
  };
}

/** Types of the meta group belong to every group version; the one at hand is named. */
function kindsOf(type: string, kind: string, resource: Resource | undefined): readonly JsonObject[] {
  const group = groupOfType(type);
  if (group !== undefined) return [{ group, version: "v1", kind }];
  return [{ group: resource?.group ?? "", version: resource?.version ?? "v1", kind }];
}

function fieldSchema(field: Field, description: string | undefined): JsonObject {
  const item = itemSchema(field);
  let schema: JsonObject = item;
  if (field.list) schema = { type: "array", items: item };
  else if (field.map) schema = { type: "object", additionalProperties: item };
  return described(
    {
      ...("$ref" in schema ? wrapped(schema) : schema),
      ...listExtensions(field),
      ...(field.patchStrategy.length === 0 ? {} : { "x-kubernetes-patch-strategy": field.patchStrategy.join(",") }),
      ...(field.mergeKey === undefined ? {} : { "x-kubernetes-patch-merge-key": field.mergeKey }),
    },
    description,
  );
}

/** How a list is told apart in server-side apply: as one value, as a set, or by keys. */
function listExtensions({ listType, listKeys = [] }: Field): JsonObject {
  if (listType === undefined) return {};
  return { "x-kubernetes-list-type": listType, ...(listKeys.length === 0 ? {} : { "x-kubernetes-list-map-keys": listKeys }) };
}

function itemSchema(field: Field): JsonObject {
  if (isStruct(field.type)) return field.list || field.map ? wrapped(referenceTo(field.type)) : referenceTo(field.type);
  const scalar = named[field.type];
  if (scalar !== undefined) return referenceTo(scalar.name);
  return scalars[field.type] ?? { type: "object" };
}

/** A reference may not stand beside other words, so it is put into a list of one. */
function wrapped(reference: JsonObject): JsonObject {
  return { allOf: [reference] };
}

function described(schema: JsonObject, description: string | undefined): JsonObject {
  return description === undefined || description === "" ? schema : { description, ...schema };
}
