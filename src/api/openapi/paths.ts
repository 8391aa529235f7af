import type { JsonObject } from "../json-value.ts";
import { apiVersionOf, type Resource, type Subresource } from "../scheme.ts";
import { typeOfKind } from "../type-table.ts";
import { listTypeOf, referenceTo } from "./schemas.ts";

const meta = "io.k8s.apimachinery.pkg.apis.meta.v1.";
const bodies = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"] as const;
const streams = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"] as const;
const patchBodies = ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"] as const;

const query = (name: string, type: string, description: string): JsonObject => ({
  name,
  in: "query",
  description,
  schema: { type, uniqueItems: true },
});
const fromPath = (name: string, description: string): JsonObject => ({
  name,
  in: "path",
  description,
  required: true,
  schema: { type: "string", uniqueItems: true },
});

const pretty = query("pretty", "string", "Indents the answer when it is true.");
const dryRun = query("dryRun", "string", "With All nothing is stored; the answer is the same.");
const fieldManager = query("fieldManager", "string", "Who makes this change.");
const fieldValidation = query("fieldValidation", "string", "What becomes of unknown and repeated fields: Ignore, Warn or Strict.");
const force = query("force", "boolean", "Takes over fields that another manager owns.");
const writing = [dryRun, fieldManager, fieldValidation];
const listing = [
  query("allowWatchBookmarks", "boolean", "Asks for bookmarks in a watch."),
  query("continue", "string", "Where the page before this one ended."),
  query("fieldSelector", "string", "Objects with these fields only."),
  query("labelSelector", "string", "Objects with these labels only."),
  query("limit", "integer", "At most so many objects."),
  query("resourceVersion", "string", "Not older than this."),
  query("resourceVersionMatch", "string", "How resourceVersion is meant."),
  query("sendInitialEvents", "boolean", "Begins a watch with what is there."),
  query("timeoutSeconds", "integer", "Ends the answer after so long."),
  query("watch", "boolean", "Goes on with changes as they happen."),
];
const deleting = [
  dryRun,
  query("gracePeriodSeconds", "integer", "How long the object has to end by itself."),
  query("orphanDependents", "boolean", "Leaves what it owns; propagationPolicy is the newer word."),
  query("propagationPolicy", "string", "What becomes of what it owns: Orphan, Background or Foreground."),
];
const name = fromPath("name", "The name of the object.");
const namespace = fromPath("namespace", "The namespace of the object.");

