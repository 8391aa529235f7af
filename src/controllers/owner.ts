import type { ObjectReference } from "../api/types/core-v1.generated.ts";
import type { ObjectMeta, OwnerReference } from "../api/types/meta-v1.generated.ts";
import { apiVersionOf, type Resource } from "../client/resource.ts";

export interface Owned {
  readonly metadata?: ObjectMeta;
}

/** The reference that makes `owner` the one controller of an object. */
export function controllerRef(of: Resource, owner: Owned): OwnerReference {
  return {
    apiVersion: apiVersionOf(of),
    kind: of.kind ?? "",
    name: owner.metadata?.name ?? "",
    uid: owner.metadata?.uid ?? "",
    controller: true,
    blockOwnerDeletion: true,
  };
}

export function controllerOf(o: Owned): OwnerReference | undefined {
  return o.metadata?.ownerReferences?.find((r) => r.controller === true);
}

export function isControlledBy(o: Owned, owner: Owned): boolean {
  return controllerOf(o)?.uid === owner.metadata?.uid && owner.metadata?.uid !== undefined;
}

/** What an Event says it is about. */
export function referenceTo(of: Resource, o: Owned): ObjectReference {
  const { namespace, name, uid, resourceVersion } = o.metadata ?? {};
  return {
    apiVersion: apiVersionOf(of),
    kind: of.kind ?? "",
    ...(namespace === undefined ? {} : { namespace }),
    name: name ?? "",
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
}

/** `namespace/name` of an owner in the namespace of what it owns. */
export function ownerKey(o: Owned, kind: string): string | undefined {
  const ref = controllerOf(o);
  return ref?.kind === kind ? `${o.metadata?.namespace ?? ""}/${ref.name}` : undefined;
}

/** Splits `namespace/name`; a name alone has no namespace. */
export function splitKey(key: string): { readonly namespace: string; readonly name: string } {
  const slash = key.indexOf("/");
  return slash < 0 ? { namespace: "", name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
