import { semanticEqual } from "../../api/json-value.ts";
import type { Node, Pod, Service } from "../../api/types/core-v1.generated.ts";
import type { Endpoint, EndpointPort, EndpointSlice } from "../../api/types/discovery-v1.generated.ts";
import { resources } from "../../client/resources.ts";
import { serviceNameLabel } from "../../snapshot/cluster-snapshot.ts";
import type { Outcome, Write } from "../outcome.ts";
import { controllerRef } from "../owner.ts";
import { isPodReady, isPodTerminal, podCondition, timeOf } from "../pod-state.ts";
import { familiesOf, hostnameInService, isHeadless, podIp, targetPortOf } from "../service-pods.ts";
import { packEndpoints } from "./packing.ts";

export const managedByLabel = "endpointslice.kubernetes.io/managed-by";
export const endpointSliceController = "endpointslice-controller.k8s.io";
export const headlessLabel = "service.kubernetes.io/headless";
export const triggerTimeAnnotation = "endpoints.kubernetes.io/last-change-trigger-time";
const zoneLabel = "topology.kubernetes.io/zone";

export interface EndpointSliceInput {
  readonly service: Service;
  /** The pods its selector selects. */
  readonly pods: readonly Pod[];
  readonly node: (name: string) => Node | undefined;
  /** The slices of the Service that this controller manages. */
  readonly slices: readonly EndpointSlice[];
}

type Family = "IPv4" | "IPv6";

/** Endpoints of pods that offer the same ports share slices. */
interface Group {
  readonly ports: readonly EndpointPort[];
  readonly endpoints: Map<string, Endpoint>;
}

/**
 * The writes that make a Service's slices say what its pods say. Endpoints stay in the slice they are in, a slice is
 * reused before one is made, and a Service without endpoints keeps one empty slice a family, so that readers can tell
 * "nothing there" from "not known yet".
 */
export function reconcileEndpointSlices(input: EndpointSliceInput): Outcome {
  const { service, slices } = input;
  const families = familiesOf(service);
  const writes: Write[] = [];
  const trigger = triggerTime(input);
  const meta = sliceMeta(service);
  for (const family of families) {
    const existing = slices.filter((s) => s.addressType === family);
    const groups = groupsOf(input, family);
    const plan = packEndpoints([...groups.values()], existing, (s) => hasLabelsAs(s, meta.labels));
    for (const slot of plan.slots) {
      const old = slot.slice;
      const stamp = trigger ?? old?.metadata?.annotations?.[triggerTimeAnnotation];
      const annotations = stamp === undefined ? {} : { annotations: { ...old?.metadata?.annotations, [triggerTimeAnnotation]: stamp } };
      const content = { addressType: family, endpoints: slot.endpoints, ports: slot.ports };
      if (old === undefined) {
        const name = service.metadata?.name ?? "";
        const metadata = { ...meta, ...annotations, generateName: `${name}-` };
        writes.push({ kind: "create", of: resources.endpointSlices, object: { metadata, ...content } as EndpointSlice });
      } else {
        const metadata = { ...old.metadata, ...annotations, labels: meta.labels, ownerReferences: meta.ownerReferences };
        writes.push({ kind: "update", of: resources.endpointSlices, object: { ...old, metadata, ...content } as EndpointSlice });
      }
    }
    for (const object of plan.surplus) writes.push({ kind: "delete", of: resources.endpointSlices, object });
  }
  for (const object of slices) {
    if (!families.includes(object.addressType as Family)) writes.push({ kind: "delete", of: resources.endpointSlices, object });
  }
  return { writes: writes.length > 1 ? [{ kind: "parallel", writes, slowStart: false }] : writes };
}

function sliceMeta(service: Service): Required<Pick<NonNullable<EndpointSlice["metadata"]>, "namespace" | "labels" | "ownerReferences">> {
  const labels: Record<string, string> = {};
  for (const [key, value] of Object.entries(service.metadata?.labels ?? {})) {
    if (key !== serviceNameLabel && key !== managedByLabel && key !== headlessLabel) labels[key] = value;
  }
  labels[serviceNameLabel] = service.metadata?.name ?? "";
  labels[managedByLabel] = endpointSliceController;
  if (isHeadless(service)) labels[headlessLabel] = "";
  return { namespace: service.metadata?.namespace ?? "", labels, ownerReferences: [controllerRef(resources.services, service)] };
}

