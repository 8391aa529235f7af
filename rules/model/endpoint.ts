import type { EndpointSlice } from "../../src/api/types/discovery-v1.generated.ts";
import { compareIp, type Ip, type IpFamily, ipFamily, isPort, parseIp } from "../../src/base/ip.ts";
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
}

/**
 * The endpoints of one Service in one family, sorted by address and port. Absent conditions mean ready, serving and not
 * terminating. Only an endpoint's first address counts; ports without a name or number are skipped, as kube-proxy does.
 */
export function endpointsOfSlices(
  slices: Iterable<EndpointSlice>,
  options: EndpointOptions,
): { readonly byPort: EndpointsByPort; readonly problems: readonly Problem[] } {
  const found = new Map<string, Map<string, Endpoint>>();
  const problems: Problem[] = [];
  for (const slice of slices) {
    if (slice.addressType !== (options.family === 4 ? "IPv4" : "IPv6")) continue;
    if (slice.metadata?.labels?.[headlessLabel] !== undefined) continue;
    const refuse = (field: string, reason: string, message: string): void => {
      const { namespace = "", name = "" } = slice.metadata ?? {};
      problems.push({ object: { kind: "EndpointSlice", namespace, name }, field, reason, message });
    };
    const addresses: Omit<Endpoint, "port">[] = [];
    for (const [i, endpoint] of (slice.endpoints ?? []).entries()) {
      const text = endpoint.addresses?.[0] ?? "";
      const ip = parseIp(text);
      const field = `endpoints[${i}].addresses[0]`;
      if (ip === undefined || ipFamily(ip) !== options.family) {
        refuse(field, "AddressInvalid", `"${text}" is no ${slice.addressType} address; the endpoint gets no traffic`);
      } else if (isForbidden(ip, options.plain)) {
        refuse(
          field,
          "AddressForbidden",
          `${ip} is a loopback, link-local, multicast or unspecified address; the endpoint gets no traffic`,
        );
      } else {
        const { ready, serving, terminating } = endpoint.conditions ?? {};
        addresses.push({
          ip,
          ready: ready ?? true,
          serving: serving ?? true,
          terminating: terminating ?? false,
          local: endpoint.nodeName !== undefined && endpoint.nodeName === options.nodeName,
          zoneHints: endpoint.hints?.forZones?.map((z) => z.name) ?? noHints,
          nodeHints: endpoint.hints?.forNodes?.map((n) => n.name) ?? noHints,
        });
      }
    }
    for (const [i, port] of (slice.ports ?? []).entries()) {
      const protocol = parseProtocol(port.protocol);
      if (port.name === undefined) {
        refuse(`ports[${i}].name`, "PortUnnamed", "a port without a name (the empty name is one) serves no Service port");
        continue;
      }
      if (protocol === undefined || port.port === undefined || port.port === 0) continue;
      if (!isPort(port.port)) {
        refuse(`ports[${i}].port`, "PortInvalid", `${port.port} is no port from 1 to 65535; its endpoints get no traffic`);
        continue;
      }
      const key = endpointPortKey(port.name, protocol);
      let endpoints = found.get(key);
      if (endpoints === undefined) {
        endpoints = new Map();
        found.set(key, endpoints);
      }
      for (const a of addresses) {
        const id = `${a.ip} ${port.port}`;
        const other = endpoints.get(id);
        // the same address and port in two slices, while it moves between them: the one that is not terminating wins
        if (other !== undefined && !(other.terminating && !a.terminating)) continue;
        endpoints.set(id, { ...a, port: port.port });
      }
    }
  }
  const byPort = new Map<string, readonly Endpoint[]>();
  for (const [key, endpoints] of found) byPort.set(key, [...endpoints.values()].sort(compareEndpoints));
  return { byPort, problems };
}

export function compareEndpoints(a: { readonly ip: Ip; readonly port: number }, b: { readonly ip: Ip; readonly port: number }): number {
  return compareIp(a.ip, b.ip) || a.port - b.port;
}

/** Loopback, link-local (with the metadata service), multicast, unspecified: a Service must not be a way to reach them. */
export function isForbidden(ip: Ip, allowPlain: boolean): boolean {
  if (ipFamily(ip) === 6) return ip === "::" || ip === "::1" || /^(fe[89ab]|ff)/.test(ip) || ip.startsWith("::ffff:");
  const dot = ip.indexOf(".");
  const first = Number(ip.slice(0, dot));
  const second = Number(ip.slice(dot + 1, ip.indexOf(".", dot + 1)));
  if (first === 127) return !(allowPlain && second >= 64 && second < 128);
  return first === 0 || (first === 169 && second === 254) || first >= 224;
}
