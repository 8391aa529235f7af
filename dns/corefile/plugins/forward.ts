import { type Ip, parseIp } from "../../../src/base/ip.ts";
import type { DomainName } from "../../wire/name.ts";
import { parseRcode } from "../../wire/record-type.ts";
import type { Directive } from "../corefile.ts";
import { readOptions, type Words, wordsOf } from "../words.ts";
import type { BlockContext } from "./block-context.ts";

export type UpstreamScheme = "dns" | "tls" | "https";

/** Who is asked: a server, those that a resolv.conf names, or the addresses that a host's name has at the start. */
export type ForwardTarget =
  | {
      readonly kind: "server";
      readonly scheme: UpstreamScheme;
      readonly ip: Ip;
      readonly port: number;
      readonly serverName?: string;
      readonly path?: string;
    }
  | {
      readonly kind: "host";
      readonly scheme: UpstreamScheme;
      readonly host: DomainName;
      readonly port: number;
      readonly serverName?: string;
      readonly path?: string;
    }
  | { readonly kind: "file"; readonly file: string };

export interface ForwardConfig {
  readonly plugin: "forward";
  readonly from: DomainName;
  readonly except: readonly DomainName[];
  readonly to: readonly ForwardTarget[];
  readonly policy: "random" | "round_robin" | "sequential";
  readonly forceTcp: boolean;
  readonly preferUdp: boolean;
  /** Milliseconds for one try, and for all of a question. */
  readonly tryTimeout: number;
  readonly timeout: number;
  /** Milliseconds an idle connection to an upstream is kept. */
  readonly expire: number;
  /** Milliseconds after which a connection is replaced however busy it is; 0: never. */
  readonly maxAge: number;
  /** Where questions come from; absent: the system's choice. */
  readonly source?: Ip;
  /** Who is asked for the addresses of hosts. */
  readonly resolvers: readonly ForwardTarget[];
  /** Failures after which an upstream is passed over; 0: never. */
  readonly maxFails: number;
  readonly healthCheck: { readonly interval: number; readonly recursionDesired: boolean; readonly domain: DomainName };
  /** 0: as many as come. */
  readonly maxConcurrent: number;
  /** Codes after which the next plugin is asked. */
  readonly next: readonly number[];
  /** The next plugin is asked after an answer without records, too. */
  readonly nextOnNoData: boolean;
  /** Servers that are tried for one question; 0: all, twice. */
  readonly maxAttempts: number;
  readonly dohMethod: "GET" | "POST";
  /** Codes after which the next upstream is asked. */
  readonly failover: readonly number[];
  /** Says SERVFAIL at once while all upstreams are down; else one of them is tried all the same. */
  readonly failFast: boolean;
  /** Letters of the question in random case, which answers must have (draft-vixie-dnsext-dns0x20). Not in CoreDNS. */
  readonly randomCase: boolean;
  readonly tls?: { readonly certFile?: string; readonly keyFile?: string; readonly caFile?: string };
  readonly tlsServerName?: string;
}

const defaultResolvers: readonly ForwardTarget[] = [{ kind: "file", file: "/etc/resolv.conf" }];
const defaultPorts: Readonly<Record<UpstreamScheme, number>> = { dns: 53, tls: 853, https: 443 };

