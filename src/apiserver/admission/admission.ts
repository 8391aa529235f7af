import type { Resource } from "../../api/scheme.ts";
import type { ApiContext } from "../call.ts";
import type { ApiObject } from "../registry.ts";
import { admitTolerations } from "./default-tolerations.ts";
import { admitIngressClass } from "./ingress-class.ts";
import { requireNamespace } from "./namespace-lifecycle.ts";
import { admitPodClasses } from "./pod-classes.ts";
import { admitServiceAccount } from "./service-account.ts";

/** What needs nothing but the object. */
type AdmitUpdate = (resource: Resource, object: ApiObject) => ApiObject;
type Admit = (context: ApiContext, resource: Resource, object: ApiObject, namespace: string) => ApiObject | Promise<ApiObject>;

/** In this order: an object without a namespace is refused before anything is looked up for it. */
const onCreate: readonly Admit[] = [
  requireNamespace,
  admitServiceAccount,
  admitPodClasses,
  (_context, resource, object) => admitTolerations(resource, object),
  admitIngressClass,
];
/** Who replaces an object by one of his own need not know what the server added to it. */
const onUpdate: readonly AdmitUpdate[] = [admitTolerations];

/** What the server adds to a new object from what else there is, or why it is refused (403, 404). */
export async function admitCreate(context: ApiContext, resource: Resource, object: ApiObject, namespace: string): Promise<ApiObject> {
  let admitted = object;
  for (const admit of onCreate) admitted = await admit(context, resource, admitted, namespace);
  return admitted;
}

/** The same for one that replaces another. */
export function admitUpdate(resource: Resource, object: ApiObject): ApiObject {
  return onUpdate.reduce((admitted, admit) => admit(resource, admitted), object);
}
