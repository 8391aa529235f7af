import type { Ip } from "../../src/base/ip.ts";
import { servedZones } from "../config/served-zones.ts";
import { defaultTtl, type ZonesConfig } from "../config/zone-config.ts";
import { putU16, putU32, u16, u32 } from "../wire/big-endian.ts";
import { flagBits, headerBytes } from "../wire/message.ts";
import { type DomainName, readName, writeName } from "../wire/name.ts";
import { classIn, opcodeNotify, rcodes, typeNumbers } from "../wire/record-type.ts";
import type { RecordDelta } from "../zone/record-delta.ts";
import { type AnswerZone, answerZone, setSerial, wholeSoa } from "./answer-zone.ts";
import { type DnsTransport, EdnsAnswers } from "./edns-answers.ts";
import { mostWarm, NameArena } from "./name-arena.ts";
import { blockFlags, blockHeadBytes, flagsOf, nameBytesOf, setHeadBytes, zoneIndexOf } from "./name-block.ts";
import { hashName, hashSeed, hashStep, lowerByte } from "./name-hash.ts";
import { podAddress } from "./pod-address.ts";
import { TargetAddresses } from "./target-addresses.ts";
import type { ZoneCopyParts, ZoneHead } from "./zone-copy.ts";

/** What is answered here is the zones that `DnsZone` makes of the same configuration. */
export interface AnswererConfig extends ZonesConfig {
  /** Canonical names of zones that belong to others (`in-addr.arpa.`): what is known there is answered, the rest left to the chain. */
  readonly passing?: readonly DomainName[];
  /** The largest UDP answer sent, whatever the client can take; default 1232 (DNS flag day 2020). */
  readonly udpBytes?: number;
  /** Clients that are offered recursion; default all. It is asked once per query, so it should be quick. */
  readonly isAllowed?: (client: Ip) => boolean;
  /** Writes the OPT records; default one that knows no options. */
  readonly edns?: EdnsAnswers;
}

/** What to do with an alias (ExternalName): leave it to the chain, which looks the target up, or answer the CNAME alone. */
type AliasPolicy = "defer" | "cname";

const optBytes = 11;
const leastUdpBytes = 512;
/** `RFC8482` and no second text: the answer to ANY (RFC 8482 section 4.2). */
const hinfo = Uint8Array.from([0xc0, 0x0c, 0, 13, 0, 1, 0, 0, 0, 0, 0, 9, 7, ...Buffer.from("RFC8482", "latin1"), 0]);

/**
 * Answers what is known from memory: the zones' names, and what is wrong with a query. Synchronous; the bytes of an answer
 * are those of its name's block, behind the question as it came.
 */
export class Answerer {
  readonly #zones: readonly AnswerZone[];
  readonly #udpBytes: number;
  readonly #isAllowed: (client: Ip) => boolean;
  readonly #edns: EdnsAnswers;
  readonly #addresses = new TargetAddresses();
  #arena: NameArena;
  #revision = 0;
  #synced = false;
  #rotation = 0;
  // of the query being answered: fields, so that the hot path makes no object
  #questionEnd = 0;
  #flags = 0;
  #limit = 0;
  #type = 0;
  #isPlain = false;

