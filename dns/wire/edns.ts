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
