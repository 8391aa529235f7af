import { type FieldError, invalid } from "../../api/field-error.ts";
import type { Draft } from "../../api/json-value.ts";
import type { Service, ServicePort, ServiceSpec } from "../../api/types/core-v1.generated.ts";
import type { Cidr } from "../../base/cidr.ts";
import { type Ip, ipFamily, parseIp } from "../../base/ip.ts";
import { IpAllocator } from "./ip-allocator.ts";
import { familyName, fillFamilies, isHeadless, needsClusterIps } from "./ip-families.ts";
import { PortAllocator, type PortRange } from "./port-allocator.ts";

/** What one write has taken: to be settled once the store has answered. */
export interface Allocation {
  readonly errors: readonly FieldError[];
  /** The write is done: what the Service no longer has is free. */
  done(): void;
  /** The write failed: what was newly taken is free. */
  undo(): void;
}

/** One Service that takes what it needs; `before` is what it had. */
interface Taking {
  readonly key: string;
  readonly spec: Draft<ServiceSpec>;
  readonly before: readonly Held[];
  readonly taken: Held[];
  readonly errors: FieldError[];
}

/** A cluster IP, node port or health check port that a Service holds. */
type Held = { readonly kind: "ip"; readonly ip: Ip } | { readonly kind: "port"; readonly port: number };

/**
 * Cluster IPs and node ports. All in memory and synchronous, so two requests never get the same; what is held is
 * learned at start from the Services themselves, which alone are stored.
 */
export class ServiceAddresses {
  readonly #ranges: readonly IpAllocator[];
  readonly #ports: PortAllocator;

  /** One range a family; the first is the primary one. */
  constructor(options: { readonly cidrs: readonly Cidr[]; readonly nodePorts: PortRange; readonly random: () => number }) {
    this.#ranges = options.cidrs.map((cidr) => new IpAllocator(cidr, options.random));
    this.#ports = new PortAllocator(options.nodePorts, options.random);
  }

  /** Marks what a stored Service holds; says what somebody else holds already. */
  adopt(key: string, service: Service): readonly string[] {
    return heldBy(service).flatMap((held) => {
      const why = held.kind === "ip" ? this.#rangeOf(held.ip)?.take(held.ip, key) : this.#ports.take(held.port, key);
      return why === undefined ? [] : [`Service ${key}: ${held.kind === "ip" ? held.ip : `node port ${held.port}`}: ${why}`];
    });
  }

