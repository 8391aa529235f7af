import type { Cidr } from "../../../src/base/cidr.ts";
import type { Ip } from "../../../src/base/ip.ts";
import type { NotifyAddress } from "../../config/transfer-config.ts";
import type { DomainName } from "../../wire/name.ts";
import type { Directive } from "../corefile.ts";
import { CorefileError } from "../errors.ts";
import { badValue, readOptions, type Words, wordsOf } from "../words.ts";
import { type BlockContext, type Fallthrough, readFallthrough, zonesOr } from "./block-context.ts";
import { readAddress } from "./forward.ts";

/** An address and its names, as a line of a hosts file. */
export interface HostsLine {
  readonly ip: Ip;
  readonly names: readonly DomainName[];
}

export interface HostsConfig {
  readonly plugin: "hosts";
  /** Absent: the lines alone. */
  readonly file?: string;
  readonly zones: readonly DomainName[];
  readonly inline: readonly HostsLine[];
  /** Seconds. */
  readonly ttl: number;
  readonly reverse: boolean;
  /** Milliseconds between looks at the file; 0: never again. */
  readonly reload: number;
  readonly fallthrough?: Fallthrough;
  /** The next plugin is asked for other types than addresses of names that are there, too. */
  readonly leavesOtherTypes: boolean;
}

export function readHosts(d: Directive, block: BlockContext): HostsConfig {
  const words = wordsOf(d);
  const inlineOnly = d.options.some((o) => isAddress(o.name));
  const named = words.maybe();
  const file = named ?? (inlineOnly ? undefined : "/etc/hosts");
  const zones = zonesOr(words, block);
  const inline: HostsLine[] = [];
  let ttl = 3600;
  let reverse = true;
  let reload = 5000;
  let fallthrough: Fallthrough | undefined;
  let leavesOtherTypes = false;
  const addresses = Object.fromEntries(d.options.filter((o) => isAddress(o.name)).map((o) => [o.name, () => {}] as const));
  for (const o of d.options) {
    if (!isAddress(o.name)) continue;
    if (o.words.length === 0) badValue(o, `hosts: ${o.name} has no name`);
    inline.push({ ip: words.ipOf(o.name), names: o.words.map((t) => words.nameOf(t.text)) });
  }
  const known = { ...d, options: d.options.filter((o) => !Object.hasOwn(addresses, o.name)) };
  readOptions(known, {
    ttl: (w) => void (ttl = w.integer("seconds", 1, 65535)),
    no_reverse: () => void (reverse = false),
    reload: (w) => void (reload = w.duration("a time")),
    fallthrough: (w) => void (fallthrough = readFallthrough(w)),
    fallthrough_unsupported: () => void (leavesOtherTypes = true),
  });
  if (leavesOtherTypes && fallthrough === undefined) badValue(d, "hosts: fallthrough_unsupported widens fallthrough, which is missing");
  return {
    plugin: "hosts",
    zones,
    inline,
    ttl,
    reverse,
    reload,
    leavesOtherTypes,
    ...(file === undefined ? {} : { file: block.resolvePath(file) }),
    ...(fallthrough === undefined ? {} : { fallthrough }),
  };
}

function isAddress(text: string): boolean {
  return /^[0-9.]+$/.test(text) || (text.includes(":") && /^[0-9a-fA-F:.]+$/.test(text));
}

export interface FileConfig {
  readonly plugin: "file";
  readonly file: string;
  readonly zones: readonly DomainName[];
  /** Milliseconds between looks at the file; 0: never again. */
  readonly reload: number;
  readonly fallthrough?: Fallthrough;
}

export function readFile(d: Directive, block: BlockContext): FileConfig {
  const words = wordsOf(d);
  const file = block.resolvePath(words.take("a zone file"));
  const zones = zonesOr(words, block);
  let reload = 60_000;
  let fallthrough: Fallthrough | undefined;
  readOptions(d, {
    reload: (w) => void (reload = w.duration("a time")),
    // any other text is taken, whatever its serial number says
    reload_by_mtime: () => {},
    fallthrough: (w) => void (fallthrough = readFallthrough(w)),
    upstream: (w) => void w.rest(),
  });
  return { plugin: "file", file, zones, reload, ...(fallthrough === undefined ? {} : { fallthrough }) };
}

export interface TransferConfig {
  readonly plugin: "transfer";
  readonly zones: readonly DomainName[];
  /** Who may have the zones, and is told of changes. */
  readonly to: readonly ("*" | { readonly ip: Ip; readonly port: number })[];
  /** The address that NOTIFY comes from; absent: the system's choice. */
  readonly source?: Ip;
}

export function readTransfer(d: Directive, block: BlockContext): TransferConfig {
  const to: TransferConfig["to"][number][] = [];
  let source: Ip | undefined;
  readOptions(d, {
    to: (w) => {
      for (const text of w.some("an address")) to.push(text === "*" ? "*" : (readAddress(text, 53) ?? w.fail(`${text} is not an address`)));
    },
    source: (w) => void (source = w.ipOf(w.take("an address"))),
  });
  if (to.length === 0) badValue(d, "transfer: `to` is missing: who may have the zone");
  return { plugin: "transfer", zones: zonesOr(wordsOf(d), block), to, ...(source === undefined ? {} : { source }) };
}

/** Who is told of changes by a `transfer`, and from where. */
export function notifiedBy({ to, source }: TransferConfig): readonly NotifyAddress[] {
  return to.flatMap((t) => (t === "*" ? [] : [{ ...t, ...(source === undefined ? {} : { source }) }]));
}