export function readForward(d: Directive, block: BlockContext): ForwardConfig {
  const words = wordsOf(d);
  const [from = "."] = words.zoneOf(words.take("the zone to forward"));
  const to = words.some("an upstream").map((text) => readTarget(text, words, block));
  if (to.length > 15) words.fail(`${to.length} upstreams; 15 is the most`);
  let policy: ForwardConfig["policy"] = "random";
  let forceTcp = false;
  let preferUdp = false;
  let expire = 10_000;
  let maxAge = 0;
  let source: Ip | undefined;
  const resolvers: ForwardTarget[] = [];
  let maxFails = 2;
  let maxConcurrent = 0;
  let failFast = false;
  let randomCase = false;
  let nextOnNoData = false;
  let maxAttempts = 0;
  let tryTimeout = 2000;
  let dohMethod: ForwardConfig["dohMethod"] = "POST";
  let healthCheck: ForwardConfig["healthCheck"] = { interval: 500, recursionDesired: true, domain: "." };
  let tls: ForwardConfig["tls"];
  let tlsServerName: string | undefined;
  const except: DomainName[] = [];
  const next: number[] = [];
  const failover: number[] = [];
  readOptions(d, {
    except: (w) => void except.push(...w.zones()),
    force_tcp: () => void (forceTcp = true),
    prefer_udp: () => void (preferUdp = true),
    expire: (w) => void (expire = w.duration("a time")),
    max_age: (w) => void (maxAge = w.duration("a time")),
    source_address: (w) => void (source = w.ipOf(w.take("an address"))),
    resolver: (w) => {
      for (const text of w.some("an address"))
        resolvers.push({ kind: "server", scheme: "dns", ...(readAddress(text, 53) ?? w.fail(`${text} is not an address`)) });
    },
    max_fails: (w) => void (maxFails = w.integer("a number", 0, 1_000_000)),
    max_concurrent: (w) => void (maxConcurrent = w.integer("a number", 0, 100_000_000)),
    policy: (w) => void (policy = w.choice(["random", "round_robin", "sequential"])),
    failfast_all_unhealthy_upstreams: () => void (failFast = true),
    next_on_nodata: () => void (nextOnNoData = true),
    max_connect_attempts: (w) => void (maxAttempts = w.integer("a number", 0, 1_000_000)),
    // one connection to each upstream is kept, and questions share it
    max_idle_conns: (w) => void w.integer("a number", 0, 1_000_000),
    read_timeout: (w) => {
      tryTimeout = w.duration("a time");
      if (tryTimeout <= 0) w.fail("the time must be longer than nothing");
    },
    doh_method: (w) => void (dohMethod = w.choice(["GET", "POST"])),
    random_case: () => void (randomCase = true),
    health_check: (w) => {
      healthCheck = { ...healthCheck, interval: w.duration("a time") };
      while (w.left > 0) {
        if (w.choice(["no_rec", "domain"]) === "no_rec") healthCheck = { ...healthCheck, recursionDesired: false };
        else healthCheck = { ...healthCheck, domain: w.name("a name") };
      }
    },
    next: (w) => void next.push(...w.some("a response code").map((t) => rcodeOf(t, w))),
    failover: (w) => void failover.push(...w.some("a response code").map((t) => rcodeOf(t, w))),
    tls: (w) => {
      const files = w.rest().map(block.resolvePath);
      const [first, second, third] = files;
      if (files.length > 3) w.fail("give none, CA, CERT KEY, or CERT KEY CA");
      if (second === undefined) tls = first === undefined ? {} : { caFile: first };
      else tls = { certFile: first ?? "", keyFile: second, ...(third === undefined ? {} : { caFile: third }) };
    },
    tls_servername: (w) => void (tlsServerName = w.take("a name")),
  });
  return {
    plugin: "forward",
    from,
    to,
    except,
    policy,
    forceTcp,
    preferUdp,
    tryTimeout,
    timeout: Math.max(5000, tryTimeout),
    expire,
    maxAge,
    resolvers: resolvers.length === 0 ? defaultResolvers : resolvers,
    maxFails,
    healthCheck,
    maxConcurrent,
    next,
    nextOnNoData,
    maxAttempts,
    dohMethod,
    failover,
    failFast,
    randomCase,
    ...(source === undefined ? {} : { source }),
    ...(tls === undefined ? {} : { tls }),
    ...(tlsServerName === undefined ? {} : { tlsServerName }),
  };
}

function rcodeOf(text: string, w: Words): number {
  return parseRcode(text) ?? w.fail(`${text} is not a response code`);
}

function readTarget(text: string, w: Words, block: BlockContext): ForwardTarget {
  const [, given, rest = text] = /^([a-z0-9]+):\/\/(.*)$/.exec(text) ?? [];
  const scheme = given ?? "dns";
  if (scheme !== "dns" && scheme !== "tls" && scheme !== "https") return w.fail(`${text}: upstreams are dns://, tls:// or https://`);
  const slash = scheme === "https" ? rest.indexOf("/") : -1;
  const path = slash < 0 ? undefined : rest.slice(slash);
  // a port stands behind the name for the certificate: 9.9.9.9%dns.quad9.net:10853
  const [, ip = "", serverName, port = ""] = /^([^%]*)(?:%([^:]*)(:[0-9]+)?)?$/.exec(slash < 0 ? rest : rest.slice(0, slash)) ?? [];
  const address = `${ip}${port}`;
  const more = { ...(serverName === undefined ? {} : { serverName }), ...(path === undefined ? {} : { path }) };
  const found = readAddress(address, defaultPorts[scheme]);
  if (found !== undefined) return { kind: "server", scheme, ...found, ...more };
  if (given === undefined && text.includes("/")) return { kind: "file", file: block.resolvePath(text) };
  // one label alone is more likely a slip than a host
  const [, host, hostPort] = /^((?:[a-z0-9_-]+\.)+[a-z][a-z0-9-]*\.?)(?::([0-9]{1,5}))?$/i.exec(address) ?? [];
  if (host !== undefined) return { kind: "host", scheme, host: w.nameOf(host), port: Number(hostPort ?? defaultPorts[scheme]), ...more };
  return w.fail(`${text} is neither an address, such as 10.0.0.10:53, nor a host's whole name, nor a file such as /etc/resolv.conf`);
}

/** `IP`, `IP:PORT`, `[IP6]:PORT`. */
export function readAddress(text: string, defaultPort: number): { readonly ip: Ip; readonly port: number } | undefined {
  const whole = parseIp(text.replace(/^\[(.*)\]$/, "$1"));
  if (whole !== undefined) return { ip: whole, port: defaultPort };
  const match = /^(?:\[(.*)\]|([^:]*)):([0-9]{1,5})$/.exec(text);
  const ip = parseIp(match?.[1] ?? match?.[2] ?? "");
  const port = Number(match?.[3] ?? 0);
  return ip === undefined || port < 1 || port > 65535 ? undefined : { ip, port };
}
