import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { invalid as invalidField, required } from "../../../src/api/field-error.ts";
import { isRecord, type JsonObject } from "../../../src/api/json-value.ts";
import { describerOf, descriptionsFrom, openApiV2, openApiV3, openApiV3Index, openApiV3Paths } from "../../../src/api/openapi.ts";
import { WireReader, wireType } from "../../../src/api/protobuf-wire.ts";
import { apiVersionOf, findResource, qualifiedName, resourceOfKind, resources } from "../../../src/api/scheme.ts";
import {
  alreadyExists,
  badRequest,
  conflict,
  forbidden,
  gone,
  internal,
  invalid,
  methodNotAllowed,
  notFound,
  tooManyRequests,
} from "../../../src/api/status-error.ts";
import { metadataOnly, tableOf } from "../../../src/api/table/table-of.ts";
import { isStruct, jsonFields } from "../../../src/api/type-table.ts";

const deployments = { group: "apps", plural: "deployments", kind: "Deployment" };

test("every resource has a type in the table, names of its own, and is found by them", () => {
  expect(resources.length).toBe(23);
  for (const r of resources) {
    expect(isStruct(r.type), r.type).toBe(true);
    expect(jsonFields(r.type).has("metadata")).toBe(true);
    expect(findResource(r.group, r.version, r.plural)).toBe(r);
    expect(resourceOfKind(apiVersionOf(r), r.kind)).toBe(r);
    const hasStatus = r.subresources.some((s) => s.name === "status");
    if (hasStatus) expect(jsonFields(r.type).has("status"), r.kind).toBe(true);
  }
  expect(new Set(resources.map(qualifiedName)).size).toBe(resources.length);
  expect(findResource("", "v1", "deployments")).toBeUndefined();
});

test.each<{ name: string; status: JsonObject; want: JsonObject }>([
  {
    name: "not found",
    status: { ...notFound(deployments, "web").toStatus() },
    want: {
      code: 404,
      reason: "NotFound",
      message: 'deployments.apps "web" not found',
      details: { name: "web", group: "apps", kind: "deployments" },
    },
  },
  {
    name: "already exists",
    status: { ...alreadyExists(deployments, "web").toStatus() },
    want: { code: 409, reason: "AlreadyExists", message: 'deployments.apps "web" already exists' },
  },
  {
    name: "conflict",
    status: { ...conflict(deployments, "web").toStatus() },
    want: {
      code: 409,
      reason: "Conflict",
      message:
        'Operation cannot be fulfilled on deployments.apps "web": the object has been modified; please apply your changes to the latest version and try again',
    },
  },
  {
    name: "one wrong field",
    status: { ...invalid(deployments, "web", [required("spec.selector")]).toStatus() },
    want: {
      code: 422,
      reason: "Invalid",
      message: 'Deployment.apps "web" is invalid: spec.selector: Required value',
      details: {
        name: "web",
        group: "apps",
        kind: "Deployment",
        causes: [{ reason: "FieldValueRequired", message: "Required value", field: "spec.selector" }],
      },
    },
  },
  {
    name: "more than one",
    status: { ...invalid(deployments, "web", [required("a"), required("a"), invalidField("b", 'x"<', "bad")]).toStatus() },
    want: { message: 'Deployment.apps "web" is invalid: [a: Required value, b: Invalid value: "x\\"<": bad]' },
  },
  {
    name: "bad request",
    status: { ...badRequest("no").toStatus() },
    want: { code: 400, reason: "BadRequest", message: "no", status: "Failure", kind: "Status", apiVersion: "v1" },
  },
  {
    name: "forbidden",
    status: { ...forbidden(deployments, "web", "because").toStatus() },
    want: { code: 403, message: 'deployments.apps "web" is forbidden: because' },
  },
  { name: "gone", status: { ...gone("too old resource version: 1 (2)").toStatus() }, want: { code: 410, reason: "Expired" } },
  {
    name: "method",
    status: { ...methodNotAllowed(deployments, "create").toStatus() },
    want: { code: 405, message: 'create is not supported on resources of kind "deployments.apps"' },
  },
  { name: "too many", status: { ...tooManyRequests("wait", 3).toStatus() }, want: { code: 429, details: { retryAfterSeconds: 3 } } },
  { name: "internal", status: { ...internal("x").toStatus() }, want: { code: 500, message: "Internal error occurred: x" } },
])("status: $name", ({ status, want }) => {
  expect(status).toMatchObject(want);
});

test("a table carries the object as asked", () => {
  const services = { group: "", kind: "Service" };
  const object = { apiVersion: "v1", kind: "Service", metadata: { name: "a" }, spec: {} };
  expect(tableOf(services, [object], 0, { includeObject: "None" }).rows?.[0]).not.toHaveProperty("object");
  expect(tableOf(services, [object], 0).rows?.[0]?.object).toEqual(metadataOnly(object));
  expect(tableOf(services, [object], 0, { includeObject: "Object" }).rows?.[0]?.object).toBe(object);
  expect(tableOf({ group: "x", kind: "Unknown" }, [object], 0).columnDefinitions?.map((c) => c.name)).toEqual(["Name", "Age"]);
});

function references(value: unknown, found = new Set<string>()): ReadonlySet<string> {
  if (Array.isArray(value)) for (const item of value) references(item, found);
  else if (isRecord(value)) {
    for (const key of Object.keys(value)) {
      const inner = value[key];
      if (key === "$ref" && typeof inner === "string") found.add(inner.slice("#/components/schemas/".length));
      else references(inner, found);
    }
  }
  return found;
}

