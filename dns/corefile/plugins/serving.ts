import type { Cidr } from "../../../src/base/cidr.ts";
import type { RateLimitConfig } from "../../config/rate-config.ts";
import type { Directive } from "../corefile.ts";
import { badValue, readOptions, wordsOf } from "../words.ts";
import type { BlockContext } from "./block-context.ts";

/** A plugin that has neither words nor options. */
export interface BareConfig {
  readonly plugin: "any" | "debug" | "loop" | "minimal" | "whoami";
}

export function readBare<P extends BareConfig["plugin"]>(d: Directive, plugin: P): { readonly plugin: P } {
  wordsOf(d).end();
  readOptions(d, {});
  return { plugin };
}

export interface LocalConfig {
  readonly plugin: "local";
  /** `localhost.<search domain>` is this machine too. */
  readonly localhostPrefix: boolean;
}

export function readLocal(d: Directive): LocalConfig {
  wordsOf(d).end();
  let localhostPrefix = true;
  readOptions(d, { localhost_prefix: (w) => void (localhostPrefix = w.choice(["on", "off"]) === "on") });
  return { plugin: "local", localhostPrefix };
}

export interface BindConfig {
  readonly plugin: "bind";
  /** Addresses or names of interfaces. */
  readonly hosts: readonly string[];
  readonly except: readonly string[];
}

export function readBind(d: Directive): BindConfig {
  const hosts = wordsOf(d).some("an address or interface");
  const except: string[] = [];
  readOptions(d, { except: (w) => void except.push(...w.some("an address or interface")) });
  return { plugin: "bind", hosts, except };
}

export interface BufsizeConfig {
  readonly plugin: "bufsize";
  readonly size: number;
}

export function readBufsize(d: Directive): BufsizeConfig {
  const words = wordsOf(d);
  const size = words.left === 0 ? 1232 : words.integer("a size", 512, 4096);
  words.end();
  readOptions(d, {});
  return { plugin: "bufsize", size };
}

export interface CancelConfig {
  readonly plugin: "cancel";
  /** Milliseconds after which a query is given up. */
  readonly timeout: number;
}

export function readCancel(d: Directive): CancelConfig {
  const words = wordsOf(d);
  const timeout = words.left === 0 ? 5001 : words.duration("a time");
  words.end();
  readOptions(d, {});
  return timeout > 0 ? { plugin: "cancel", timeout } : badValue(d, "cancel: the time must be longer than nothing");
}

export interface NsidConfig {
  readonly plugin: "nsid";
  /** Absent: the host's name. */
  readonly data?: string;
}

export function readNsid(d: Directive): NsidConfig {
  const data = wordsOf(d).rest().join(" ");
  readOptions(d, {});
  return data === "" ? { plugin: "nsid" } : { plugin: "nsid", data };
}

export interface ReloadConfig {
  readonly plugin: "reload";
  /** Milliseconds. */
  readonly interval: number;
  readonly jitter: number;
}

export function readReload(d: Directive): ReloadConfig {
  const words = wordsOf(d);
  const interval = words.left === 0 ? 30_000 : words.duration("a time");
  const jitter = Math.min(interval / 2, words.left === 0 ? interval / 2 : words.duration("a time"));
  words.end();
  readOptions(d, {});
  if (interval < 2000) badValue(d, "reload: the interval is 2s or more");
  return { plugin: "reload", interval, jitter };
}

/** Who may speak for others by the PROXY protocol, of all listeners of the server. */
export interface ProxyprotoConfig {
  readonly plugin: "proxyproto";
  readonly allow: readonly Cidr[];
}

const everybody: readonly Cidr[] = [
  { ip: "0.0.0.0", bits: 0, family: 4 },
  { ip: "::", bits: 0, family: 6 },
];

export function readProxyproto(d: Directive): ProxyprotoConfig {
  wordsOf(d).end();
  const allow: Cidr[] = [];
  readOptions(d, {
    allow: (w) => void allow.push(...w.some("a range").map((t) => w.cidrOf(t))),
    // who is not among them speaks for itself, and a header is no query
    default: (w) => void w.choice(["skip", "reject"]),
  });
  return { plugin: "proxyproto", allow: allow.length === 0 ? everybody : allow };
}

/** Response rate limiting, as CoreDNS's plugin of that name outside its tree is written. */
export interface RrlConfig {
  readonly plugin: "rrl";
  readonly limit: RateLimitConfig;
}

export function readRrl(d: Directive): RrlConfig {
  wordsOf(d).end();
  let perSecond: number | undefined;
  let more: Omit<RateLimitConfig, "perSecond"> = {};
  readOptions(d, {
    "responses-per-second": (w) => void (perSecond = w.integer("a number", 1, 1_000_000)),
    "slip-ratio": (w) => void (more = { ...more, slip: w.integer("a number", 0, 10) }),
    "ipv4-prefix-length": (w) => void (more = { ...more, ipv4Bits: w.integer("a length", 1, 32) }),
    "ipv6-prefix-length": (w) => void (more = { ...more, ipv6Bits: w.integer("a length", 1, 128) }),
    exempt: (w) => void (more = { ...more, exempt: [...(more.exempt ?? []), ...w.some("a range").map((t) => w.cidrOf(t))] }),
  });
  if (perSecond === undefined) return badValue(d, "rrl: responses-per-second is missing");
  return { plugin: "rrl", limit: { perSecond, ...more } };
}

export interface TlsConfig {
  readonly plugin: "tls";
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile?: string;
  /** Where the keys of its connections are written, for who debugs them. */
  readonly keylogFile?: string;
  readonly clientAuth: "nocert" | "request" | "require" | "verify_if_given" | "require_and_verify";
}

export function readTls(d: Directive, block: BlockContext): TlsConfig {
  const words = wordsOf(d);
  const certFile = block.resolvePath(words.take("a certificate file"));
  const keyFile = block.resolvePath(words.take("a key file"));
  const ca = words.maybe();
  words.end();
  let clientAuth: TlsConfig["clientAuth"] = "nocert";
  let keylogFile: string | undefined;
  readOptions(d, {
    client_auth: (w) => void (clientAuth = w.choice(["nocert", "request", "require", "verify_if_given", "require_and_verify"])),
    keylog: (w) => void (keylogFile = block.resolvePath(w.take("a file"))),
  });
  return {
    plugin: "tls",
    certFile,
    keyFile,
    clientAuth,
    ...(ca === undefined ? {} : { caFile: block.resolvePath(ca) }),
    ...(keylogFile === undefined ? {} : { keylogFile }),
  };
}

export interface ChaosConfig {
  readonly plugin: "chaos";
  /** Answers to version.bind and version.server; absent: not told. */
  readonly version?: string;
  readonly authors: readonly string[];
}

export function readChaos(d: Directive): ChaosConfig {
  const words = wordsOf(d);
  const version = words.maybe();
  readOptions(d, {});
  return { plugin: "chaos", authors: words.rest(), ...(version === undefined ? {} : { version }) };
}

export interface RootConfig {
  readonly plugin: "root";
  readonly folder: string;
}

export function readRoot(d: Directive, block: BlockContext): RootConfig {
  const words = wordsOf(d);
  const folder = block.resolvePath(words.take("a folder"));
  words.end();
  readOptions(d, {});
  return { plugin: "root", folder };
}
