import { findResource, type Resource } from "../api/scheme.ts";
import { methodNotAllowed } from "../api/status-error.ts";

export type Verb = "get" | "list" | "watch" | "create" | "update" | "patch" | "delete" | "deletecollection";

/** A request for objects: what the path and method say. */
export interface ResourceRequest {
  readonly kind: "resource";
  readonly verb: Verb;
  readonly group: string;
  readonly version: string;
  /** The plural name in the path; `resource` is undefined when nothing has that name. */
  readonly plural: string;
  readonly resource: Resource | undefined;
  /** "" for cluster-scoped requests, and for all namespaces. */
  readonly namespace: string;
  /** "" for collections. */
  readonly name: string;
  /** "" for the object itself. */
  readonly subresource: string;
  /** What stands behind the subresource, without its slash: the path of a proxy request. */
  readonly rest: string;
  /** The whole path as it came. */
  readonly path: string;
}

/** Anything else: health, discovery, OpenAPI. The verb is the method in lower case, as authorization names it. */
export interface PathRequest {
  readonly kind: "path";
  readonly verb: string;
  readonly path: string;
}

export type RequestInfo = ResourceRequest | PathRequest;

const namespaceSubresources = new Set(["status", "finalize"]);

/** `path` as it came, still percent-encoded. Throws a URIError for broken encoding, 405 for a method that no object has. */
export function parseRequestInfo(method: string, path: string, query: URLSearchParams): RequestInfo {
  const parts = path.split("/").slice(1);
  const asPath: PathRequest = { kind: "path", verb: method.toLowerCase(), path };
  const groupParts = parts[0] === "api" ? 2 : parts[0] === "apis" ? 3 : Number.POSITIVE_INFINITY;
  if (parts.length <= groupParts || parts[groupParts] === "") return asPath;
  const group = groupParts === 2 ? "" : decoded(parts[1]);
  const version = decoded(parts[groupParts - 1]);
  const rest = parts.slice(groupParts);
  const [first = "", second = "", third = ""] = rest;
  const namespaced = first === "namespaces" && third !== "" && !namespaceSubresources.has(third);
  const at = namespaced ? 2 : 0;
  const plural = decoded(rest[at]);
  const name = decoded(rest[at + 1]);
  const subresource = decoded(rest[at + 2]);
  return {
    kind: "resource",
    // What a server behind a proxy path can do is its own matter: asking for it is a read.
    verb: subresource === "proxy" && method === "OPTIONS" ? "get" : verbOf(method, name, query),
    group,
    version,
    plural,
    resource: findResource(group, version, plural),
    namespace: namespaced ? decoded(second) : "",
    name,
    subresource,
    rest: rest.slice(at + 3).join("/"),
    path,
  };
}

function decoded(part = ""): string {
  return part.includes("%") ? decodeURIComponent(part) : part;
}

function verbOf(method: string, name: string, query: URLSearchParams): Verb {
  switch (method) {
    case "POST":
      return "create";
    case "PUT":
      return "update";
    case "PATCH":
      return "patch";
    case "DELETE":
      return name === "" ? "deletecollection" : "delete";
    case "GET":
    case "HEAD": {
      const watch = query.get("watch");
      if (name !== "" && watch === null) return "get";
      if (watch === "true" || watch === "1" || watch === "") return "watch";
      return name === "" ? "list" : "get";
    }
    default:
      throw methodNotAllowed(undefined, method);
  }
}
