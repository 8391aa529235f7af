import { findResource, type Resource } from "../../api/scheme.ts";
import type { Ingress } from "../../api/types/networking-v1.generated.ts";
import type { ApiContext } from "../call.ts";
import type { ApiObject } from "../registry.ts";

const isDefault = "ingressclass.kubernetes.io/is-default-class";
const legacyClass = "kubernetes.io/ingress.class";

/** An Ingress that names no class gets the default one: the newest when several say they are. */
export function admitIngressClass(context: ApiContext, resource: Resource, object: ApiObject): ApiObject {
  if (resource.kind !== "Ingress") return object;
  const { spec } = object as Ingress;
  if (spec?.ingressClassName !== undefined || object.metadata.annotations?.[legacyClass] !== undefined) return object;
  const classes = findResource(resource.group, resource.version, "ingressclasses");
  const defaults = (classes === undefined ? [] : context.registry.all(classes))
    .filter((c) => c.metadata.annotations?.[isDefault] === "true")
    .sort((a, b) => order(a, b));
  const chosen = defaults[0]?.metadata.name;
  return chosen === undefined ? object : { ...object, spec: { ...spec, ingressClassName: chosen } };
}

/** Newest first, then by name. */
function order(a: ApiObject, b: ApiObject): number {
  const [x = "", y = ""] = [a.metadata.creationTimestamp, b.metadata.creationTimestamp];
  if (x !== y) return x > y ? -1 : 1;
  return (a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1;
}