/** The paths of these resources with their operations. */
export function pathsOf(served: readonly Resource[]): JsonObject {
  const paths: Record<string, JsonObject> = {};
  for (const resource of served) {
    const root = resource.group === "" ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`;
    const home = resource.namespaced ? `${root}/namespaces/{namespace}` : root;
    const where = resource.namespaced ? [namespace] : [];
    paths[`${home}/${resource.plural}`] = { ...collection(resource), parameters: [...where, pretty] };
    if (resource.namespaced) {
      paths[`${root}/${resource.plural}`] = { get: list(resource, "ForAllNamespaces"), parameters: [pretty] };
    }
    const item = `${home}/${resource.plural}/{name}`;
    paths[item] = { ...single(resource), parameters: [name, ...where, pretty] };
    for (const subresource of resource.subresources) {
      paths[`${item}/${subresource.name}`] = { ...below(resource, subresource), parameters: [name, ...where, pretty] };
    }
  }
  return Object.fromEntries(Object.entries(paths).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function collection(resource: Resource): JsonObject {
  const { verbs } = resource;
  return {
    ...(verbs.includes("list") ? { get: list(resource, "") } : {}),
    ...(verbs.includes("create")
      ? { post: operation(resource, "post", { type: resource.type, parameters: writing, body: resource.type }) }
      : {}),
    ...(verbs.includes("deletecollection")
      ? {
          delete: operation(resource, "deletecollection", {
            type: `${meta}Status`,
            parameters: [...listing, ...deleting],
            body: `${meta}DeleteOptions`,
          }),
        }
      : {}),
  };
}

function single(resource: Resource): JsonObject {
  const { type, verbs } = resource;
  return {
    ...(verbs.includes("get") ? { get: operation(resource, "get", { type, parameters: [] }) } : {}),
    ...(verbs.includes("update") ? { put: operation(resource, "put", { type, parameters: writing, body: type }) } : {}),
    ...(verbs.includes("patch") ? { patch: operation(resource, "patch", { type, parameters: [...writing, force], body: "patch" }) } : {}),
    ...(verbs.includes("delete")
      ? { delete: operation(resource, "delete", { type: `${meta}Status`, parameters: deleting, body: `${meta}DeleteOptions` }) }
      : {}),
  };
}

function below(resource: Resource, subresource: Subresource): JsonObject {
  const { kind = resource.kind, group = resource.group, version = resource.version, verbs } = subresource;
  const type = typeOfKind(apiVersionOf({ group, version }), kind) ?? resource.type;
  const target = { ...resource, kind, group, version };
  const of = { subresource: subresource.name, owner: resource };
  return {
    ...(verbs.includes("get") ? { get: operation(target, "get", { type, parameters: [], ...of }) } : {}),
    ...(verbs.includes("create") ? { post: operation(target, "post", { type, parameters: writing, body: type, ...of }) } : {}),
    ...(verbs.includes("update") ? { put: operation(target, "put", { type, parameters: writing, body: type, ...of }) } : {}),
    ...(verbs.includes("patch")
      ? { patch: operation(target, "patch", { type, parameters: [...writing, force], body: "patch", ...of }) }
      : {}),
  };
}

function list(resource: Resource, suffix: string): JsonObject {
  return operation(resource, "list", { type: listTypeOf(resource), parameters: listing, suffix });
}

interface Operation {
  /** Of the answer. */
  readonly type: string;
  readonly parameters: readonly JsonObject[];
  /** Of the request: a type, or `patch`. */
  readonly body?: string;
  readonly subresource?: string;
  readonly owner?: Resource;
  readonly suffix?: string;
}

const words: Readonly<Record<string, string>> = {
  list: "list",
  get: "read",
  post: "create",
  put: "replace",
  patch: "patch",
  delete: "delete",
  deletecollection: "deletecollection",
};

function operation(resource: Resource, action: string, o: Operation): JsonObject {
  const owner = o.owner ?? resource;
  const groupName = pascal(owner.group === "" ? "core" : (owner.group.split(".")[0] ?? ""));
  const scope = owner.namespaced && o.suffix !== "ForAllNamespaces" ? "Namespaced" : "";
  const collectionWord = action === "deletecollection" ? "Collection" : "";
  const verb = action === "deletecollection" ? "delete" : (words[action] ?? action);
  const id = `${verb}${groupName}V1${collectionWord}${scope}${owner.kind}${pascal(o.subresource ?? "")}${o.suffix ?? ""}`;
  const media: readonly string[] = action === "list" ? [...bodies, ...streams] : bodies;
  return {
    tags: [`${groupName.toLowerCase()}_v1`],
    description: `${words[action] ?? action} ${o.subresource === undefined ? "" : `${o.subresource} of `}${owner.kind}`,
    operationId: id,
    parameters: o.parameters,
    ...(o.body === undefined ? {} : { requestBody: requestBody(o.body) }),
    responses: {
      [action === "post" ? "201" : "200"]: { description: "OK", content: contentOf(media, referenceTo(o.type)) },
      "401": { description: "Unauthorized" },
    },
    "x-kubernetes-action": action,
    "x-kubernetes-group-version-kind": { group: resource.group, version: resource.version, kind: resource.kind },
  };
}

function requestBody(type: string): JsonObject {
  if (type === "patch") return { content: contentOf(patchBodies, referenceTo(`${meta}Patch`)), required: true };
  return { content: contentOf(["*/*"], referenceTo(type)), ...(type.endsWith(".DeleteOptions") ? {} : { required: true }) };
}

function contentOf(media: readonly string[], schema: JsonObject): JsonObject {
  return Object.fromEntries(media.map((type) => [type, { schema }]));
}

function pascal(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
