import { findResource, type Resource } from "../../api/scheme.ts";
import { ApiError, forbidden, notFound } from "../../api/status-error.ts";
import type { ApiContext } from "../call.ts";
import type { ApiObject } from "../registry.ts";

const immortal = new Set(["default", "kube-system", "kube-public"]);

/** New objects need a namespace that is there and stays. */
export function requireNamespace(context: ApiContext, resource: Resource, object: ApiObject, namespace: string): ApiObject {
  if (!resource.namespaced || namespace === "") return object;
  const namespaces = findResource("", "v1", "namespaces");
  const found = namespaces === undefined ? undefined : context.registry.findOften(namespaces, namespace);
  if (namespaces === undefined || found === undefined) throw notFound({ group: "", plural: "namespaces", kind: "Namespace" }, namespace);
  if (found.metadata.deletionTimestamp === undefined) return object;
  const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
  const refused = forbidden(resource, object.metadata.name ?? "", why);
  const causes = [{ reason: "NamespaceTerminating", message: `namespace ${namespace} is being terminated`, field: "metadata.namespace" }];
  throw new ApiError(refused.code, refused.reason, refused.message, { ...refused.details, causes });
}

/** The namespaces that everything rests on stay. */
export function forbidImmortal(resource: Resource, name: string): void {
  if (resource.kind === "Namespace" && immortal.has(name)) throw forbidden(resource, name, "this namespace may not be deleted");
}
