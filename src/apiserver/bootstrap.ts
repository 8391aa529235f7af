import { jsonEqual } from "../api/json-value.ts";
import { findResource, type Resource } from "../api/scheme.ts";
import { type Cidr, cidrAt, printCidr } from "../base/cidr.ts";
import { type Ip, ipFamily } from "../base/ip.ts";
import { isBackendAddress } from "./backend-address.ts";
import { type ApiContext, timestamp } from "./call.ts";
import { createObject, removeObject, updateObject } from "./object-writer.ts";
import { type ApiObject, keyOf } from "./registry.ts";
import { familyName } from "./services/ip-families.ts";

export interface BootstrapOptions {
  readonly serviceCidrs: readonly Cidr[];
  /** Where pods reach the API server, as the endpoints of default/kubernetes. */
  readonly advertise: readonly Ip[];
  readonly advertisePort: number;
}

const systemNamespaces = ["default", "kube-system", "kube-public", "kube-node-lease"];

/** The objects that every cluster has: made when missing, put right when the configuration changed. */
export async function bootstrap(context: ApiContext, options: BootstrapOptions): Promise<void> {
  for (const name of systemNamespaces) await ensure(context, resource("", "namespaces"), { metadata: { name } });
  await ensureServiceCidr(context, options.serviceCidrs);
  await ensureApiService(context, options);
  // A server that only this machine reaches has no address that pods could use.
  const usable = options.advertise.filter((ip) => isBackendAddress(ip, context.loopback));
  // Of the Service's family: endpoints of the other one cannot stand behind its address.
  const first = usable.find((ip) => ipFamily(ip) === options.serviceCidrs[0]?.family) ?? usable[0];
  if (first === undefined) return;
  const addresses = usable.filter((ip) => ipFamily(ip) === ipFamily(first));
  const port = { name: "https", port: options.advertisePort, protocol: "TCP" };
  await replace(context, resource("", "endpoints"), {
    metadata: { name: "kubernetes", namespace: "default", labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } },
    subsets: [{ addresses: addresses.map((ip) => ({ ip })), ports: [port] }],
  });
  const slices = resource("discovery.k8s.io", "endpointslices");
  const addressType = familyName(ipFamily(first));
  const found = context.registry.find(slices, "default/kubernetes");
  // Its type cannot be changed: of another family it is another slice.
  if (found !== undefined && found.object["addressType"] !== addressType) await removeObject(context, slices, found);
  await replace(context, slices, {
    metadata: { name: "kubernetes", namespace: "default", labels: { "kubernetes.io/service-name": "kubernetes" } },
    addressType,
    endpoints: addresses.map((ip) => ({ addresses: [ip], conditions: { ready: true } })),
    ports: [port],
  });
}

async function ensureApiService(context: ApiContext, { serviceCidrs, advertisePort }: BootstrapOptions): Promise<void> {
  const [primary] = serviceCidrs;
  if (primary === undefined) return;
  const services = resource("", "services");
  const clusterIP = cidrAt(primary, 1);
  const found = context.registry.find(services, "default/kubernetes");
  const spec = found?.object["spec"] as
    | { readonly clusterIP?: string; readonly ports?: readonly { readonly targetPort?: unknown }[] }
    | undefined;
  // Its address cannot be changed: on another range it is another Service.
  if (found !== undefined && (spec?.clusterIP !== clusterIP || spec.ports?.[0]?.targetPort !== advertisePort))
    await removeObject(context, services, found);
  await ensure(context, services, {
    metadata: { name: "kubernetes", namespace: "default", labels: { component: "apiserver", provider: "kubernetes" } },
    spec: {
      type: "ClusterIP",
      clusterIP,
      clusterIPs: [clusterIP],
      ipFamilies: [familyName(primary.family)],
      ipFamilyPolicy: "SingleStack",
      ports: [{ name: "https", port: 443, protocol: "TCP", targetPort: advertisePort }],
    },
  });
}

async function ensureServiceCidr(context: ApiContext, cidrs: readonly Cidr[]): Promise<void> {
  const ranges = resource("networking.k8s.io", "servicecidrs");
  const wanted = cidrs.map(printCidr);
  const found = context.registry.find(ranges, "kubernetes");
  const spec = found?.object["spec"] as { readonly cidrs?: readonly string[] } | undefined;
  if (found !== undefined && spec?.cidrs?.join() !== wanted.join()) await removeObject(context, ranges, found);
  await ensure(context, ranges, { metadata: { name: "kubernetes" }, spec: { cidrs: wanted } });
  const target = { resource: ranges, namespace: "", name: "kubernetes", subresource: "status", dryRun: false };
  await updateObject(context, target, ({ object }) => {
    const status = object["status"] as { readonly conditions?: readonly unknown[] } | undefined;
    if ((status?.conditions ?? []).length > 0) return object;
    const ready = {
      type: "Ready",
      status: "True",
      reason: "",
      message: "Kubernetes Service CIDR is ready",
      lastTransitionTime: timestamp(context.clock),
    };
    return { ...object, status: { conditions: [ready] } };
  });
}

async function ensure(context: ApiContext, of: Resource, object: ApiObject): Promise<void> {
  const { name = "", namespace = "" } = object.metadata;
  if (context.registry.find(of, keyOf(namespace, name)) !== undefined) return;
  await createObject(context, { resource: of, namespace, name, subresource: "", dryRun: false }, withKind(of, object));
}

async function replace(context: ApiContext, of: Resource, object: ApiObject): Promise<void> {
  const { name = "", namespace = "" } = object.metadata;
  await ensure(context, of, object);
  await updateObject(context, { resource: of, namespace, name, subresource: "", dryRun: false }, (current) => {
    const { metadata, ...content } = object;
    const next = {
      ...current.object,
      ...content,
      metadata: { ...current.object.metadata, labels: { ...current.object.metadata.labels, ...metadata.labels } },
    };
    return jsonEqual(next, current.object) ? current.object : next;
  });
}

function withKind(of: Resource, object: ApiObject): ApiObject {
  return { apiVersion: of.group === "" ? of.version : `${of.group}/${of.version}`, kind: of.kind, ...object };
}

function resource(group: string, plural: string): Resource {
  const found = findResource(group, "v1", plural);
  if (found === undefined) throw new Error(`the scheme has no ${plural}`);
  return found;
}
