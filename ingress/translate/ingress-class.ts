import type { Ingress, IngressClass } from "../../src/api/types/networking-v1.generated.ts";
import type { Snapshot } from "../../src/snapshot/cluster-snapshot.ts";

/** What spec.controller of an IngressClass says when its Ingresses are ours. */
export const ingressController = "fairway/ingress";
/** The class that is ours also without an IngressClass object of that name. */
export const ingressClassName = "fairway";

const classAnnotation = "kubernetes.io/ingress.class";
const defaultClassAnnotation = "ingressclass.kubernetes.io/is-default-class";

/**
 * The old annotation counts before spec.ingressClassName, as at ingress-nginx; without both, the default class decides, and
 * where there are no classes at all, as in a few files to ask about, there is nobody else it could be meant for.
 */
export function isOurs(snapshot: Snapshot, ingress: Ingress): boolean {
  const name = ingress.metadata?.annotations?.[classAnnotation] ?? ingress.spec?.ingressClassName;
  if (name === undefined || name === "") {
    const classes = snapshot.tables.IngressClass;
    return classes.isEmpty() || classes.some((c) => isDefault(c) && isOurClass(c));
  }
  const found = snapshot.tables.IngressClass.get(name);
  return found === undefined ? name === ingressClassName : isOurClass(found);
}

function isOurClass(c: IngressClass): boolean {
  return c.spec?.controller === ingressController;
}

function isDefault(c: IngressClass): boolean {
  return c.metadata?.annotations?.[defaultClassAnnotation] === "true";
}