function hasLabelsAs(slice: EndpointSlice, labels: Readonly<Record<string, string>>): boolean {
  return semanticEqual(slice.metadata?.labels, labels);
}

function groupsOf(input: EndpointSliceInput, family: Family): ReadonlyMap<string, Group> {
  const groups = new Map<string, Group>();
  for (const pod of input.pods) {
    const address = podIp(pod, family);
    if (address === undefined || isPodTerminal(pod)) continue;
    const ports = portsOf(input.service, pod);
    const key = JSON.stringify(ports);
    let group = groups.get(key);
    if (group === undefined) {
      group = { ports, endpoints: new Map() };
      groups.set(key, group);
    }
    group.endpoints.set(pod.metadata?.uid ?? "", endpointOf(input, pod, address));
  }
  return groups;
}

/** A port whose name no container has is left out for that pod; a Service without ports has none. */
function portsOf(service: Service, pod: Pod): readonly EndpointPort[] {
  const ports: EndpointPort[] = [];
  for (const p of service.spec?.ports ?? []) {
    const port = targetPortOf(p, pod);
    if (port === undefined) continue;
    const appProtocol = p.appProtocol === undefined ? {} : { appProtocol: p.appProtocol };
    ports.push({ name: p.name ?? "", port, protocol: p.protocol ?? "TCP", ...appProtocol });
  }
  return ports;
}

function endpointOf(input: EndpointSliceInput, pod: Pod, address: string): Endpoint {
  const { service } = input;
  const serving = isPodReady(pod);
  const terminating = pod.metadata?.deletionTimestamp !== undefined;
  const ready = service.spec?.publishNotReadyAddresses === true || (serving && !terminating);
  const nodeName = pod.spec?.nodeName;
  const zone = nodeName === undefined ? undefined : input.node(nodeName)?.metadata?.labels?.[zoneLabel];
  const hostname = hostnameInService(pod, service);
  const hints = ready ? hintsOf(service.spec?.trafficDistribution, nodeName, zone) : undefined;
  const { namespace, name, uid } = pod.metadata ?? {};
  return {
    addresses: [address],
    conditions: { ready, serving, terminating },
    ...(hostname === undefined ? {} : { hostname }),
    targetRef: { kind: "Pod", namespace: namespace ?? "", name: name ?? "", uid: uid ?? "" },
    ...(nodeName === undefined || nodeName === "" ? {} : { nodeName }),
    ...(zone === undefined ? {} : { zone }),
    ...(hints === undefined ? {} : { hints }),
  };
}

function hintsOf(distribution: string | undefined, node: string | undefined, zone: string | undefined): Endpoint["hints"] {
  const forZones = zone === undefined ? {} : { forZones: [{ name: zone }] };
  switch (distribution) {
    case "PreferClose":
    case "PreferSameZone":
      return zone === undefined ? undefined : forZones;
    case "PreferSameNode":
      return node === undefined ? undefined : { ...forZones, forNodes: [{ name: node }] };
    default:
      return undefined;
  }
}

/** The oldest change since the slices were written that they will now show: from it the delay to the kernel is measured. */
function triggerTime(input: EndpointSliceInput): string | undefined {
  const written = Math.max(0, ...input.slices.map((s) => timeOf(s.metadata?.annotations?.[triggerTimeAnnotation])));
  let first = Number.POSITIVE_INFINITY;
  const consider = (text: string | undefined): void => {
    const at = timeOf(text);
    if (at > written && at < first) first = at;
  };
  if (input.slices.length === 0) consider(input.service.metadata?.creationTimestamp);
  for (const pod of input.pods) {
    consider(podCondition(pod, "Ready")?.lastTransitionTime);
  }
  return Number.isFinite(first) ? new Date(first).toISOString().replace(".000Z", "Z") : undefined;
}
