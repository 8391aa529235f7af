import { ApiError, notFoundPath } from "../api/status-error.ts";
import { type Answer, json, plainText } from "./answer.ts";
import { aggregated, apiVersions, discoveryType, group, groupList, resourceList } from "./discovery.ts";
import { parseAccept } from "./representation.ts";
import type { PathRequest } from "./request-info.ts";
import { versionInfo } from "./version.ts";

/** What is answered outside of objects. */
export interface PathContext {
  /** host:port that clients reach the server at. */
  readonly serverAddress: string;
  /** Of healthz, livez or readyz: the names of what does not hold; empty = well. */
  failing(check: string): readonly string[];
  metrics(): string;
  openApi(path: string, accept: string | undefined): Answer | undefined;
}

/** Health, version, discovery and OpenAPI; 404 for every other path. */
export function routePath(info: PathRequest, accept: string | undefined, query: URLSearchParams, context: PathContext): Answer {
  if (info.verb !== "get" && info.verb !== "head")
    throw new ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {});
  const path = info.path.replace(/\/$/, "");
  const health = /^\/(healthz|livez|readyz)(?:\/([\w-]+))?$/.exec(path);
  if (health !== null) return healthOf(health[1] ?? "", query, context);
  if (path === "/version") return json(versionInfo());
  if (path === "/metrics") return plainText(context.metrics());
  if (path === "/api" || path === "/apis") return discovery(path, accept, context);
  const found = context.openApi(path, accept) ?? listed(path);
  if (found === undefined) throw notFoundPath();
  return found;
}

function listed(path: string): Answer | undefined {
  const parts = path.split("/").slice(1).map(decodeURIComponent);
  const [root, first = "", second = ""] = parts;
  if (root === "api" && parts.length === 2) return found(resourceList("", first));
  if (root === "apis" && parts.length === 2) return found(group(first));
  if (root === "apis" && parts.length === 3) return found(resourceList(first, second));
  if (path === "")
    return json({
      paths: ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"],
    });
  return undefined;
}

function found(value: object | undefined): Answer | undefined {
  return value === undefined ? undefined : json(value);
}

function discovery(path: string, accept: string | undefined, context: PathContext): Answer {
  for (const { type, parameters } of parseAccept(accept ?? "*/*")) {
    if (parameters.get("as") === "APIGroupDiscoveryList" && parameters.get("g") === discoveryType) {
      const version = parameters.get("v") ?? "";
      if (version !== "v2" && version !== "v2beta1") continue;
      const answer = json(aggregated(path === "/api" ? "core" : "groups", version));
      if (answer.kind !== "bytes") return answer;
      return { ...answer, type: `application/json;g=${discoveryType};v=${version};as=APIGroupDiscoveryList` };
    }
    if (type === "application/json" || type === "*/*" || type === "application/*") break;
  }
  return json(path === "/api" ? apiVersions(context.serverAddress) : groupList());
}

function healthOf(name: string, query: URLSearchParams, context: PathContext): Answer {
  const failing = context.failing(name);
  const lines = [
    ...["ping", "store"].filter((c) => !failing.includes(c)).map((c) => `[+]${c} ok`),
    ...failing.map((c) => `[-]${c} failed`),
  ];
  if (failing.length > 0) return plainText(`${lines.join("\n")}\n${name} check failed\n`, 500);
  return plainText(query.has("verbose") ? `${lines.join("\n")}\n${name} check passed\n` : "ok");
}
