import type { Element, Field, FieldType, SetDefinition } from "../../rules/nftables/statement.ts";
import { type Cidr, parseCidr, printCidr } from "../base/cidr.ts";
import { type Ip, type IpFamily, ipFromBigInt, ipFromBytes, ipToBigInt } from "../base/ip.ts";
import { nested, readAttributes, readString } from "./netlink-attributes.ts";
import type { NetlinkWriter } from "./netlink-writer.ts";

// linux/netfilter/nf_tables.h
const NFTA_LIST_ELEM = 1;
const NFTA_SET_ELEM_KEY = 1;
const NFTA_SET_ELEM_DATA = 2;
const NFTA_SET_ELEM_FLAGS = 3;
const NFTA_SET_ELEM_KEY_END = 10;
const NFT_SET_ELEM_INTERVAL_END = 1;
const NFTA_DATA_VALUE = 1;
const NFTA_DATA_VERDICT = 2;
const NFTA_VERDICT_CODE = 1;
const NFTA_VERDICT_CHAIN = 2;
const NFT_GOTO = -4;

const protocolNumbers: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132 };
const protocolNames: Readonly<Record<number, string>> = { 6: "tcp", 17: "udp", 132: "sctp" };

/** Writes one element of an attribute list. A range in a set of single addresses is two elements: its start and its end. */
export function writeElement(w: NetlinkWriter, set: SetDefinition, element: Element): void {
  if (set.interval === true && set.key.length === 1) {
    const cidr = rangeOf(element.key[0]);
    const last = lastOf(cidr);
    writeOne(w, set, { ...element, key: [cidr.ip] }, undefined, 0);
    // an end is the first address after the range; a range up to the last address has none
    if (last !== (1n << BigInt(cidr.family === 4 ? 32 : 128)) - 1n) {
      writeOne(w, set, { ...element, key: [ipFromBigInt(last + 1n, cidr.family)] }, undefined, NFT_SET_ELEM_INTERVAL_END);
    }
    return;
  }
  if (set.interval !== true) {
    writeOne(w, set, element, undefined, 0);
    return;
  }
  const first = element.key.map((field, i) => (set.key[i] === "address" ? rangeOf(field).ip : field));
  const end = element.key.map((field, i) => {
    const range = set.key[i] === "address" ? rangeOf(field) : undefined;
    return range === undefined ? field : ipFromBigInt(lastOf(range), range.family);
  });
  writeOne(w, set, { ...element, key: first }, end, 0);
}

function writeOne(w: NetlinkWriter, set: SetDefinition, element: Element, end: readonly Field[] | undefined, flags: number): void {
  const list = w.open(NFTA_LIST_ELEM | nested);
  writeData(w, NFTA_SET_ELEM_KEY, set.key, element.key);
  if (end !== undefined) writeData(w, NFTA_SET_ELEM_KEY_END, set.key, end);
  if (set.value !== undefined && element.value !== undefined) writeData(w, NFTA_SET_ELEM_DATA, set.value, element.value);
  if (flags !== 0) {
    const at = w.open(NFTA_SET_ELEM_FLAGS);
    w.u32be(flags);
    w.close(at);
  }
  w.close(list);
}

function writeData(w: NetlinkWriter, type: number, types: readonly FieldType[], fields: readonly Field[]): void {
  const outer = w.open(type | nested);
  if (types[0] === "verdict") {
    const verdict = w.open(NFTA_DATA_VERDICT | nested);
    const code = w.open(NFTA_VERDICT_CODE);
    w.u32be(NFT_GOTO);
    w.close(code);
    w.string(NFTA_VERDICT_CHAIN, String(fields[0]));
    w.close(verdict);
  } else {
    const value = w.open(NFTA_DATA_VALUE);
    const alone = types.length === 1;
    for (let i = 0; i < fields.length; i++) writeField(w, types[i] ?? "address", fields[i] ?? "", alone);
    w.close(value);
  }
  w.close(outer);
}

/** In a concatenation every field takes whole registers of 4 bytes. Numbers are in host order, as `meta priority` is. */
function writeField(w: NetlinkWriter, type: FieldType, field: Field, alone: boolean): void {
  switch (type) {
    case "address":
      w.address(String(field));
      break;
    case "protocol":
      w.byte(protocolNumbers[String(field)] ?? 0, alone ? 0 : 3);
      break;
    case "port":
      if (alone) w.u16be(Number(field));
      else w.u32be(Number(field) << 16);
      break;
    case "number":
      w.u32(Number(field));
      break;
    case "verdict":
      throw new Error("a verdict stands alone");
  }
}

