import { ParseError } from "./errors.ts";

/** EDNS option codes (IANA). */
export const ednsOptions = { nsid: 3, clientSubnet: 8, cookie: 10, keepalive: 11, padding: 12, extendedError: 15 } as const;

export interface EdnsOption {
  readonly code: number;
  readonly hex: string;
}

/** The OPT pseudo record (RFC 6891). The extended part of the rcode is in `Message.rcode`. */
export interface Edns {
  /** Bytes of a UDP message its sender can take. */
  readonly udpSize: number;
  readonly version: number;
  readonly dnssecOk: boolean;
  readonly options: readonly EdnsOption[];
}

/** A DNS cookie (RFC 7873): 8 bytes of the client, and 8–32 of the server when it has one; hexadecimal. */
export interface Cookie {
  readonly client: string;
  readonly server?: string;
}

export function decodeEdnsOptions(bytes: Uint8Array, start: number, end: number): readonly EdnsOption[] {
  const options: EdnsOption[] = [];
  let at = start;
  while (at < end) {
    if (at + 4 > end) throw new ParseError("bad-option");
    const code = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
    const length = ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
    at += 4;
    if (at + length > end) throw new ParseError("bad-option");
    options.push({ code, hex: Buffer.from(bytes.subarray(at, at + length)).toString("hex") });
    at += length;
  }
  return options;
}

/** The cookie of a message; undefined when there is none. Throws a ParseError for one of an impossible length. */
export function parseCookie(edns: Edns | undefined): Cookie | undefined {
  const option = edns?.options.find((o) => o.code === ednsOptions.cookie);
  if (option === undefined) return undefined;
  const length = option.hex.length / 2;
  if (length === 8) return { client: option.hex };
  if (length < 16 || length > 40) throw new ParseError("bad-option", "a cookie has 8, or 16 to 40 bytes");
  return { client: option.hex.slice(0, 16), server: option.hex.slice(16) };
}

export function cookieOption(cookie: Cookie): EdnsOption {
  return { code: ednsOptions.cookie, hex: cookie.client + (cookie.server ?? "") };
}

/** The name server identifier as text (RFC 5001). */
export function nsidOption(text: string): EdnsOption {
  return { code: ednsOptions.nsid, hex: Buffer.from(text, "utf8").toString("hex") };
}
