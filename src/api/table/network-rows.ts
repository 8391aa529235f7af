import type { Endpoints, Service, ServiceSpec } from "../types/core-v1.generated.ts";
import type { EndpointSlice } from "../types/discovery-v1.generated.ts";
import type { ServiceImport } from "../types/multicluster-v1alpha1.generated.ts";
import type { Ingress, IngressClass, IngressRule, IPAddress, ServiceCIDR } from "../types/networking-v1.generated.ts";
import { age } from "./age.ts";
import { layout } from "./column.ts";

const defaultClassAnnotation = "ingressclass.kubernetes.io/is-default-class";
/** As many as a cell lists before it says how many more there are. */
const listed = 3;

export const serviceLayout = layout<Service>(["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "+Selector"], (s, now) => [
  s.metadata?.name ?? "",
  s.spec?.type ?? "",
  s.spec?.clusterIPs?.[0] ?? "<none>",
  externalIp(s),
  (s.spec?.ports ?? []).map(printPort).join(",") || "<none>",
  age(s.metadata?.creationTimestamp, now),
  printLabels(s.spec?.selector),
]);

export const ingressLayout = layout<Ingress>(["Name", "Class", "Hosts", "Address", "Ports", "Age"], (i, now) => [
  i.metadata?.name ?? "",
  i.spec?.ingressClassName ?? "<none>",
  printHosts(i.spec?.rules ?? []),
  printAddresses(i.status?.loadBalancer?.ingress ?? []),
  (i.spec?.tls ?? []).length > 0 ? "80, 443" : "80",
  age(i.metadata?.creationTimestamp, now),
]);

export const ingressClassLayout = layout<IngressClass>(["Name", "Controller", "Parameters", "Age"], (c, now) => {
  const isDefault = c.metadata?.annotations?.[defaultClassAnnotation] === "true";
  const parameters = c.spec?.parameters;
  const group = parameters?.apiGroup === undefined ? "" : `.${parameters.apiGroup}`;
  return [
    `${c.metadata?.name ?? ""}${isDefault ? " (default)" : ""}`,
    c.spec?.controller ?? "",
    parameters === undefined ? "<none>" : `${parameters.kind}${group}/${parameters.name}`,
    age(c.metadata?.creationTimestamp, now),
  ];
});

export const endpointsLayout = layout<Endpoints>(["Name", "Endpoints", "Age"], (e, now) => [
  e.metadata?.name ?? "",
  printEndpoints(e),
  age(e.metadata?.creationTimestamp, now),
]);

export const endpointSliceLayout = layout<EndpointSlice>(["Name", "AddressType", "Ports", "Endpoints", "Age"], (s, now) => [
  s.metadata?.name ?? "",
  s.addressType,
  listUpTo((s.ports ?? []).map((port) => String(port.port ?? port.name ?? "*"))) || "<unset>",
  listUpTo((s.endpoints ?? []).flatMap((endpoint) => endpoint.addresses ?? [])) || "<unset>",
  age(s.metadata?.creationTimestamp, now),
]);

export const serviceImportLayout = layout<ServiceImport>(["Name", "Type", "IP", "Age"], (s, now) => [
  s.metadata?.name ?? "",
  s.spec?.type ?? "",
  // as a custom resource's column prints a list
  s.spec?.ips === undefined ? "" : JSON.stringify(s.spec.ips),
  age(s.metadata?.creationTimestamp, now),
]);

export const serviceCidrLayout = layout<ServiceCIDR>(["Name", "CIDRs", "Age"], (c, now) => [
  c.metadata?.name ?? "",
  (c.spec?.cidrs ?? []).join(","),
  age(c.metadata?.creationTimestamp, now),
]);

export const ipAddressLayout = layout<IPAddress>(["Name", "ParentRef", "Age"], (a, now) => [
  a.metadata?.name ?? "",
  printParent(a),
  age(a.metadata?.creationTimestamp, now),
]);

/** `a=b,c=d` in the order of the keys, or `<none>`. */
export function printLabels(labels: Readonly<Record<string, string>> | undefined): string {
  const entries = Object.entries(labels ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.map(([key, value]) => `${key}=${value}`).join(",") || "<none>";
}

function externalIp({ spec = {}, status }: Service): string {
  const external = spec.externalIPs ?? [];
  switch (spec.type) {
    case "ClusterIP":
    case "NodePort":
      return external.join(",") || "<none>";
    case "LoadBalancer":
      return [printAddresses(status?.loadBalancer?.ingress ?? []), ...external].filter((text) => text !== "").join(",") || "<pending>";
    case "ExternalName":
      return spec.externalName ?? "";
    default:
      return "<unknown>";
  }
}

function printPort(port: NonNullable<ServiceSpec["ports"]>[number]): string {
  return `${port.port}${port.nodePort ? `:${port.nodePort}` : ""}/${port.protocol ?? "TCP"}`;
}

function printAddresses(ingress: readonly { readonly ip?: string; readonly hostname?: string }[]): string {
  const texts = ingress.map((i) => i.ip || i.hostname || "").filter((text) => text !== "");
  return [...new Set(texts)].sort().join(",");
}

function printHosts(rules: readonly IngressRule[]): string {
  const hosts: string[] = [];
  let more = false;
  for (const rule of rules) {
    if (hosts.length === listed) more = true;
    if (!more && rule.host) hosts.push(rule.host);
  }
  if (hosts.length === 0) return "*";
  return more ? `${hosts.join(",")} + ${rules.length - listed} more...` : hosts.join(",");
}

function printEndpoints(endpoints: Endpoints): string {
  const subsets = endpoints.subsets ?? [];
  if (subsets.length === 0) return "<none>";
  return listUpTo(
    subsets.flatMap((subset) => {
      const ips = (subset.addresses ?? []).map((address) => address.ip);
      const ports = subset.ports ?? [];
      return ports.length === 0 ? ips : ports.flatMap((port) => ips.map((ip) => `${ip.includes(":") ? `[${ip}]` : ip}:${port.port}`));
    }),
  );
}

function printParent({ spec }: IPAddress): string {
  const parent = spec?.parentRef;
  if (parent === undefined) return "<none>";
  const group = parent.group ? `.${parent.group}` : "";
  const namespace = parent.namespace ? `/${parent.namespace}` : "";
  return `${`${parent.resource ?? ""}${group}`.toLowerCase()}${namespace}/${parent.name ?? ""}`;
}

function listUpTo(items: readonly string[]): string {
  const head = items.slice(0, listed).join(",");
  return items.length > listed ? `${head} + ${items.length - listed} more...` : head;
}