export interface SecondaryConfig {
  readonly plugin: "secondary";
  readonly zones: readonly DomainName[];
  readonly from: readonly { readonly ip: Ip; readonly port: number }[];
  readonly fallthrough?: Fallthrough;
}

export function readSecondary(d: Directive, block: BlockContext): SecondaryConfig {
  const from: SecondaryConfig["from"][number][] = [];
  let fallthrough: Fallthrough | undefined;
  readOptions(d, {
    transfer: (w) => {
      w.choice(["from"]);
      for (const text of w.some("an address")) from.push(readAddress(text, 53) ?? w.fail(`${text} is not an address`));
    },
    fallthrough: (w) => void (fallthrough = readFallthrough(w)),
  });
  if (from.length === 0) badValue(d, "secondary: `transfer from ADDRESS` is missing");
  const zones = zonesOr(wordsOf(d), block);
  return { plugin: "secondary", zones, from, ...(fallthrough === undefined ? {} : { fallthrough }) };
}

export interface Dns64Config {
  readonly plugin: "dns64";
  readonly prefix: Cidr;
  /** AAAA records of the name's own are left out. */
  readonly translateAll: boolean;
  readonly allowIpv4: boolean;
}

export function readDns64(d: Directive): Dns64Config {
  const words = wordsOf(d);
  const given = words.maybe();
  words.end();
  let prefix = words.cidrOf(given ?? "64:ff9b::/96");
  let translateAll = false;
  let allowIpv4 = false;
  readOptions(d, {
    prefix: (w) => void (prefix = w.cidrOf(w.take("a prefix"))),
    translate_all: () => void (translateAll = true),
    allow_ipv4: () => void (allowIpv4 = true),
  });
  // RFC 6052 section 2.2
  if (prefix.family !== 6 || ![32, 40, 48, 56, 64, 96].includes(prefix.bits)) {
    throw new CorefileError("bad-value", d, "dns64: the prefix is an IPv6 range of 32, 40, 48, 56, 64 or 96 bits");
  }
  return { plugin: "dns64", prefix, translateAll, allowIpv4 };
}

export interface LoadbalanceConfig {
  readonly plugin: "loadbalance";
  /** Addresses of these ranges come first, in their order. */
  readonly prefer: readonly Cidr[];
  readonly policy:
    | { readonly kind: "round_robin" }
    | { readonly kind: "weighted"; readonly file: string /** Milliseconds. */; readonly reload: number };
}

export function readLoadbalance(d: Directive, block: BlockContext): LoadbalanceConfig {
  const words = wordsOf(d);
  const kind = words.left === 0 ? "round_robin" : words.choice(["round_robin", "weighted"]);
  const file = kind === "weighted" ? block.resolvePath(words.take("a file of weights")) : undefined;
  words.end();
  let reload = 30_000;
  const prefer: Cidr[] = [];
  readOptions(d, {
    reload: (w) => void (reload = w.duration("a time")),
    prefer: (w) => void prefer.push(...w.some("a range").map((t) => w.cidrOf(t))),
  });
  return { plugin: "loadbalance", prefer, policy: file === undefined ? { kind: "round_robin" } : { kind: "weighted", file, reload } };
}

export interface HeaderConfig {
  readonly plugin: "header";
  readonly changes: readonly {
    readonly of: "query" | "response";
    readonly set: boolean;
    readonly flags: readonly ("aa" | "ra" | "rd")[];
  }[];
}

export function readHeader(d: Directive): HeaderConfig {
  wordsOf(d).end();
  const changes: HeaderConfig["changes"][number][] = [];
  const read =
    (of: "query" | "response") =>
    (w: Words): void => {
      const set = w.choice(["set", "clear"]) === "set";
      const flags: ("aa" | "ra" | "rd")[] = [];
      do flags.push(w.choice(["aa", "ra", "rd"]));
      while (w.left > 0);
      changes.push({ of, set, flags });
    };
  const bare =
    (set: boolean) =>
    (w: Words): void => {
      const flags: ("aa" | "ra" | "rd")[] = [];
      do flags.push(w.choice(["aa", "ra", "rd"]));
      while (w.left > 0);
      changes.push({ of: "response", set, flags });
    };
  readOptions(d, { query: read("query"), response: read("response"), set: bare(true), clear: bare(false) });
  if (changes.length === 0) badValue(d, "header: nothing to set or clear");
  return { plugin: "header", changes };
}

export interface AutopathConfig {
  readonly plugin: "autopath";
  readonly zones: readonly DomainName[];
  /** Search paths by the client's namespace, or those of a resolv.conf for all. */
  readonly search: { readonly kind: "kubernetes" } | { readonly kind: "file"; readonly file: string };
}

export function readAutopath(d: Directive, block: BlockContext): AutopathConfig {
  const words = wordsOf(d);
  const all = words.some("@kubernetes or a resolv.conf");
  readOptions(d, {});
  const last = all.at(-1) ?? "";
  const zones = all.slice(0, -1).flatMap((t) => words.zoneOf(t));
  if (last.startsWith("@") && last !== "@kubernetes") words.fail(`${last}: there is @kubernetes, or a resolv.conf`);
  return {
    plugin: "autopath",
    zones: zones.length === 0 ? block.zones : zones,
    search: last === "@kubernetes" ? { kind: "kubernetes" } : { kind: "file", file: block.resolvePath(last) },
  };
}
