import type { Cidr } from "../../src/base/cidr.ts";
import type { Ip } from "../../src/base/ip.ts";
import type { RateLimitConfig } from "./rate-config.ts";
import type { HttpsConfig, TlsConfig } from "./tls-config.ts";
import type { TransferConfig } from "./transfer-config.ts";
import { validateZones, type ZonesConfig } from "./zone-config.ts";

/** An address and port, UDP and TCP. */
export interface DnsAddress {
  readonly ip: Ip;
  /** To listen on: 0 = any free port. */
  readonly port: number;
}

/** What a name server does; where a default is named, absent means that. */
export interface DnsConfig extends ZonesConfig {
  /** Clients that get recursion; default all. The cluster's own names are for everyone. */
  readonly allowedClients?: readonly Cidr[];
  /** Who is asked for other names: a list (empty: nobody, they are refused), or a resolv.conf; default `/etc/resolv.conf`. */
  readonly upstreams?: readonly DnsAddress[] | { readonly resolvConf: string };
  readonly forward?: {
    /** Default random. */
    readonly policy?: "random" | "round_robin" | "sequential";
    /** Milliseconds for one try; default 2000. */
    readonly tryTimeout?: number;
    /** Milliseconds for all tries; default 5000. */
    readonly timeout?: number;
    readonly maxConcurrent?: number;
    /** Milliseconds between looks at a dead upstream; default 500. */
    readonly checkInterval?: number;
    readonly forceTcp?: true;
  };
  /** Of forwarded answers; `false` keeps none. */
  readonly cache?:
    | false
    | {
        readonly entries?: number;
        readonly successSeconds?: number;
        readonly denialSeconds?: number;
        readonly staleSeconds?: number;
      };
  /** Who may have whole zones; default nobody. */
  readonly transfer?: readonly TransferConfig[];
  /** The largest UDP answer, 512 to 4096; default 1232 (DNS flag day 2020). */
  readonly udpBytes?: number;
  /** Server cookies (RFC 9018): with a secret of 32 hexadecimal digits where several servers share an address; `false` gives none. */
  readonly cookies?: false | { readonly secret?: string };
  /** What NSID says; not offered when absent. */
  readonly nsid?: string;
  /** DNS over TLS (RFC 7858) and over HTTPS (RFC 8484). */
  readonly tls?: readonly TlsConfig[];
  readonly https?: readonly HttpsConfig[];
  /** Proxies whose word about a client is taken: PROXY protocol, versions 1 and 2, over TCP, TLS and HTTPS, version 2 over UDP. */
  readonly proxyProtocol?: readonly Cidr[];
  /** Of answers over UDP; default none, since the clients of a cluster are its own. */
  readonly rateLimit?: RateLimitConfig;
  /** Queries of one client that may wait for the chain at once; default 1000. */
  readonly queriesPerClient?: number;
  readonly tcp?: {
    /** Milliseconds without a query after which a connection is closed; default 10000. */
    readonly idle?: number;
    readonly connections?: number;
    readonly connectionsPerClient?: number;
    /** Queries of one connection that may wait at once. */
    readonly pipelined?: number;
  };
}

/** Says what is wrong, each with the field and what would be right; empty when all is well. */
export function validateDnsConfig(config: DnsConfig): readonly string[] {
  const wrong: string[] = [...validateZones(config)];
  const { udpBytes, cookies } = config;
  if (udpBytes !== undefined && !(Number.isInteger(udpBytes) && udpBytes >= 512 && udpBytes <= 4096))
    wrong.push(`udpBytes: ${udpBytes} is not from 512 to 4096`);
  if (cookies !== undefined && cookies !== false && cookies.secret !== undefined && !/^[0-9a-fA-F]{32}$/.test(cookies.secret))
    wrong.push("cookies.secret: is not 32 hexadecimal digits");
  if (Array.isArray(config.upstreams)) {
    for (const [i, { port }] of config.upstreams.entries()) {
      if (!(Number.isInteger(port) && port >= 1 && port <= 65535)) wrong.push(`upstreams[${i}].port: ${port} is not from 1 to 65535`);
    }
  }
  return wrong;
}
