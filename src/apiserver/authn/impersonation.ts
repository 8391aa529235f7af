import type { IncomingHttpHeaders } from "node:http";
import { badRequest } from "../../api/status-error.ts";
import { type Attributes, isAllowed, refusal } from "../authz/authorizer.ts";
import { anonymous, authenticated, type User } from "../user.ts";

/** Each header with all its values, as Node's `headersDistinct` gives them. */
type Distinct = NodeJS.Dict<string[]>;

/** Who the request shall be made as: `kubectl --as`. Only who may do everything may be somebody else; 403 for others. */
export function impersonated(user: User, headers: IncomingHttpHeaders, distinct: () => Distinct): User {
  const name = headers["impersonate-user"];
  if (name === undefined) {
    if (headers["impersonate-group"] !== undefined || headers["impersonate-uid"] !== undefined) {
      throw badRequest("requested groups or uid to impersonate without a user: Impersonate-User is missing");
    }
    return user;
  }
  const who = String(name);
  const what: Attributes = { kind: "resource", verb: "impersonate", group: "", plural: "users", subresource: "", namespace: "", name: who };
  if (!isAllowed(user, what)) throw refusal(user, what);
  const all = distinct();
  const groups = all["impersonate-group"] ?? [];
  const uid = all["impersonate-uid"]?.[0];
  if (who === anonymous.name) return { ...anonymous, groups: [...anonymous.groups, ...groups] };
  return authenticated({ name: who, groups: [...serviceAccountGroups(who), ...groups], ...(uid === undefined ? {} : { uid }) });
}

function serviceAccountGroups(name: string): readonly string[] {
  const namespace = /^system:serviceaccount:([^:]+):[^:]+$/.exec(name)?.[1];
  return namespace === undefined ? [] : ["system:serviceaccounts", `system:serviceaccounts:${namespace}`];
}
