import { ApiError } from "../../api/status-error.ts";
import { componentsGroup, mastersGroup } from "../pki.ts";
import type { RequestInfo } from "../request-info.ts";
import { authenticatedGroup, hasGroup, type User } from "../user.ts";

/** What somebody wants to do, as SubjectAccessReview asks it. */
export type Attributes =
  | {
      readonly kind: "resource";
      readonly verb: string;
      readonly group: string;
      readonly plural: string;
      readonly subresource: string;
      readonly namespace: string;
      readonly name: string;
    }
  | { readonly kind: "path"; readonly verb: string; readonly path: string };

/** Groups that may everything until there is RBAC: admins and fairway's own components. */
const trustedGroups = [mastersGroup, componentsGroup, "system:nodes"];
/** Users that Kubernetes' own certificates name for components; a cluster whose authority we were given may use them. */
const trustedUsers = ["system:kube-controller-manager", "system:kube-scheduler", "system:kube-proxy"];

const everybody = /^\/(healthz|livez|readyz)(\/|$)|^\/version\/?$/;
const authenticatedPaths = /^\/(api|apis|openapi)(\/|$)/;

export function isAllowed(user: User, what: Attributes): boolean {
  if (trustedGroups.some((g) => hasGroup(user, g)) || trustedUsers.includes(user.name)) return true;
  const known = hasGroup(user, authenticatedGroup);
  if (what.kind === "path") {
    return what.verb === "get" && (everybody.test(what.path) || (known && authenticatedPaths.test(what.path)));
  }
  // Anybody known may ask about themselves.
  return known && what.verb === "create" && selfReviews.has(`${what.group}/${what.plural}`);
}

const selfReviews = new Set([
  "authorization.k8s.io/selfsubjectaccessreviews",
  "authorization.k8s.io/selfsubjectrulesreviews",
  "authentication.k8s.io/selfsubjectreviews",
]);

export function attributesOf(info: RequestInfo): Attributes {
  if (info.kind === "path") return info.verb === "head" ? { ...info, verb: "get" } : info;
  const { verb, group, plural, subresource, namespace, name } = info;
  return { kind: "resource", verb, group, plural, subresource, namespace, name };
}

/** 403 in Kubernetes' words. */
export function refusal(user: User, what: Attributes): ApiError {
  if (what.kind === "path")
    return new ApiError(
      403,
      "Forbidden",
      `forbidden: User ${JSON.stringify(user.name)} cannot ${what.verb} path ${JSON.stringify(what.path)}`,
      {},
    );
  const qualified = what.group === "" ? what.plural : `${what.plural}.${what.group}`;
  const resource = what.subresource === "" ? what.plural : `${what.plural}/${what.subresource}`;
  const where = what.namespace === "" ? "at the cluster scope" : `in the namespace ${JSON.stringify(what.namespace)}`;
  const head = what.name === "" ? qualified : `${qualified} ${JSON.stringify(what.name)}`;
  return new ApiError(
    403,
    "Forbidden",
    `${head} is forbidden: User ${JSON.stringify(user.name)} cannot ${what.verb} resource ${JSON.stringify(resource)} in API group ${JSON.stringify(what.group)} ${where}`,
    { ...(what.name === "" ? {} : { name: what.name }), ...(what.group === "" ? {} : { group: what.group }), kind: what.plural },
  );
}
