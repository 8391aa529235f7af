import { type Ip, ipBytes, parseIp } from "../../src/base/ip.ts";
import { putU16, u16 } from "../wire/big-endian.ts";
import { type Edns, type EdnsOption, ednsOptions } from "../wire/edns.ts";
import { typeNumbers } from "../wire/record-type.ts";
import { clientCookieBytes, isCookieLength, type ServerCookies, serverCookieBytes } from "../wire/server-cookie.ts";

/** How a query came: plain, or encrypted by TLS or HTTPS. */
export type DnsTransport = "udp" | "tcp" | "tls" | "https";

export interface EdnsAnswersConfig {
  /** Bytes of a UDP message this server can take; default 1232. */
  readonly udpBytes?: number;
  /** Server cookies; none are given when absent. */
  readonly cookies?: ServerCookies;
  /** What NSID says; not offered when absent. */
  readonly nsid?: string;
  /** Milliseconds that a connection without queries is kept, for those who ask (RFC 7828). */
  readonly tcpIdle?: number;
  /** Milliseconds since 1970, for cookies; default the system's. */
  readonly now?: () => number;
}

/** Root name, type, size, extended code, version, flags, length. */
const optBytes = 11;
/** Answers over TLS are a multiple of this long, so that their length tells little (RFC 8467 section 4.1). */
const paddingBlock = 468;
const maxNsidBytes = 128;
const maxClients = 4096;

/**
 * The OPT record of one answer after the other: `read` takes a query's, `write` puts the answer's behind it. Both are
 * synchronous and allocate nothing, so that an answer with a cookie costs little more than one without.
 */
export class EdnsAnswers {
  readonly #udpBytes: number;
  readonly #cookies: ServerCookies | undefined;
  readonly #nsid: Uint8Array | undefined;
  readonly #idle: number | undefined;
  readonly #now: () => number;
  readonly #addresses = new Map<Ip, Uint8Array>();
  readonly #options = new Uint8Array(maxNsidBytes + 64);
  #length = 0;
  #dnssecOk = 0;
  #present = false;
  #isPadded = false;
  #hasGoodCookie = false;

  constructor(config: EdnsAnswersConfig = {}) {
    this.#udpBytes = config.udpBytes ?? 1232;
    this.#cookies = config.cookies;
    this.#nsid = config.nsid === undefined ? undefined : Buffer.from(config.nsid, "utf8").subarray(0, maxNsidBytes);
    this.#idle = config.tcpIdle;
    this.#now = config.now ?? Date.now;
  }

  /** The query being answered has an OPT record. */
  get present(): boolean {
    return this.#present;
  }

  /** It wants DNSSEC records. */
  get dnssecOk(): boolean {
    return this.#present && this.#dnssecOk !== 0;
  }

  /** Its client was told a cookie before, and so has the address it says. */
  get hasGoodCookie(): boolean {
    return this.#hasGoodCookie;
  }

  /** What the answer's OPT record takes, without padding. */
  get bytes(): number {
    return this.#present ? optBytes + this.#length : 0;
  }

  /** For a query without OPT record. */
  clear(): void {
    this.#present = false;
    this.#length = 0;
    this.#isPadded = false;
    this.#hasGoodCookie = false;
  }

  /**
   * Takes the OPT record at `at`, whose data ends at `end`; the caller has seen that its head is there. False for options that
   * run over the record, or a cookie of an impossible length.
   */
  read(query: Uint8Array, at: number, end: number, client: Ip, transport: DnsTransport): boolean {
    this.#begin((query[at + 7] ?? 0) >= 0x80);
    return this.#readOptions(query, at + optBytes, end, client, transport);
  }

  /** The same for a message that has been decoded. */
  readDecoded(edns: Edns, client: Ip, transport: DnsTransport): boolean {
    this.#begin(edns.dnssecOk);
    const options = edns.options.flatMap((o) => {
      const data = Buffer.from(o.hex, "hex");
      return [Uint8Array.from([o.code >> 8, o.code & 255, data.length >> 8, data.length & 255]), data];
    });
    const bytes = Buffer.concat(options);
    return this.#readOptions(bytes, 0, bytes.length, client, transport);
  }

