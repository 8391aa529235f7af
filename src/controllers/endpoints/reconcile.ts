import { semanticEqual } from "../../api/json-value.ts";
import type { EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service } from "../../api/types/core-v1.generated.ts";
import { compareIp } from "../../base/ip.ts";
import { resources } from "../../client/resources.ts";
import { headlessLabel } from "../endpointslice/reconcile.ts";
import { nothingToDo, type Outcome } from "../outcome.ts";
import { isPodReady, isPodTerminal } from "../pod-state.ts";
import { familiesOf, hostnameInService, isHeadless, podIp, targetPortOf } from "../service-pods.ts";

export const endpointsManagedBy = "endpoints.kubernetes.io/managed-by";
export const endpointsController = "endpoint-controller";
const overCapacity = "endpoints.kubernetes.io/over-capacity";
/** Addresses beyond this are left out; EndpointSlices have them all. */
export const maxEndpointsAddresses = 1000;

interface Address {
  readonly address: EndpointAddress;
  readonly ready: boolean;
}

/** The Endpoints object that repeats, for old readers, what the slices say of the Service's first family. */
export function reconcileEndpoints(service: Service, pods: readonly Pod[], existing: Endpoints | undefined): Outcome {
  const { subsets, truncated } = limit(subsetsOf(service, pods));
  const labels: Record<string, string> = { ...service.metadata?.labels, [endpointsManagedBy]: endpointsController };
  if (isHeadless(service)) labels[headlessLabel] = "";
  else delete labels[headlessLabel];
  const annotations: Record<string, string> = { ...existing?.metadata?.annotations };
  delete annotations[overCapacity];
  if (truncated) annotations[overCapacity] = "truncated";
  const { namespace, name } = service.metadata ?? {};
  if (existing === undefined) {
    const metadata = { namespace: namespace ?? "", name: name ?? "", labels, ...(truncated ? { annotations } : {}) };
    return { writes: [{ kind: "create", of: resources.endpoints, object: { metadata, subsets } as Endpoints }] };
  }
  const same =
    semanticEqual(existing.subsets, subsets) &&
    semanticEqual(existing.metadata?.labels, labels) &&
    semanticEqual(existing.metadata?.annotations, annotations);
  if (same) return nothingToDo;
  const object = { ...existing, metadata: { ...existing.metadata, labels, annotations }, subsets } as Endpoints;
  return { writes: [{ kind: "update", of: resources.endpoints, object }] };
}

function subsetsOf(service: Service, pods: readonly Pod[]): readonly EndpointSubset[] {
  const publish = service.spec?.publishNotReadyAddresses === true;
  const family = familiesOf(service)[0] ?? "IPv4";
  const byPort = new Map<string, { port: EndpointPort | undefined; addresses: Map<string, Address> }>();
  const put = (port: EndpointPort | undefined, entry: Address): void => {
    const key = port === undefined ? "" : JSON.stringify(port);
    let known = byPort.get(key);
    if (known === undefined) {
      known = { port, addresses: new Map() };
      byPort.set(key, known);
    }
    known.addresses.set(`${entry.address.ip}/${entry.address.targetRef?.uid ?? ""}`, entry);
  };
  for (const pod of pods) {
    const ip = podIp(pod, family);
    if (ip === undefined || isPodTerminal(pod) || (pod.metadata?.deletionTimestamp !== undefined && !publish)) continue;
    const entry: Address = { address: addressOf(service, pod, ip), ready: publish || isPodReady(pod) };
    const ports = service.spec?.ports ?? [];
    if (ports.length === 0) put(undefined, entry);
    for (const p of ports) {
      const port = targetPortOf(p, pod);
      if (port === undefined) continue;
      const named = p.name === undefined || p.name === "" ? {} : { name: p.name };
      const appProtocol = p.appProtocol === undefined ? {} : { appProtocol: p.appProtocol };
      put({ ...named, port, protocol: p.protocol ?? "TCP", ...appProtocol }, entry);
    }
  }
  return mergePorts([...byPort.values()]);
}

function addressOf(service: Service, pod: Pod, ip: string): EndpointAddress {
  const { namespace, name, uid } = pod.metadata ?? {};
  const hostname = hostnameInService(pod, service);
  return {
    ip,
    ...(hostname === undefined ? {} : { hostname }),
    ...(pod.spec?.nodeName === undefined || pod.spec.nodeName === "" ? {} : { nodeName: pod.spec.nodeName }),
    targetRef: { kind: "Pod", namespace: namespace ?? "", name: name ?? "", uid: uid ?? "" },
  };
}

/** Ports with the same addresses share a subset. The order is by value, so that equal content is equal text. */
function mergePorts(
  entries: readonly { readonly port: EndpointPort | undefined; readonly addresses: ReadonlyMap<string, Address> }[],
): readonly EndpointSubset[] {
  const subsets = new Map<string, { ports: EndpointPort[]; addresses: readonly Address[] }>();
  for (const { port, addresses } of entries) {
    const sorted = [...addresses.values()].sort(compareAddresses);
    const key = JSON.stringify(sorted.map((a) => [a.ready, a.address.ip, a.address.targetRef?.uid]));
    let known = subsets.get(key);
    if (known === undefined) {
      known = { ports: [], addresses: sorted };
      subsets.set(key, known);
    }
    if (port !== undefined) known.ports.push(port);
  }
  return [...subsets.values()].map(({ ports, addresses }) => {
    const ready = addresses.filter((a) => a.ready).map((a) => a.address);
    const notReady = addresses.filter((a) => !a.ready).map((a) => a.address);
    return {
      ...(ready.length === 0 ? {} : { addresses: ready }),
      ...(notReady.length === 0 ? {} : { notReadyAddresses: notReady }),
      ...(ports.length === 0 ? {} : { ports: ports.sort(comparePorts) }),
    };
  });
}

function compareAddresses(a: Address, b: Address): number {
  return compareIp(a.address.ip, b.address.ip) || compareText(a.address.targetRef?.uid ?? "", b.address.targetRef?.uid ?? "");
}

function comparePorts(a: EndpointPort, b: EndpointPort): number {
  return compareText(a.name ?? "", b.name ?? "") || a.port - b.port || compareText(a.protocol ?? "", b.protocol ?? "");
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Ready addresses go first into what there is room for. */
function limit(subsets: readonly EndpointSubset[]): { subsets: readonly EndpointSubset[]; truncated: boolean } {
  const total = subsets.reduce((n, s) => n + (s.addresses?.length ?? 0) + (s.notReadyAddresses?.length ?? 0), 0);
  if (total <= maxEndpointsAddresses) return { subsets, truncated: false };
  let room = maxEndpointsAddresses;
  const cut = (list: readonly EndpointAddress[] | undefined): readonly EndpointAddress[] => {
    const taken = (list ?? []).slice(0, room);
    room -= taken.length;
    return taken;
  };
  const ready = subsets.map((s) => cut(s.addresses));
  const notReady = subsets.map((s) => cut(s.notReadyAddresses));
  const result = subsets.map((s, i): EndpointSubset => {
    const { addresses: _a, notReadyAddresses: _n, ...rest } = s;
    const a = ready[i] ?? [];
    const n = notReady[i] ?? [];
    return { ...(a.length === 0 ? {} : { addresses: a }), ...(n.length === 0 ? {} : { notReadyAddresses: n }), ...rest };
  });
  return { subsets: result.filter((s) => s.addresses !== undefined || s.notReadyAddresses !== undefined), truncated: true };
}
