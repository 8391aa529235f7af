import type { EndpointSlice } from "../../src/api/types/discovery-v1.generated.ts";
import { compareIp, type Ip, type IpFamily, ipFamily, ipv4Number, isPort, parseIp } from "../../src/base/ip.ts";
import type { Problem } from "../../src/snapshot/problem.ts";
import { type Protocol, parseProtocol } from "./service-port.ts";

/** One address and port that may serve a ServicePort, with what decides whether it may be used. */
export interface Endpoint {
  readonly ip: Ip;
  readonly port: number;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** On the node the rules are for. */
  readonly local: boolean;
  readonly zoneHints: readonly string[];
  readonly nodeHints: readonly string[];
  /** Where they are asked for: its pod, host name, node and `zone:ZONE`, as far as it has them. */
  readonly names?: readonly string[];
}

/** Endpoints by `port name/protocol`; see `endpointPortKey`. */
export type EndpointsByPort = ReadonlyMap<string, readonly Endpoint[]>;

export function endpointPortKey(port: string, protocol: Protocol): string {
  return `${port}/${protocol}`;
}

const noHints: readonly string[] = [];

/** Slices that carry this label are for headless Services: no rules come of them. */
const headlessLabel = "service.kubernetes.io/headless";

export interface EndpointOptions {
  readonly family: IpFamily;
  readonly nodeName: string;
  /** Plain mode: endpoints may be in 127.64.0.0/10. */
  readonly plain: boolean;
  /** Endpoints are to have their names. */
  readonly named?: boolean;
}

/**
 * The endpoints of one Service in one family, sorted by address and port. Absent conditions mean ready, serving and not
 * terminating. Only an endpoint's first address counts; ports without a name or number are skipped, as kube-proxy does.
 */
export function endpointsOfSlices(
  slices: Iterable<EndpointSlice>,
  options: EndpointOptions,
): { readonly byPort: EndpointsByPort; readonly problems: readonly Problem[] } {
  const found = new Map<string, Endpoint[]>();
  const problems: Problem[] = [];
  for (const slice of slices) {
    if (slice.addressType !== (options.family === 4 ? "IPv4" : "IPv6")) continue;
    if (slice.metadata?.labels?.[headlessLabel] !== undefined) continue;
    const endpoints = slice.endpoints ?? [];
    const usable: SliceEndpoint[] = [];
    for (let i = 0; i < endpoints.length; i++) {
      const endpoint = endpoints[i];
      const text = endpoint?.addresses?.[0] ?? "";
      const ip = parseIp(text);
      if (endpoint === undefined || ip === undefined || ipFamily(ip) !== options.family) {
        const message = `"${text}" is no ${slice.addressType} address; the endpoint gets no traffic`;
        problems.push(refusal(slice, `endpoints[${i}].addresses[0]`, "AddressInvalid", message));
      } else if (isForbidden(ip, options.plain)) {
        const message = `${ip} is a loopback, link-local, multicast or unspecified address; the endpoint gets no traffic`;
        problems.push(refusal(slice, `endpoints[${i}].addresses[0]`, "AddressForbidden", message));
      } else usable.push(endpoint);
    }
    const ports = slice.ports ?? [];
    for (let i = 0; i < ports.length; i++) {
      const port = ports[i] ?? {};
      const protocol = parseProtocol(port.protocol);
      if (port.name === undefined) {
        const message = "a port without a name (the empty name is one) serves no Service port";
        problems.push(refusal(slice, `ports[${i}].name`, "PortUnnamed", message));
        continue;
      }
      if (protocol === undefined || port.port === undefined || port.port === 0) continue;
      if (!isPort(port.port)) {
        const message = `${port.port} is no port from 1 to 65535; its endpoints get no traffic`;
        problems.push(refusal(slice, `ports[${i}].port`, "PortInvalid", message));
        continue;
      }
      const key = endpointPortKey(port.name, protocol);
      const made: Endpoint[] = found.get(key) ?? [];
      if (made.length === 0) found.set(key, made);
      for (const endpoint of usable) made.push(endpointOf(port.port, endpoint, options));
    }
  }
  for (const [key, endpoints] of found) if (!areSorted(endpoints)) found.set(key, distinct(endpoints.sort(compareEndpoints)));
  return { byPort: found, problems };
}

type SliceEndpoint = Partial<NonNullable<EndpointSlice["endpoints"]>[number]>;

function endpointOf(port: number, of: SliceEndpoint, options: EndpointOptions): Endpoint {
  const { conditions, hints, nodeName } = of;
  const text = of.addresses?.[0] ?? "";
  return {
    // a dotted quad that parsed is canonical as it stands
    ip: text.includes(":") ? (parseIp(text) ?? text) : text,
    port,
    ready: conditions?.ready ?? true,
    serving: conditions?.serving ?? true,
    terminating: conditions?.terminating ?? false,
    local: nodeName !== undefined && nodeName === options.nodeName,
    zoneHints: hints?.forZones?.map((z) => z.name) ?? noHints,
    nodeHints: hints?.forNodes?.map((n) => n.name) ?? noHints,
    ...(options.named === true ? { names: namesOf(of) } : {}),
  };
}

function namesOf({ targetRef, hostname, nodeName, zone }: SliceEndpoint): readonly string[] {
  return [targetRef?.name, hostname, nodeName, zone === undefined ? undefined : `zone:${zone}`].filter((n) => n !== undefined);
}

function refusal(slice: EndpointSlice, field: string, reason: string, message: string): Problem {
  const { namespace = "", name = "" } = slice.metadata ?? {};
  return { object: { kind: "EndpointSlice", namespace, name }, field, reason, message };
}

/** Sorted without an equal pair, as most controllers write them: then nothing more is to do. */
function areSorted(endpoints: readonly Endpoint[]): boolean {
  for (let i = 1; i < endpoints.length; i++) {
    const [a, b] = [endpoints[i - 1], endpoints[i]];
    if (a !== undefined && b !== undefined && compareEndpoints(a, b) >= 0) return false;
  }
  return true;
}

/**
 * The same address and port in two slices, while it moves between them: the one that is not terminating wins, then the one
 * that is ready, so that it does not depend on which slice came first.
 */
function distinct(sorted: readonly Endpoint[]): Endpoint[] {
  const kept: Endpoint[] = [];
  for (const endpoint of sorted) {
    const last = kept.at(-1);
    if (last === undefined || compareEndpoints(last, endpoint) !== 0) kept.push(endpoint);
    else if (standing(endpoint) > standing(last)) kept[kept.length - 1] = endpoint;
  }
  return kept;
}

function standing(e: Endpoint): number {
  return (e.terminating ? 0 : 4) + (e.ready ? 2 : 0) + (e.serving ? 1 : 0);
}

export function compareEndpoints(a: { readonly ip: Ip; readonly port: number }, b: { readonly ip: Ip; readonly port: number }): number {
  return compareIp(a.ip, b.ip) || a.port - b.port;
}

/** Loopback, link-local (with the metadata service), multicast, unspecified: a Service must not be a way to reach them. */
export function isForbidden(ip: Ip, allowPlain: boolean): boolean {
  if (ipFamily(ip) === 6) return ip === "::" || ip === "::1" || /^(fe[89ab]|ff)/.test(ip) || ip.startsWith("::ffff:");
  const number = ipv4Number(ip) ?? 0;
  const first = number >>> 24;
  const second = (number >>> 16) & 255;
  if (first === 127) return !(allowPlain && second >= 64 && second < 128);
  return first === 0 || (first === 169 && second === 254) || first >= 224;
}