  /** Puts one more option into the answer's OPT record, if there is one and room in it. */
  add(option: EdnsOption): void {
    const length = option.hex.length / 2;
    if (!this.#present || this.#length + 4 + length > this.#options.length) return;
    this.#option(option.code, length);
    this.#options.set(Buffer.from(option.hex, "hex"), this.#length - length);
  }

  /** Puts the OPT record behind an answer of `end` bytes; `extendedRcode` is the part of the code above its low four bits. */
  write(out: Uint8Array, end: number, extendedRcode: number): number {
    if (!this.#present) return end;
    out[end] = 0;
    putU16(out, end + 1, typeNumbers.OPT);
    putU16(out, end + 3, this.#udpBytes);
    out[end + 5] = extendedRcode;
    out[end + 6] = 0;
    putU16(out, end + 7, this.#dnssecOk);
    let at = end + optBytes;
    for (let i = 0; i < this.#length; i++) out[at + i] = this.#options[i] ?? 0;
    at += this.#length;
    if (this.#isPadded && at + 4 <= out.length) {
      const padding = Math.min((paddingBlock - ((at + 4) % paddingBlock)) % paddingBlock, out.length - at - 4);
      putU16(out, at, ednsOptions.padding);
      putU16(out, at + 2, padding);
      out.fill(0, at + 4, at + 4 + padding);
      at += 4 + padding;
    }
    putU16(out, end + 9, at - end - optBytes);
    return at;
  }

  #begin(dnssecOk: boolean): void {
    this.clear();
    this.#present = true;
    this.#dnssecOk = dnssecOk ? 0x8000 : 0;
  }

  #readOptions(bytes: Uint8Array, start: number, end: number, client: Ip, transport: DnsTransport): boolean {
    let hasNsid = false;
    let hasCookie = false;
    let hasIdle = false;
    for (let at = start; at < end; ) {
      if (at + 4 > end) return false;
      const code = u16(bytes, at);
      const length = u16(bytes, at + 2);
      const next = at + 4 + length;
      if (next > end) return false;
      // of options that come twice, the first counts
      if (code === ednsOptions.cookie && !hasCookie) {
        hasCookie = true;
        if (!isCookieLength(length)) return false;
        this.#answerCookie(bytes, at + 4, length, client);
      } else if (code === ednsOptions.nsid && !hasNsid && this.#nsid !== undefined) {
        hasNsid = true;
        this.#option(ednsOptions.nsid, this.#nsid.length);
        this.#options.set(this.#nsid, this.#length - this.#nsid.length);
      } else if (code === ednsOptions.keepalive && !hasIdle && this.#idle !== undefined && (transport === "tcp" || transport === "tls")) {
        hasIdle = true;
        this.#option(ednsOptions.keepalive, 2);
        // in units of 100 milliseconds
        putU16(this.#options, this.#length - 2, Math.min(0xffff, Math.round(this.#idle / 100)));
      } else if (code === ednsOptions.padding) this.#isPadded = transport === "tls" || transport === "https";
      at = next;
    }
    return true;
  }

  #answerCookie(bytes: Uint8Array, at: number, length: number, client: Ip): void {
    if (this.#cookies === undefined) return;
    const start = this.#length + 4;
    this.#option(ednsOptions.cookie, clientCookieBytes + serverCookieBytes);
    for (let i = 0; i < clientCookieBytes; i++) this.#options[start + i] = bytes[at + i] ?? 0;
    const from = { ip: this.#addressOf(client), seconds: Math.floor(this.#now() / 1000) };
    const verdict = this.#cookies.answer(bytes, at, length, from, this.#options, start + clientCookieBytes);
    this.#hasGoodCookie = verdict === "good";
  }

  /** Room for an option's data, behind its head. */
  #option(code: number, length: number): void {
    putU16(this.#options, this.#length, code);
    putU16(this.#options, this.#length + 2, length);
    this.#length += 4 + length;
  }

  #addressOf(client: Ip): Uint8Array {
    const known = this.#addresses.get(client);
    if (known !== undefined) return known;
    const ip = parseIp(client);
    const bytes = ip === undefined ? new Uint8Array(4) : ipBytes(ip);
    if (this.#addresses.size >= maxClients) this.#addresses.clear();
    this.#addresses.set(client, bytes);
    return bytes;
  }
}
