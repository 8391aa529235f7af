import { semanticEqual } from "../../api/json-value.ts";
import type { EndpointAddress, Endpoints, EndpointPort as SubsetPort } from "../../api/types/core-v1.generated.ts";
import type { Endpoint, EndpointPort, EndpointSlice } from "../../api/types/discovery-v1.generated.ts";
import { parseIp } from "../../base/ip.ts";
import { resources } from "../../client/resources.ts";
import { serviceNameLabel } from "../../snapshot/cluster-snapshot.ts";
import { type EndpointGroup, packEndpoints } from "../endpointslice/packing.ts";
import { managedByLabel, triggerTimeAnnotation } from "../endpointslice/reconcile.ts";
import type { Outcome, Write } from "../outcome.ts";
import { controllerRef } from "../owner.ts";

export const mirroringController = "endpointslicemirroring-controller.k8s.io";
/** Addresses of a subset beyond this are not mirrored. */
const maxPerSubset = 1000;

/** The slices that say what a hand-written Endpoints object says. */
export function reconcileMirror(endpoints: Endpoints, slices: readonly EndpointSlice[]): Outcome {
  const { namespace, name } = endpoints.metadata ?? {};
  const labels = { ...endpoints.metadata?.labels, [serviceNameLabel]: name ?? "", [managedByLabel]: mirroringController };
  const annotations = mirroredAnnotations(endpoints);
  const current = (s: EndpointSlice): boolean =>
    semanticEqual(s.metadata?.labels, labels) && semanticEqual(s.metadata?.annotations, annotations);
  const ownerReferences = [controllerRef(resources.endpoints, endpoints)];
  const writes: Write[] = [];
  for (const family of ["IPv4", "IPv6"] as const) {
    const existing = slices.filter((s) => s.addressType === family);
    const groups = groupsOf(endpoints, family);
    if (groups.length === 0) {
      for (const object of existing) writes.push({ kind: "delete", of: resources.endpointSlices, object });
      continue;
    }
    const { slots, surplus } = packEndpoints(groups, existing, current, (e) => e.addresses?.[0] ?? "");
    for (const slot of slots) {
      const content = { addressType: family, endpoints: slot.endpoints, ports: slot.ports };
      const meta = { labels, annotations, ownerReferences };
      if (slot.slice === undefined) {
        const metadata = { ...meta, namespace: namespace ?? "", generateName: `${name ?? ""}-` };
        writes.push({ kind: "create", of: resources.endpointSlices, object: { metadata, ...content } as EndpointSlice });
      } else {
        const metadata = { ...slot.slice.metadata, ...meta };
        writes.push({ kind: "update", of: resources.endpointSlices, object: { ...slot.slice, metadata, ...content } as EndpointSlice });
      }
    }
    for (const object of surplus) writes.push({ kind: "delete", of: resources.endpointSlices, object });
  }
  return { writes };
}

function mirroredAnnotations(endpoints: Endpoints): Record<string, string> {
  const annotations: Record<string, string> = {};
  for (const [key, value] of Object.entries(endpoints.metadata?.annotations ?? {})) {
    // The copy kubectl keeps of what was applied would only double the slice's size.
    if (key !== "kubectl.kubernetes.io/last-applied-configuration" && key !== triggerTimeAnnotation) annotations[key] = value;
  }
  return annotations;
}

function groupsOf(endpoints: Endpoints, family: "IPv4" | "IPv6"): readonly EndpointGroup[] {
  const groups = new Map<string, { ports: readonly EndpointPort[]; endpoints: Map<string, Endpoint> }>();
  for (const subset of endpoints.subsets ?? []) {
    const ports = (subset.ports ?? []).map(portOf);
    const key = JSON.stringify(ports);
    const group = groups.get(key) ?? { ports, endpoints: new Map<string, Endpoint>() };
    let room = maxPerSubset;
    const take = (list: readonly EndpointAddress[] | undefined, ready: boolean): void => {
      for (const address of list ?? []) {
        const ip = parseIp(address.ip);
        if (ip === undefined || ip.includes(":") !== (family === "IPv6") || room-- <= 0) continue;
        group.endpoints.set(ip, endpointOf(address, ip, ready));
      }
    };
    take(subset.addresses, true);
    take(subset.notReadyAddresses, false);
    if (group.endpoints.size > 0) groups.set(key, group);
  }
  return [...groups.values()];
}

function portOf(p: SubsetPort): EndpointPort {
  const appProtocol = p.appProtocol === undefined ? {} : { appProtocol: p.appProtocol };
  return { name: p.name ?? "", port: p.port, protocol: p.protocol ?? "TCP", ...appProtocol };
}

function endpointOf(a: EndpointAddress, ip: string, ready: boolean): Endpoint {
  return {
    addresses: [ip],
    conditions: { ready },
    ...(a.hostname === undefined || a.hostname === "" ? {} : { hostname: a.hostname }),
    ...(a.targetRef === undefined ? {} : { targetRef: a.targetRef }),
    ...(a.nodeName === undefined || a.nodeName === "" ? {} : { nodeName: a.nodeName }),
  };
}