  /** Fills in families, cluster IPs and node ports of a Service about to be written; `old` is what it replaces. */
  allocate(key: string, service: Draft<Service>, old: Service | undefined): Allocation {
    const taken: Held[] = [];
    const before = old === undefined ? [] : heldBy(old);
    const errors: FieldError[] = [];
    const spec = service.spec;
    if (spec !== undefined) {
      errors.push(
        ...fillFamilies(
          service,
          old,
          this.#ranges.map((r) => familyName(r.cidr.family)),
        ),
      );
      if (errors.length === 0) this.#takeIps({ key, spec, before, taken, errors });
      if (errors.length === 0) this.#takePorts({ key, spec, before, taken, errors });
    }
    const fresh = taken.filter((t) => !before.some((b) => equal(t, b)));
    const undo = (): void => this.#free(key, fresh);
    if (errors.length > 0) undo();
    return {
      errors,
      undo,
      done: () => {
        const now = heldBy(service as Service);
        this.#free(
          key,
          before.filter((b) => !now.some((n) => equal(n, b))),
        );
      },
    };
  }

  /** For a Service that is gone. */
  release(key: string, service: Service): void {
    this.#free(key, heldBy(service));
  }

  #takeIps({ key, spec, before, taken, errors }: Taking): void {
    if (isHeadless(spec)) {
      spec.clusterIP = "None";
      spec.clusterIPs = ["None"];
    }
    if (!needsClusterIps(spec)) return;
    const ips: string[] = (spec.clusterIPs ?? []).filter((ip) => ip !== "");
    for (const [i, family] of (spec.ipFamilies ?? []).entries()) {
      const range = this.#ranges.find((r) => familyName(r.cidr.family) === family);
      const asked = ips[i] === undefined ? undefined : (parseIp(ips[i]) ?? ips[i]);
      const ip = asked ?? range?.takeAny(key);
      // What it has it keeps, also when the range has been changed since.
      const kept = before.some((b) => b.kind === "ip" && b.ip === asked);
      const refused = range === undefined || asked === undefined ? undefined : range.take(asked, key);
      const why = range === undefined || ip === undefined ? "range is full" : kept ? undefined : refused;
      if (ip === undefined || why !== undefined) {
        const shown = spec.clusterIPs ?? [];
        errors.push(
          invalid(
            "spec.clusterIPs",
            shown,
            asked === undefined ? `failed to allocate a serviceIP: ${why}` : `failed to allocate IP ${asked}: ${why}`,
          ),
        );
        return;
      }
      taken.push({ kind: "ip", ip });
      ips[i] = ip;
    }
    spec.clusterIPs = ips;
    spec.clusterIP = ips[0] ?? "";
  }

  #takePorts({ key, spec, before, taken, errors }: Taking): void {
    const take = (asked: number, field: string): number => {
      const port = asked === 0 ? this.#ports.takeAny(key) : asked;
      const kept = before.some((b) => b.kind === "port" && b.port === asked);
      const refused = port === undefined ? "range is full" : this.#ports.take(port, key);
      const why = kept ? undefined : refused;
      if (port === undefined || why !== undefined)
        errors.push(invalid(field, asked, port === undefined ? `failed to allocate a nodePort: ${why}` : why));
      else taken.push({ kind: "port", port });
      return port ?? 0;
    };
    if (hasNodePorts(spec)) {
      // Asked ones first: none of them may go to a port that asked for any.
      const ports = spec.ports ?? [];
      const place = (p: Draft<ServicePort>): string => `spec.ports[${ports.indexOf(p)}].nodePort`;
      for (const port of ports) if ((port.nodePort ?? 0) !== 0) port.nodePort = take(port.nodePort ?? 0, place(port));
      for (const port of ports) {
        if ((port.nodePort ?? 0) !== 0) continue;
        // TCP and UDP of one number, DNS for example, share their node port.
        const twin = ports.find((p) => p !== port && p.port === port.port && p.protocol !== port.protocol && (p.nodePort ?? 0) !== 0);
        port.nodePort = twin?.nodePort ?? take(0, place(port));
      }
    } else if (spec.type === "LoadBalancer") {
      for (const port of spec.ports ?? []) if ((port.nodePort ?? 0) !== 0) port.nodePort = take(port.nodePort ?? 0, "spec.ports");
    }
    if (needsHealthPort(spec)) spec.healthCheckNodePort = take(spec.healthCheckNodePort ?? 0, "spec.healthCheckNodePort");
  }

  #free(key: string, held: readonly Held[]): void {
    for (const one of held) {
      if (one.kind === "port") this.#ports.release(one.port, key);
      else this.#rangeOf(one.ip)?.release(one.ip, key);
    }
  }

  #rangeOf(ip: Ip): IpAllocator | undefined {
    return this.#ranges.find((r) => r.cidr.family === ipFamily(ip));
  }
}

export function hasNodePorts(spec: ServiceSpec): boolean {
  return spec.type === "NodePort" || (spec.type === "LoadBalancer" && spec.allocateLoadBalancerNodePorts !== false);
}

export function needsHealthPort(spec: ServiceSpec): boolean {
  return spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local";
}

function heldBy(service: Service): Held[] {
  const spec = service.spec ?? {};
  if (spec.type === "ExternalName") return [];
  const ips = (spec.clusterIPs ?? [spec.clusterIP ?? ""]).flatMap((text) => parseIp(text) ?? []);
  const ports = [...(spec.ports ?? []).map((p) => p.nodePort ?? 0), spec.healthCheckNodePort ?? 0].filter((p) => p !== 0);
  return [...ips.map((ip) => ({ kind: "ip" as const, ip })), ...ports.map((port) => ({ kind: "port" as const, port }))];
}

function equal(a: Held, b: Held): boolean {
  return a.kind === "ip" ? b.kind === "ip" && a.ip === b.ip : b.kind === "port" && a.port === b.port;
}