test("every OpenAPI document holds all that it refers to, and operations with the names kubectl asks for", () => {
  const ids = new Set<string>();
  let operations = 0;
  for (const path of openApiV3Paths) {
    const document = openApiV3(path.replace(/^apis?\//, "")) as {
      readonly paths: Record<string, JsonObject>;
      readonly components: { readonly schemas: JsonObject };
    };
    for (const name of references(document)) expect(document.components.schemas, name).toHaveProperty([name]);
    for (const [address, item] of Object.entries(document.paths)) {
      for (const method of ["get", "put", "post", "patch", "delete"]) {
        const found = item[method];
        if (!isRecord(found)) continue;
        operations++;
        expect(address.startsWith(`/${path}/`)).toBe(true);
        ids.add(String(found["operationId"]));
        expect(found["x-kubernetes-group-version-kind"]).toMatchObject({ kind: expect.any(String) as string });
      }
      const patch = item["patch"];
      if (!isRecord(patch)) continue;
      const names = (patch["parameters"] as readonly JsonObject[]).map((p) => p["name"]);
      expect(names).toEqual(expect.arrayContaining(["fieldValidation", "dryRun"]));
      expect((patch["requestBody"] as { readonly content: JsonObject }).content).toHaveProperty(["application/strategic-merge-patch+json"]);
    }
  }
  expect(ids.size).toBe(operations);
  expect(openApiV3("example.com/v1")).toBeUndefined();
  expect(Object.keys(openApiV3Index(() => "h")["paths"] as JsonObject)).toEqual(openApiV3Paths);
});

test("schemas carry kinds and patch strategies", () => {
  const document = openApiV3("v1") as { readonly components: { readonly schemas: Record<string, JsonObject> } };
  const { schemas } = document.components;
  expect(schemas["io.k8s.api.core.v1.Pod"]?.["x-kubernetes-group-version-kind"]).toEqual([{ group: "", version: "v1", kind: "Pod" }]);
  expect(schemas["io.k8s.api.core.v1.PodSpec"]?.["properties"]).toMatchObject({
    containers: { type: "array", "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "name" },
    volumes: { "x-kubernetes-patch-strategy": "merge,retainKeys", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] },
  });
  expect(schemas["io.k8s.api.core.v1.ServiceSpec"]?.["properties"]).toMatchObject({
    ports: { "x-kubernetes-patch-merge-key": "port", "x-kubernetes-list-map-keys": ["port", "protocol"] },
    externalIPs: { "x-kubernetes-list-type": "atomic" },
  });
  expect(schemas["io.k8s.api.core.v1.PodSpec"]?.["required"]).toEqual(["containers"]);
});

/** The bytes of the fields with this number in a protobuf message. */
function messages(bytes: Uint8Array, number: number): readonly Uint8Array[] {
  const reader = new WireReader(bytes);
  const found: Uint8Array[] = [];
  while (!reader.done) {
    const tag = reader.tag();
    if (tag.number === number && tag.wire === wireType.bytes) found.push(reader.bytes());
    else reader.skip(tag.wire);
  }
  return found;
}

test("the older document defines every kind, its references lead somewhere, and kinds are told as YAML", () => {
  const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString("utf8");
  const [definitions = new Uint8Array()] = messages(openApiV2(), 9);
  const schemas = new Map(
    messages(definitions, 1).map((entry) => [text(messages(entry, 1)[0]), messages(entry, 2)[0] ?? new Uint8Array()] as const),
  );
  for (const resource of resources) expect(schemas.has(resource.type), resource.type).toBe(true);
  const pod = schemas.get("io.k8s.api.core.v1.Pod") ?? new Uint8Array();
  expect(messages(pod, 31).map((e) => [text(messages(e, 1)[0]), text(messages(messages(e, 2)[0] ?? new Uint8Array(), 2)[0])])).toEqual([
    ["x-kubernetes-group-version-kind", '[{"group":"","version":"v1","kind":"Pod"}]'],
  ]);
  for (const schema of schemas.values()) {
    for (const property of messages(messages(schema, 25)[0] ?? new Uint8Array(), 1)) {
      const reference = text(messages(messages(property, 2)[0] ?? new Uint8Array(), 1)[0]);
      if (reference !== "") expect(schemas.has(reference.slice("#/definitions/".length)), reference).toBe(true);
    }
  }
});

test("descriptions are read from declarations", () => {
  const text = `/** A pod. */\nexport interface Pod {\n    /** What it is. */\n    spec?: PodSpec;\n    /**\n     * One line.\n     *   Another.\n     */\n    "x-y": string;\n}\nexport interface Bare {\n    /** Alone. */\n    a: string;\n}\n/** A name. */\nexport type Time = string;\n`;
  expect(Object.fromEntries(descriptionsFrom(text))).toEqual({
    Pod: "A pod.",
    "Pod.spec": "What it is.",
    "Pod.x-y": "One line.\n  Another.",
    "Bare.a": "Alone.",
    Time: "A name.",
  });
  const installed = new URL("../../../node_modules/kubernetes-types/core/v1.d.ts", import.meta.url);
  const describe = describerOf(new Map([["core/v1", readFileSync(installed, "utf8")]]));
  expect(describe("io.k8s.api.core.v1.Service", "spec")).toMatch(/behavior of a service/);
  expect(describe("io.k8s.api.core.v1.Service")).toMatch(/abstraction of software service/);
  expect(describe("io.k8s.api.apps.v1.Deployment")).toBeUndefined();
});
