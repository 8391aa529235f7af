import { semanticEqual } from "../../api/json-value.ts";
import type { LoadBalancerIngress, Service } from "../../api/types/core-v1.generated.ts";
import { type Cidr, cidrAt, cidrContains, cidrSize, printCidr } from "../../base/cidr.ts";
import { type Ip, ipFamily, parseIp } from "../../base/ip.ts";
import { resources } from "../../client/resources.ts";
import { nothingToDo, type Outcome, type Write } from "../outcome.ts";
import { referenceTo } from "../owner.ts";
import { familiesOf } from "../service-pods.ts";

/** The class that means this controller by name; Services without a class are its own, too, all others somebody else's. */
export const loadBalancerClass = "fairway.dev/pool";

export function isOurs(service: Service): boolean {
  const { type, loadBalancerClass: wanted } = service.spec ?? {};
  return type === "LoadBalancer" && (wanted === undefined || wanted === "" || wanted === loadBalancerClass);
}

/** The addresses a Service's status holds. */
export function addressesOf(service: Service): readonly Ip[] {
  return (service.status?.loadBalancer?.ingress ?? []).map((i) => parseIp(i.ip ?? "")).filter((ip) => ip !== undefined);
}

interface Choice {
  readonly ip?: Ip;
  readonly problem?: { readonly reason: string; readonly message: string };
}

/**
 * Gives a LoadBalancer Service one address of the pool for each family the pool has, keeps what it has for as long as
 * that is in the pool and nobody older has it, and takes back what it no longer wants.
 */
export function reconcileLoadBalancer(service: Service, others: readonly Service[], pool: readonly Cidr[]): Outcome {
  if (!isOurs(service)) return release(service, pool);
  const taken = new Map<Ip, Service>();
  for (const other of others) {
    if (!isOurs(other)) continue;
    for (const ip of addressesOf(other)) if (!taken.has(ip) || isOlder(other, taken.get(ip))) taken.set(ip, other);
  }
  const held = addressesOf(service).filter((ip) => inPool(pool, ip) && !isOlder(taken.get(ip), service));
  const families = familiesOf(service).map((f) => (f === "IPv6" ? 6 : 4));
  const requested = service.spec?.loadBalancerIP ?? "";
  const ingress: LoadBalancerIngress[] = [];
  const writes: Write[] = [];
  for (const family of families) {
    const ranges = pool.filter((c) => c.family === family);
    if (ranges.length === 0 && families.length > 1) continue;
    const choice = choose({ service, family, ranges, taken, held: held.find((ip) => ipFamily(ip) === family), requested });
    if (choice.ip !== undefined) ingress.push({ ip: choice.ip, ipMode: "VIP" });
    if (choice.problem !== undefined) {
      writes.push({ kind: "event", note: { regarding: referenceTo(resources.services, service), type: "Warning", ...choice.problem } });
    }
  }
  if (!semanticEqual(service.status?.loadBalancer?.ingress, ingress)) {
    writes.unshift(statusWrite(service, ingress));
    if (ingress.length > 0) {
      const message = `Assigned ${ingress.map((i) => i.ip).join(", ")}`;
      const note = { regarding: referenceTo(resources.services, service), type: "Normal" as const, reason: "AddressAssigned", message };
      writes.splice(1, 0, { kind: "event", note });
    }
  }
  return { writes };
}

function choose(o: {
  readonly service: Service;
  readonly family: 4 | 6;
  readonly ranges: readonly Cidr[];
  readonly taken: ReadonlyMap<Ip, Service>;
  readonly held: Ip | undefined;
  readonly requested: string;
}): Choice {
  const wanted = parseIp(o.requested);
  if (o.requested !== "" && wanted === undefined) {
    return { problem: { reason: "AddressInvalid", message: `spec.loadBalancerIP ${o.requested} is no IP address` } };
  }
  if (wanted !== undefined && ipFamily(wanted) === o.family) {
    const owner = o.taken.get(wanted);
    if (!inPool(o.ranges, wanted)) {
      const message = `spec.loadBalancerIP ${wanted} is not in the pool ${o.ranges.map(printCidr).join(", ") || "(empty)"}`;
      return { problem: { reason: "AddressNotInPool", message } };
    }
    if (owner !== undefined && o.held !== wanted) {
      const name = `${owner.metadata?.namespace}/${owner.metadata?.name}`;
      return { problem: { reason: "AddressInUse", message: `spec.loadBalancerIP ${wanted} is used by Service ${name}` } };
    }
    return { ip: wanted };
  }
  if (o.held !== undefined) return { ip: o.held };
  const free = freeAddress(o.ranges, o.taken);
  if (free !== undefined) return { ip: free };
  const pool = o.ranges.map(printCidr).join(", ");
  const message =
    pool === "" ? `the pool has no IPv${o.family} range` : `no free address in the pool ${pool}: release one or widen the pool`;
  return { problem: { reason: "AddressPoolExhausted", message } };
}

function release(service: Service, pool: readonly Cidr[]): Outcome {
  const held = addressesOf(service);
  // Only what came from here is taken back: the status of another class is that controller's.
  if (service.spec?.type === "LoadBalancer" || held.length === 0) return nothingToDo;
  return held.every((ip) => inPool(pool, ip)) ? { writes: [statusWrite(service, [])] } : nothingToDo;
}

function statusWrite(service: Service, ingress: readonly LoadBalancerIngress[]): Write {
  const loadBalancer = ingress.length === 0 ? {} : { ingress };
  return {
    kind: "update",
    of: resources.services,
    subresource: "status",
    object: { ...service, status: { ...service.status, loadBalancer } } as Service,
  };
}

function isOlder(a: Service | undefined, b: Service | undefined): boolean {
  if (a === undefined || b === undefined) return a !== undefined;
  const x = a.metadata?.creationTimestamp ?? "";
  const y = b.metadata?.creationTimestamp ?? "";
  return x === y ? (a.metadata?.uid ?? "") < (b.metadata?.uid ?? "") : x < y;
}

function inPool(pool: readonly Cidr[], ip: Ip): boolean {
  return pool.some((c) => cidrContains(c, ip) && isUsable(c, ip));
}

/** Some hosts drop traffic to IPv4 addresses that end in 0 or 255; they are taken only from ranges of one or two. */
function isUsable(c: Cidr, ip: Ip): boolean {
  return c.family === 6 || c.bits >= 31 || !/\.(0|255)$/.test(ip);
}

function freeAddress(ranges: readonly Cidr[], taken: ReadonlyMap<Ip, Service>): Ip | undefined {
  for (const range of ranges) {
    const size = cidrSize(range);
    for (let i = 0n; i < size; i++) {
      const ip = cidrAt(range, i);
      if (!taken.has(ip) && isUsable(range, ip)) return ip;
    }
  }
  return undefined;
}
