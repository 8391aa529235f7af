import type { Service } from "../api/types/core-v1.generated.ts";
import type { EndpointSlice } from "../api/types/discovery-v1.generated.ts";
import { type Ip, ipFamily, parseIp } from "../base/ip.ts";
import type { Running } from "../base/running.ts";
import { type Informer, startInformer } from "../client/informer.ts";
import { resources } from "../client/resources.ts";
import type { Transport } from "../client/transport.ts";
import { objectKey } from "../snapshot/cluster-snapshot.ts";

/**
 * Which node gets the traffic to each LoadBalancer address, as a load balancer before the cluster would choose: with
 * `externalTrafficPolicy: Local` one that has an endpoint. Addresses that any node serves are not named, nor those that no
 * node does. `now` is what was answered before: who was chosen stays chosen for as long as it has a ready endpoint.
 */
export function chooseNodes(
  services: Iterable<Service>,
  slicesOf: (service: Service) => Iterable<EndpointSlice>,
  now: ReadonlyMap<Ip, string>,
): ReadonlyMap<Ip, string> {
  const chosen = new Map<Ip, string>();
  for (const service of services) {
    if (!isLocal(service)) continue;
    const slices = [...slicesOf(service)];
    for (const { ip: text } of service.status?.loadBalancer?.ingress ?? []) {
      const ip = parseIp(text ?? "");
      if (ip === undefined) continue;
      const { ready, leaving } = nodesWithEndpoints(slices.filter((s) => s.addressType === `IPv${ipFamily(ip)}`));
      const candidates = ready.size > 0 ? ready : leaving;
      const held = now.get(ip);
      const node = held !== undefined && candidates.has(held) ? held : [...candidates].sort(byText)[0];
      if (node !== undefined) chosen.set(ip, node);
    }
  }
  return chosen;
}

/** Keeps `apply` told of what `chooseNodes` says. A failed `apply` is tried again at the next change. */
export function startLoadBalancerRoutes(transport: Transport, apply: (nodes: ReadonlyMap<Ip, string>) => Promise<void>): Running {
  const slices = new Map<string, Informer<EndpointSlice>>();
  const closing: Promise<void>[] = [];
  let now: ReadonlyMap<Ip, string> = new Map();
  let closed = false;
  const services = startInformer(transport, resources.services, { fieldSelector: "spec.type=LoadBalancer" });

  const update = (): void => {
    if (closed) return;
    const next = chooseNodes(services.list(), (s) => slices.get(objectKey(s))?.list() ?? [], now);
    if (next.size === now.size && [...next].every(([ip, node]) => now.get(ip) === node)) return;
    const before = now;
    now = next;
    apply(next).catch(() => {
      if (now === next) now = before;
    });
  };
  services.onChange(({ key, after }) => {
    const known = slices.get(key);
    if (after !== undefined && isLocal(after) && known === undefined) {
      // Of these Services only: all slices of a large cluster are nobody's business here.
      const { namespace, name } = after.metadata ?? {};
      const informer = startInformer(transport, resources.endpointSlices, {
        namespace,
        labelSelector: `kubernetes.io/service-name=${name}`,
      });
      informer.onChange(update);
      slices.set(key, informer);
    } else if (known !== undefined && (after === undefined || !isLocal(after))) {
      slices.delete(key);
      closing.push(known.close());
    }
    update();
  });
  return {
    ready: services.ready,
    close: async () => {
      closed = true;
      await Promise.all([services.close(), ...[...slices.values()].map((i) => i.close()), ...closing]);
    },
  };
}

function isLocal(service: Service): boolean {
  return service.spec?.type === "LoadBalancer" && service.spec.externalTrafficPolicy === "Local";
}

function nodesWithEndpoints(slices: readonly EndpointSlice[]): {
  readonly ready: ReadonlySet<string>;
  readonly leaving: ReadonlySet<string>;
} {
  const ready = new Set<string>();
  const leaving = new Set<string>();
  for (const { nodeName, conditions } of slices.flatMap((s) => s.endpoints ?? [])) {
    if (nodeName === undefined) continue;
    if (conditions?.ready !== false) ready.add(nodeName);
    else if (conditions.serving === true) leaving.add(nodeName);
  }
  return { ready, leaving };
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
