import type { Endpoint, EndpointSlice } from "../../src/api/types/discovery-v1.generated.ts";
import { type Cidr, cidrContains, parseCidr } from "../../src/base/cidr.ts";
import { compareIp, type Ip, isPort, parseIp } from "../../src/base/ip.ts";
import type { ObjectKey, Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import type { Compiled, Problem } from "../../src/snapshot/problem.ts";
import type { Pool, PoolEndpoint, PoolId } from "../route/route.ts";
import { poolWishes } from "./pool-wishes.ts";

/** Ends the id of a pool whose one endpoint is the Service's own address. */
const byAddress = "@service";
/** Ends the id of a pool of datagrams. */
const overUdp = "@udp";

/** `namespace/name:port`, the port by name or number, as backends name it. */
export function poolId(service: ObjectKey, port: string | number, o: { readonly serviceUpstream: boolean }): PoolId {
  return `${service}:${port}${o.serviceUpstream ? byAddress : ""}`;
}

/** The pool of a port that takes connections or datagrams as they are. */
export function streamPoolId(service: ObjectKey, port: string, protocol: "tcp" | "udp"): PoolId {
  return `${service}:${port}${protocol === "udp" ? overUdp : ""}`;
}

export function serviceOfPool(id: PoolId): ObjectKey {
  return id.slice(0, id.lastIndexOf(":"));
}

/**
 * The endpoints of one Service port: the ready ones; when none is ready, those that still serve while they terminate, as
 * kube-proxy has it. `undefined` when there is no such Service or port.
 */
export function compilePool(snapshot: Snapshot, id: PoolId, allowed: readonly Cidr[]): Compiled<Pool | undefined> {
  const key = serviceOfPool(id);
  const viaService = id.endsWith(byAddress);
  const udp = id.endsWith(overUdp);
  const wanted = id.slice(key.length + 1, viaService ? -byAddress.length : udp ? -overUdp.length : undefined);
  const service = snapshot.tables.Service.get(key);
  const protocol = udp ? "UDP" : "TCP";
  const ports = service?.spec?.ports?.filter((p) => (p.protocol ?? "TCP") === protocol) ?? [];
  const port = ports.find((p) => p.name === wanted || String(p.port) === wanted);
  if (port === undefined) return { plan: undefined, problems: [] };
  const clusterIp = parseIp(service?.spec?.clusterIP ?? "");
  if (viaService && clusterIp !== undefined)
    return { plan: { id, service: key, port: port.port, endpoints: [{ ip: clusterIp, port: port.port }] }, problems: [] };
  const problems: Problem[] = [];
  const ready = new Map<string, PoolEndpoint>();
  const serving = new Map<string, PoolEndpoint>();
  for (const [sliceKey, slice] of slicesOf(snapshot, key)) {
    const number = portOf(slice, port.name ?? "", protocol);
    if (!isPort(number)) continue;
    for (const [i, endpoint] of (slice.endpoints ?? []).entries()) {
      const list = isReady(endpoint) ? ready : isServing(endpoint) ? serving : undefined;
      const ip = parseIp(endpoint.addresses?.[0] ?? "");
      if (list === undefined || ip === undefined) continue;
      if (isForbidden(ip, allowed)) problems.push(forbidden(sliceKey, i, ip));
      else list.set(`${ip} ${number}`, { ip, port: number, ...zonesOf(endpoint) });
    }
  }
  const chosen = [...(ready.size > 0 ? ready : serving).values()];
  chosen.sort((a, b) => compareIp(a.ip, b.ip) || a.port - b.port);
  const wishes = poolWishes(key, service?.metadata?.annotations ?? {});
  return { plan: { id, service: key, port: port.port, endpoints: chosen, ...wishes.plan }, problems: [...problems, ...wishes.problems] };
}

/** The zones its slice's hints mean it for. */
function zonesOf(endpoint: Endpoint): { readonly zones?: readonly string[] } {
  const zones = endpoint.hints?.forZones?.map((z) => z.name) ?? [];
  return zones.length === 0 ? {} : { zones };
}

/** Of a dual-stack Service those of its first family: each pod once, and over the family the Service prefers. */
function slicesOf(snapshot: Snapshot, key: ObjectKey): readonly (readonly [ObjectKey, EndpointSlice])[] {
  const all = [...(snapshot.slicesByService.get(key) ?? [])];
  const family = snapshot.tables.Service.get(key)?.spec?.ipFamilies?.[0];
  const preferred = all.filter(([, slice]) => slice.addressType === family);
  return preferred.length > 0 ? preferred : all;
}

/** Equal pools make no change: a slice is rewritten more often than its endpoints differ. */
export function samePool(a: Pool, b: Pool): boolean {
  return (
    a.port === b.port &&
    a.endpoints.length === b.endpoints.length &&
    a.endpoints.every((e, i) => sameEndpoint(e, b.endpoints[i])) &&
    a.slowStartSeconds === b.slowStartSeconds &&
    JSON.stringify([a.health, a.limits]) === JSON.stringify([b.health, b.limits])
  );
}

function sameEndpoint(a: PoolEndpoint, b: PoolEndpoint | undefined): boolean {
  return a.ip === b?.ip && a.port === b.port && a.zones?.join() === b.zones?.join();
}

function portOf(slice: EndpointSlice, name: string, protocol: string): number | undefined {
  return slice.ports?.find((p) => (p.name ?? "") === name && (p.protocol ?? "TCP") === protocol)?.port;
}

function isReady(e: Endpoint): boolean {
  return e.conditions?.ready !== false && e.conditions?.terminating !== true;
}

function isServing(e: Endpoint): boolean {
  return e.conditions?.terminating === true && e.conditions.serving === true;
}

/** Loopback, link-local, multicast, unspecified: where an endpoint would reach the node itself instead of a pod. */
const forbiddenRanges = ["127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "0.0.0.0/8", "::1/128", "::/128", "fe80::/10", "ff00::/8"]
  .map(parseCidr)
  .filter((c) => c !== undefined);

function isForbidden(ip: Ip, allowed: readonly Cidr[]): boolean {
  return forbiddenRanges.some((c) => cidrContains(c, ip)) && !allowed.some((c) => cidrContains(c, ip));
}

function forbidden(sliceKey: ObjectKey, i: number, ip: Ip): Problem {
  const slash = sliceKey.indexOf("/");
  return {
    object: { kind: "EndpointSlice", namespace: sliceKey.slice(0, slash), name: sliceKey.slice(slash + 1) },
    field: `endpoints[${i}].addresses[0]`,
    reason: "EndpointNotAllowed",
    message: `${ip} is a loopback, link-local or multicast address: it gets no requests`,
  };
}
