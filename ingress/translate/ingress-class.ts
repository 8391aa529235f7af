import type { Ingress, IngressClass } from "../../src/api/types/networking-v1.generated.ts";
import type { ObjectKey, Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import type { Problem } from "../../src/snapshot/problem.ts";

/** What spec.controller of an IngressClass says when its Ingresses are ours. */
export const ingressController = "fairway/ingress";
/** The class that is ours also without an IngressClass object of that name. */
export const ingressClassName = "fairway";

const classAnnotation = "kubernetes.io/ingress.class";
const defaultClassAnnotation = "ingressclass.kubernetes.io/is-default-class";

/** Which Ingresses are served, and where what counts for all of them stands. */
export interface IngressScope {
  /** The class that is ours also without an IngressClass of that name. */
  readonly className: string;
  /** What spec.controller of an IngressClass says that is ours. */
  readonly controller: string;
  /** `namespace/name` of the ConfigMap for all classes without parameters of their own. */
  readonly configMap: ObjectKey;
  /** `namespace/name` of the ConfigMaps with ports that go to Services as they are. */
  readonly tcpServices: ObjectKey;
  readonly udpServices: ObjectKey;
}

export const defaultScope: IngressScope = {
  className: ingressClassName,
  controller: ingressController,
  configMap: "ingress-nginx/ingress-nginx-controller",
  tcpServices: "ingress-nginx/tcp-services",
  udpServices: "ingress-nginx/udp-services",
};

/**
 * The old annotation counts before spec.ingressClassName, as at ingress-nginx; without both, the default class decides, and
 * where there are no classes at all, as in a few files to ask about, there is nobody else it could be meant for.
 */
export function isOurs(snapshot: Snapshot, ingress: Ingress, scope: IngressScope): boolean {
  const name = classNameOf(ingress);
  if (name === undefined) {
    const classes = snapshot.tables.IngressClass;
    return classes.isEmpty() || classes.some((c) => isDefault(c) && isOurClass(c, scope));
  }
  const found = snapshot.tables.IngressClass.get(name);
  return found === undefined ? name === scope.className : isOurClass(found, scope);
}

export interface ClassParameters {
  readonly configMap: ObjectKey;
  /** Parameters that cannot be followed. */
  readonly problem?: Problem;
}

/** The ConfigMap that counts for an Ingress: that of its class' parameters, else the common one. */
export function configMapFor(snapshot: Snapshot, ingress: Ingress, scope: IngressScope): ClassParameters {
  const name = classNameOf(ingress);
  const { tables } = snapshot;
  const found = name === undefined ? tables.IngressClass.find((c) => isDefault(c) && isOurClass(c, scope)) : tables.IngressClass.get(name);
  const parameters = found?.spec?.parameters;
  if (parameters === undefined) return { configMap: scope.configMap };
  const { apiGroup, kind, namespace } = parameters;
  if ((apiGroup ?? "") === "" && kind === "ConfigMap" && namespace !== undefined) return { configMap: `${namespace}/${parameters.name}` };
  return {
    configMap: scope.configMap,
    problem: {
      object: { kind: "IngressClass", name: found?.metadata?.name ?? "" },
      field: "spec.parameters",
      reason: "InvalidParameters",
      message: `${kind} ${parameters.name} is not read; name a ConfigMap, with scope Namespace; ConfigMap ${scope.configMap} counts instead`,
    },
  };
}

/** The ConfigMaps that count for somebody: the common one, and those of our classes' parameters. */
export function configKeys(snapshot: Snapshot, scope: IngressScope): readonly ObjectKey[] {
  const own = [...snapshot.tables.IngressClass.values()].flatMap((c) => {
    const { parameters } = c.spec ?? {};
    const named = isOurClass(c, scope) && parameters?.kind === "ConfigMap" && parameters.namespace !== undefined;
    return named ? [`${parameters.namespace}/${parameters.name}`] : [];
  });
  return [scope.configMap, ...own];
}

/** The old annotation's, else spec.ingressClassName; undefined where it names none. */
export function classNameOf(ingress: Ingress): string | undefined {
  const name = ingress.metadata?.annotations?.[classAnnotation] ?? ingress.spec?.ingressClassName;
  return name === "" ? undefined : name;
}

function isOurClass(c: IngressClass, scope: IngressScope): boolean {
  return c.spec?.controller === scope.controller;
}

function isDefault(c: IngressClass): boolean {
  return c.metadata?.annotations?.[defaultClassAnnotation] === "true";
}
