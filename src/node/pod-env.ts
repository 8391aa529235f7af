import type { ConfigMap, Container, EnvVar, Pod, Secret, Service } from "../api/types/core-v1.generated.ts";
import { type DownwardContext, fieldValue, resourceValue } from "./downward.ts";
import { NodeError } from "./errors.ts";

/** Where a pod's references lead. `undefined`: there is no such object. */
export interface PodSources {
  configMap(name: string): ConfigMap | undefined;
  secret(name: string): Secret | undefined;
}

/**
 * A container's environment, in the order of precedence that Kubernetes has: services, then `envFrom`, then `env`, later ones winning.
 * Throws a `pod-config` NodeError for a reference that leads nowhere and is not optional.
 */
export function containerEnv(
  pod: Pod,
  container: Container,
  given: {
    readonly services: readonly Service[];
    readonly sources: PodSources;
    readonly context: DownwardContext;
    readonly imageEnv: Readonly<Record<string, string>>;
    readonly servedPort?: ((port: number) => number) | undefined;
  },
): Readonly<Record<string, string>> {
  const { sources, context } = given;
  const links = pod.spec?.enableServiceLinks !== false;
  const services = serviceEnv(given.services, pod.metadata?.namespace ?? "default", links, given.servedPort);
  const env: Record<string, string> = {};
  for (const from of container.envFrom ?? []) {
    const prefix = from.prefix ?? "";
    for (const [name, value] of Object.entries(envFromValues(from.configMapRef, from.secretRef, sources))) env[`${prefix}${name}`] = value;
  }
  for (const variable of container.env ?? []) {
    const value = variableValue(pod, container, variable, sources, context, (name) => env[name] ?? services[name]);
    if (value !== undefined) env[variable.name] = value;
  }
  return { ...given.imageEnv, ...services, ...env };
}

/** `$(NAME)` by what `lookup` has, `$$` as `$`; a name that is not there stays as it is written. */
export function expandVariables(text: string, lookup: (name: string) => string | undefined): string {
  return text.replace(/\$(?:\$|\(([^()]*)\))/g, (whole, name: string | undefined) => (name === undefined ? "$" : (lookup(name) ?? whole)));
}

/**
 * Variables of the services with a ClusterIP: always those of default/kubernetes, and with `links` all of the pod's own namespace,
 * in the form that Docker links had. Names go by the Service's ports, values by where each is served.
 */
export function serviceEnv(
  services: readonly Service[],
  namespace: string,
  links: boolean,
  servedPort: (port: number) => number = (port) => port,
): Readonly<Record<string, string>> {
  const env: Record<string, string> = {};
  const isMaster = (s: Service): boolean => s.metadata?.namespace === "default" && s.metadata.name === "kubernetes";
  // The master's first: a service of the pod's own namespace with the same name wins.
  const chosen = [...services.filter(isMaster), ...services.filter((s) => links && s.metadata?.namespace === namespace && !isMaster(s))];
  for (const service of chosen) {
    const ip = service.spec?.clusterIP;
    const ports = service.spec?.ports ?? [];
    const first = ports[0];
    if (ip === undefined || ip === "" || ip === "None" || first === undefined) continue;
    const prefix = (service.metadata?.name ?? "").toUpperCase().replaceAll("-", "_");
    const host = ip.includes(":") ? `[${ip}]` : ip;
    env[`${prefix}_SERVICE_HOST`] = ip;
    env[`${prefix}_SERVICE_PORT`] = String(servedPort(first.port));
    for (const port of ports) {
      const served = servedPort(port.port);
      if (port.name !== undefined && port.name !== "") {
        env[`${prefix}_SERVICE_PORT_${port.name.toUpperCase().replaceAll("-", "_")}`] = String(served);
      }
      const protocol = port.protocol ?? "TCP";
      const scheme = protocol.toLowerCase();
      const link = `${prefix}_PORT_${port.port}_${protocol}`;
      if (port === first) env[`${prefix}_PORT`] = `${scheme}://${host}:${served}`;
      env[link] = `${scheme}://${host}:${served}`;
      env[`${link}_PROTO`] = scheme;
      env[`${link}_PORT`] = String(served);
      env[`${link}_ADDR`] = ip;
    }
  }
  return env;
}

function envFromValues(
  configMapRef: { readonly name?: string; readonly optional?: boolean } | undefined,
  secretRef: { readonly name?: string; readonly optional?: boolean } | undefined,
  sources: PodSources,
): Readonly<Record<string, string>> {
  if (configMapRef !== undefined) {
    const found = sources.configMap(configMapRef.name ?? "");
    if (found === undefined && configMapRef.optional !== true) throw missing("configmap", configMapRef.name);
    return found?.data ?? {};
  }
  if (secretRef !== undefined) {
    const found = sources.secret(secretRef.name ?? "");
    if (found === undefined && secretRef.optional !== true) throw missing("secret", secretRef.name);
    return Object.fromEntries(Object.entries(found?.data ?? {}).map(([k, v]) => [k, Buffer.from(v, "base64").toString("utf8")]));
  }
  return {};
}

function variableValue(
  pod: Pod,
  container: Container,
  variable: EnvVar,
  sources: PodSources,
  context: DownwardContext,
  lookup: (name: string) => string | undefined,
): string | undefined {
  const from = variable.valueFrom;
  if (from === undefined) return expandVariables(variable.value ?? "", lookup);
  if (from.fieldRef !== undefined) {
    const value = fieldValue(pod, from.fieldRef, context);
    if (value === undefined) throw new NodeError("pod-config", `unsupported fieldPath: ${from.fieldRef.fieldPath}`);
    return value;
  }
  if (from.resourceFieldRef !== undefined) {
    const value = resourceValue(pod, container, from.resourceFieldRef, context);
    if (value === undefined) throw new NodeError("pod-config", `unsupported container resource: ${from.resourceFieldRef.resource}`);
    return value;
  }
  if (from.configMapKeyRef !== undefined) {
    const { name = "", key, optional } = from.configMapKeyRef;
    const found = sources.configMap(name);
    if (found === undefined && optional !== true) throw missing("configmap", name);
    const value = found?.data?.[key];
    if (value === undefined && optional !== true) throw missingKey(key, "ConfigMap", pod, name);
    return value;
  }
  if (from.secretKeyRef !== undefined) {
    const { name = "", key, optional } = from.secretKeyRef;
    const found = sources.secret(name);
    if (found === undefined && optional !== true) throw missing("secret", name);
    const value = found?.data?.[key];
    if (value === undefined && optional !== true) throw missingKey(key, "Secret", pod, name);
    return value === undefined ? undefined : Buffer.from(value, "base64").toString("utf8");
  }
  return undefined;
}

function missing(kind: string, name: string | undefined): NodeError {
  return new NodeError("pod-config", `${kind} "${name ?? ""}" not found`);
}

function missingKey(key: string, kind: string, pod: Pod, name: string): NodeError {
  return new NodeError("pod-config", `couldn't find key ${key} in ${kind} ${pod.metadata?.namespace ?? "default"}/${name}`);
}