/** Elements of one dump message's list (`NFTA_SET_ELEM_LIST_ELEMENTS`). */
export function readElements(family: IpFamily, set: SetDefinition, list: Buffer): readonly RawElement[] {
  const elements: RawElement[] = [];
  for (const [, item] of readAttributes(list, 0)) {
    let key: readonly Field[] = [];
    let end: readonly Field[] | undefined;
    let value: readonly Field[] | undefined;
    let flags = 0;
    for (const [type, data] of readAttributes(item, 0)) {
      if (type === NFTA_SET_ELEM_KEY) key = readData(family, set.key, data);
      else if (type === NFTA_SET_ELEM_KEY_END) end = readData(family, set.key, data);
      else if (type === NFTA_SET_ELEM_DATA && set.value !== undefined) value = readData(family, set.value, data);
      else if (type === NFTA_SET_ELEM_FLAGS) flags = data.readUInt32BE(0);
    }
    elements.push({ key, end, value, isEnd: (flags & NFT_SET_ELEM_INTERVAL_END) !== 0 });
  }
  return elements;
}

export interface RawElement {
  readonly key: readonly Field[];
  readonly end: readonly Field[] | undefined;
  readonly value: readonly Field[] | undefined;
  /** The end of a range that another element starts. */
  readonly isEnd: boolean;
}

/**
 * Whether a dump tells each element once. The kernel continues a dump by skipping as many elements as it has told. A hash table
 * that grows meanwhile, as one does in the background right after many came, has them in another order then: some are told
 * again, and as many others never, though the generation stays the same.
 */
export function areDistinct(raw: readonly Pick<RawElement, "key" | "end" | "isEnd">[]): boolean {
  const seen = new Set<string>();
  for (const { key, end, isEnd } of raw) seen.add(`${key.join(" ")}${end === undefined ? "" : `-${end.join(" ")}`}${isEnd ? "." : ""}`);
  return seen.size === raw.length;
}

/** Raw elements of one set as fairway writes them: ranges in one piece. */
export function joinElements(set: SetDefinition, raw: readonly RawElement[]): readonly Element[] {
  const made = (key: readonly Field[], value: readonly Field[] | undefined): Element =>
    value === undefined ? { set: set.name, key } : { set: set.name, key, value };
  if (set.interval !== true) return raw.map((e) => made(e.key, e.value));
  if (set.key.length > 1) {
    return raw.map((e) =>
      made(
        e.key.map((field, i) =>
          set.key[i] === "address" && e.end?.[i] !== undefined ? printRange(String(field), String(e.end[i]), isLast(set, i)) : field,
        ),
        e.value,
      ),
    );
  }
  const points = raw
    .map((e) => ({ ip: String(e.key[0]) as Ip, isEnd: e.isEnd }))
    .sort((a, b) => {
      const [x, y] = [ipToBigInt(a.ip), ipToBigInt(b.ip)];
      return x === y ? (a.isEnd ? -1 : 1) : x < y ? -1 : 1;
    });
  const joined: Element[] = [];
  let start: Ip | undefined;
  for (const point of points) {
    if (!point.isEnd) {
      start = point.ip;
      continue;
    }
    if (start !== undefined) joined.push(made([printRange(start, beforeOf(point.ip), true)], undefined));
    start = undefined;
  }
  if (start !== undefined)
    joined.push(
      made([printRange(start, start.includes(":") ? "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" : "255.255.255.255", true)], undefined),
    );
  return joined;
}

/** In `allowed-sources` only the last address is a range; the first is printed bare. */
function isLast(set: SetDefinition, i: number): boolean {
  return i === set.key.length - 1;
}

function printRange(first: Ip, last: Ip, asCidr: boolean): string {
  if (first === last && !asCidr) return first;
  const family = first.includes(":") ? 6 : 4;
  const size = ipToBigInt(last) - ipToBigInt(first) + 1n;
  const bits = (family === 4 ? 32 : 128) - (size.toString(2).length - 1);
  return printCidr({ ip: first, bits, family });
}

function beforeOf(ip: Ip): Ip {
  return ipFromBigInt(ipToBigInt(ip) - 1n, ip.includes(":") ? 6 : 4);
}

function readData(family: IpFamily, types: readonly FieldType[], data: Buffer): readonly Field[] {
  for (const [type, value] of readAttributes(data, 0)) {
    if (type === NFTA_DATA_VERDICT) {
      for (const [part, text] of readAttributes(value, 0)) if (part === NFTA_VERDICT_CHAIN) return [readString(text)];
      return [""];
    }
    if (type !== NFTA_DATA_VALUE) continue;
    const fields: Field[] = [];
    let at = 0;
    for (const kind of types) {
      if (kind === "address") {
        const length = family === 4 ? 4 : 16;
        fields.push(ipFromBytes(value.subarray(at, at + length)));
        at += length;
      } else {
        if (kind === "protocol") fields.push(protocolNames[value[at] ?? 0] ?? String(value[at]));
        else if (kind === "port") fields.push(value.readUInt16BE(at));
        else fields.push(value.readUInt32LE(at));
        at += 4;
      }
    }
    return fields;
  }
  return [];
}

function rangeOf(field: Field | undefined): Cidr {
  const text = String(field);
  const cidr = parseCidr(text.includes("/") ? text : `${text}/${text.includes(":") ? 128 : 32}`);
  if (cidr === undefined) throw new Error(`no range: ${text}`);
  return cidr;
}

function lastOf(cidr: Cidr): bigint {
  return ipToBigInt(cidr.ip) + (1n << BigInt((cidr.family === 4 ? 32 : 128) - cidr.bits)) - 1n;
}