  constructor(config: AnswererConfig = {}) {
    const served = servedZones(config);
    const foreign = (config.passing ?? []).filter((name) => !served.some((zone) => zone.name === name));
    this.#zones = [
      ...served.map((zone) => answerZone(zone, false)),
      ...foreign.map((name) => answerZone({ name, ttl: config.kubernetes?.ttl ?? defaultTtl, nameServer: "ns", unknown: "left" }, true)),
    ];
    this.#udpBytes = config.udpBytes ?? 1232;
    this.#isAllowed = config.isAllowed ?? (() => true);
    this.#edns = config.edns ?? new EdnsAnswers({ udpBytes: this.#udpBytes });
    this.#arena = new NameArena(this.#zones);
  }

  get revision(): number {
    return this.#revision;
  }

  /** The type that the last query asked for, for metrics; 0 when it had none that could be read. */
  get lastType(): number {
    return this.#type;
  }

  /** Of the last query: where its question ends and what an answer may take besides its OPT record, when it was in order and its name was looked up. */
  get lastPlain(): { readonly questionEnd: number; readonly limit: number } | undefined {
    return this.#isPlain ? { questionEnd: this.#questionEnd, limit: this.#limit - this.#edns.bytes } : undefined;
  }

  /** Names in the zones, those without records included. */
  get size(): number {
    return this.#arena.size;
  }

  get memory(): NameArena["memory"] {
    return this.#arena.memory;
  }

  /** Until then what is not known is SERVFAIL instead of NXDOMAIN: it may only not have arrived yet. */
  setSynced(): void {
    this.#synced = true;
  }

  apply(delta: RecordDelta): void {
    const arena = delta.full === true ? new NameArena(this.#zones) : this.#arena;
    for (const name of delta.deletes) arena.remove(wireName(name));
    for (const { key, records } of delta.upserts) arena.put(wireName(key), records);
    for (const { key, sets } of delta.edits ?? []) arena.edit(wireName(key), sets);
    arena.compactWhenDue();
    this.#arena = arena;
    this.#revision = delta.revision;
    for (const zone of this.#zones) setSerial(zone, delta.revision);
  }

  /** All names will come anew, in any number of changes; then `unstated` has those that none of them named. */
  restate(): void {
    this.#arena.restate();
  }

  unstated(): readonly DomainName[] {
    return Array.from(this.#arena.unstated(), (name) => readName(name, 0).name);
  }

  /** What a zone's transfers begin with; undefined for names that are no zone here. `name` is in wire form, in any case. */
  zoneHead(name: Uint8Array): ZoneHead | undefined {
    const index = this.#zones.findIndex((zone) => !zone.isPassing && isSameName(zone.name, name));
    const zone = this.#zones[index];
    return zone === undefined ? undefined : { index, zoneBytes: zone.name.length, soa: wholeSoa(zone), ttl: zone.ttl };
  }

  /** A zone as it is now, for a transfer. */
  copyZone(name: Uint8Array): ZoneCopyParts | undefined {
    const head = this.zoneHead(name);
    return head === undefined ? undefined : { ...head, ...this.#arena.copyOf(head.index) };
  }

  /** A copy of a name's block as it is now. */
  copyBlock(name: DomainName): Uint8Array | undefined {
    return this.#arena.blockCopy(wireName(name));
  }

  /** Has the memory that the answers to these queries lie in come from afar together, before each of them is answered. */
  warm(queries: readonly Uint8Array[], count: number): void {
    const some = Math.min(count, mostWarm);
    for (let i = 0; i < some; i++) {
      const query = queries[i] ?? none;
      const end = questionNameEnd(query, query.length);
      warmHashes[i] = end < 0 ? 0 : hashName(query, headerBytes, end);
    }
    this.#arena.warm(warmHashes, some);
  }

  /**
   * Answers the query in `query[0..n)` into `out`, which has room for 65535 bytes over TCP, else 1232. The result is the
   * answer's length, 0 for what gets no answer, or undefined for the asynchronous chain.
   */
  answer(query: Uint8Array, n: number, client: Ip, out: Uint8Array, transport: DnsTransport = "udp"): number | undefined {
    return this.#answer(query, n, client, out, { transport, alias: "defer" });
  }

  /** The same for the chain itself: an alias is answered with its CNAME. */
  answerAlias(query: Uint8Array, n: number, client: Ip, out: Uint8Array): number | undefined {
    return this.#answer(query, n, client, out, { transport: "tcp", alias: "cname" });
  }

  #answer(
    query: Uint8Array,
    n: number,
    client: Ip,
    out: Uint8Array,
    how: { readonly transport: DnsTransport; readonly alias: AliasPolicy },
  ): number | undefined {
    if (n < headerBytes) return 0;
    const flags = u16(query, 2);
    if ((flags & flagBits.qr) !== 0) return 0;
    this.#flags = flagBits.qr | (flags & (0x7800 | flagBits.rd | flagBits.cd));
    this.#questionEnd = headerBytes;
    this.#edns.clear();
    this.#type = 0;
    this.#isPlain = false;
    this.#limit = how.transport === "udp" ? leastUdpBytes : out.length;
    const opcode = (flags & 0x7800) >> 11;
    // a NOTIFY is for who keeps copies of zones
    if (opcode === opcodeNotify) return undefined;
    if (opcode !== 0) return this.#refuse(query, out, rcodes.NOTIMP);
    if (u16(query, 4) !== 1) return this.#refuse(query, out, rcodes.FORMERR);

    const nameEnd = questionNameEnd(query, n);
    if (nameEnd < 0) return this.#refuse(query, out, rcodes.FORMERR);
    this.#questionEnd = nameEnd + 4;
    this.#type = u16(query, nameEnd);
    // records in a query's first sections belong to IXFR and the like
    if (u16(query, 6) !== 0 || u16(query, 8) !== 0) return undefined;
    const additional = u16(query, 10);
    if (additional > 1) return undefined;
    if (additional === 1) {
      const verdict = this.#readEdns(query, n, client, how.transport, out.length);
      if (verdict === "slow") return undefined;
      if (verdict === "malformed") return this.#refuse(query, out, rcodes.FORMERR);
      if (verdict === "bad-version") return this.#refuse(query, out, rcodes.BADVERS);
    } else if (this.#questionEnd !== n) return this.#refuse(query, out, rcodes.FORMERR);

    const type = this.#type;
    if (u16(query, nameEnd + 2) !== classIn) return undefined;
    if (type === typeNumbers.AXFR || type === typeNumbers.IXFR || type === typeNumbers.OPT) return undefined;
    this.#isPlain = true;
    return this.#lookUp(query, nameEnd, type, client, out, how.alias);
  }

  #lookUp(query: Uint8Array, nameEnd: number, type: number, client: Ip, out: Uint8Array, alias: AliasPolicy): number | undefined {
    // one pass from the right: the hash of each ancestor, kept at the label where it begins
    let hash = hashSeed;
    let labels = 0;
    for (let at = headerBytes; at < nameEnd; at += 1 + (query[at] ?? 0)) labelStarts[labels++] = at;
    let at = nameEnd - 1;
    for (let i = labels - 1; i >= 0; i--) {
      for (const start = labelStarts[i] ?? 0; at >= start; at--) hash = hashStep(hash, query[at] ?? 0);
      labelHashes[i] = hash;
    }
    const arena = this.#arena;
    let offset = arena.find(query, headerBytes, nameEnd - headerBytes, hash);
    if (offset >= 0) {
      this.#flags |= flagBits.aa;
      this.#offerRecursion(client);
      return this.#positive(query, type, offset, out, alias);
    }
    for (let i = 1; i < labels; i++) {
      const start = labelStarts[i] ?? 0;
      offset = arena.find(query, start, nameEnd - start, labelHashes[i] ?? 0);
      if (offset < 0) continue;
      const flags = flagsOf(arena.bytes, offset);
      const zone = this.#zoneAt(offset);
      if (zone.isPassing) return undefined;
      this.#flags |= flagBits.aa;
      this.#offerRecursion(client);
      if (i === 1 && (flags & blockFlags.podAddresses) !== 0) {
        const address = podAddress(query, headerBytes + 1, query[headerBytes] ?? 0);
        if (address !== undefined) return this.#podAnswer(query, type, address, offset, out);
      }
      // whether this name is one that falls through is for the chain to say
      if (zone.isLeft && alias === "defer") return undefined;
      if (!this.#synced) {
        this.#flags &= ~flagBits.aa;
        return this.#refuse(query, out, rcodes.SERVFAIL);
      }
      return this.#negative(query, offset, out, rcodes.NXDOMAIN);
    }
    return undefined;
  }

  #positive(query: Uint8Array, type: number, offset: number, out: Uint8Array, alias: AliasPolicy): number | undefined {
    const bytes = this.#arena.bytes;
    const nameBytes = nameBytesOf(bytes, offset);
    const sets = bytes[offset + 3] ?? 0;
    const flags = flagsOf(bytes, offset);
    const zone = this.#zoneAt(offset);
    const isApex = nameBytes === zone.name.length;
    let wanted = type;
    if (sets === 0 && zone.isPassing) return undefined;
    if ((flags & blockFlags.alias) !== 0 && type !== typeNumbers.CNAME && type !== typeNumbers.ANY) {
      if (alias === "defer") return undefined;
      wanted = typeNumbers.CNAME;
    }
    if (wanted === typeNumbers.SOA && isApex) {
      const end = this.#soaAt(out, this.#copyQuestion(query, out), offset);
      return this.#finish(out, end, 1, 0, 0);
    }
    if (wanted === typeNumbers.ANY && (sets > 0 || isApex)) {
      const at = this.#copyQuestion(query, out);
      out.set(hinfo, at);
      return this.#finish(out, at + hinfo.length, 1, 0, 0);
    }
    let head = offset + blockHeadBytes + nameBytes;
    let data = head + sets * setHeadBytes;
    for (let i = 0; i < sets; i++, head += setHeadBytes) {
      const setBytes = u32(bytes, head + 5);
      if (u16(bytes, head) === wanted) return this.#copySet(query, head, data, setBytes, out);
      data += setBytes;
    }
    return this.#negative(query, offset, out, rcodes.NOERROR);
  }

  #copySet(query: Uint8Array, head: number, data: number, setBytes: number, out: Uint8Array): number {
    const bytes = this.#arena.bytes;
    const count = u16(bytes, head + 2);
    const at = this.#copyQuestion(query, out);
    const room = this.#limit - at - this.#edns.bytes;
    const stride = bytes[head + 4] ?? 0;
    if (stride > 0) {
      // resolvers that take the first address spread over all of them
      const first = this.#rotation++ % count;
      const fits = Math.min(count, Math.floor(room / stride));
      const one = Math.min(fits, count - first);
      copy(bytes, data + first * stride, one * stride, out, at);
      copy(bytes, data, (fits - one) * stride, out, at + one * stride);
      if (fits < count) this.#flags |= flagBits.tc;
      return this.#finish(out, at + fits * stride, fits, 0, 0);
    }
    if (setBytes <= room) {
      const type = u16(bytes, head);
      copy(bytes, data, setBytes, out, at);
      if (type !== typeNumbers.SRV && type !== typeNumbers.NS) return this.#finish(out, at + setBytes, count, 0, 0);
      const set = { head, hash: labelHashes[0] ?? 0, count };
      const end = this.#addresses.write(this.#arena, set, out, at, at + setBytes, at + room);
      return this.#finish(out, end, count, 0, this.#addresses.count);
    }
    // what fits, for clients that cannot use TCP
    let end = data;
    let kept = 0;
    for (;;) {
      const next = end + 12 + u16(bytes, end + 10);
      if (next - data > room) break;
      end = next;
      kept++;
    }
    copy(bytes, data, end - data, out, at);
    this.#flags |= flagBits.tc;
    return this.#finish(out, at + end - data, kept, 0, 0);
  }

  #negative(query: Uint8Array, offset: number, out: Uint8Array, rcode: number): number {
    const end = this.#soaAt(out, this.#copyQuestion(query, out), offset);
    this.#flags |= rcode;
    return this.#finish(out, end, 0, 1, 0);
  }

  #podAnswer(query: Uint8Array, type: number, address: Uint8Array, offset: number, out: Uint8Array): number {
    const own = address.length === 4 ? typeNumbers.A : typeNumbers.AAAA;
    if (type === typeNumbers.ANY) {
      const at = this.#copyQuestion(query, out);
      out.set(hinfo, at);
      return this.#finish(out, at + hinfo.length, 1, 0, 0);
    }
    if (type !== own) return this.#negative(query, offset, out, rcodes.NOERROR);
    const at = this.#copyQuestion(query, out);
    putU16(out, at, 0xc00c);
    putU16(out, at + 2, own);
    putU16(out, at + 4, classIn);
    putU32(out, at + 6, this.#zoneAt(offset).ttl);
    putU16(out, at + 10, address.length);
    out.set(address, at + 12);
    return this.#finish(out, at + 12 + address.length, 1, 0, 0);
  }

  /** An answer with a code and no records, and no more of the question than could be read. */
  #refuse(query: Uint8Array, out: Uint8Array, rcode: number): number {
    const end = this.#copyQuestion(query, out);
    this.#flags |= rcode & 15;
    return this.#finish(out, end, 0, 0, 0, rcode >> 4);
  }

  #offerRecursion(client: Ip): void {
    if (this.#isAllowed(client)) this.#flags |= flagBits.ra;
  }

  #readEdns(query: Uint8Array, n: number, client: Ip, transport: DnsTransport, room: number): "ok" | "slow" | "malformed" | "bad-version" {
    const at = this.#questionEnd;
    if (at + optBytes > n) return "malformed";
    if (query[at] !== 0 || u16(query, at + 1) !== typeNumbers.OPT) return "slow";
    const end = at + optBytes + u16(query, at + 9);
    if (end !== n) return "malformed";
    if (transport === "udp") this.#limit = Math.min(Math.max(u16(query, at + 3), leastUdpBytes), this.#udpBytes, room);
    const isGood = this.#edns.read(query, at, end, client, transport);
    // what a later version's options mean is not known (RFC 6891 section 6.1.3)
    if (query[at + 6] !== 0) return "bad-version";
    return isGood ? "ok" : "malformed";
  }

  /** Id and question as they came: clients check the case of the name they sent (0x20). */
  #copyQuestion(query: Uint8Array, out: Uint8Array): number {
    const end = this.#questionEnd;
    out[0] = query[0] ?? 0;
    out[1] = query[1] ?? 0;
    for (let i = headerBytes; i < end; i++) out[i] = query[i] ?? 0;
    return end;
  }

  #zoneAt(offset: number): AnswerZone {
    const zone = this.#zones[zoneIndexOf(this.#arena.bytes, offset)];
    if (zone === undefined) throw new Error("a block of no zone");
    return zone;
  }

  /** The zone's SOA, its names as pointers into the question, which ends with the zone's name. */
  #soaAt(out: Uint8Array, at: number, offset: number): number {
    const { name, soa, soaPointers } = this.#zoneAt(offset);
    out.set(soa, at);
    const zoneAt = this.#questionEnd - 4 - name.length;
    for (const place of soaPointers) putU16(out, at + place, 0xc000 | zoneAt);
    return at + soa.length;
  }

  #finish(out: Uint8Array, end: number, answers: number, authority: number, additional: number, extendedRcode = 0): number {
    putU16(out, 2, this.#flags);
    putU16(out, 4, this.#questionEnd > headerBytes ? 1 : 0);
    putU16(out, 6, answers);
    putU16(out, 8, authority);
    putU16(out, 10, additional + (this.#edns.present ? 1 : 0));
    return this.#edns.write(out, end, extendedRcode);
  }
}

const none = new Uint8Array(0);
const warmHashes = new Int32Array(mostWarm);

const nameScratch = new Uint8Array(256);

/** Valid until the next call: names of a delta come by the hundred thousand. */
function wireName(name: DomainName): Uint8Array {
  return nameScratch.subarray(0, writeName(name, nameScratch, 0));
}

/** A name has at most 127 labels and the root. */
const labelStarts = new Uint16Array(128);
const labelHashes = new Int32Array(128);

/** Where type and class of the question begin; -1 when its name or they run over the end, or the name is not plain. */
function questionNameEnd(query: Uint8Array, n: number): number {
  let at = headerBytes;
  for (;;) {
    if (at >= n) return -1;
    const length = query[at] ?? 0;
    if (length > 63) return -1;
    at += 1 + length;
    if (length === 0) break;
  }
  return at + 4 > n || at - headerBytes > 255 ? -1 : at;
}

function isSameName(lower: Uint8Array, name: Uint8Array): boolean {
  return lower.length === name.length && lower.every((b, i) => b === lowerByte[name[i] ?? 0]);
}

/** A loop is quicker than `set(subarray())` for the few bytes most answers have. */
function copy(from: Uint8Array, start: number, length: number, to: Uint8Array, at: number): void {
  if (length > 96) {
    to.set(from.subarray(start, start + length), at);
    return;
  }
  for (let i = 0; i < length; i++) to[at + i] = from[start + i] ?? 0;
}
