import { putU32, u32 } from "./big-endian.ts";
import { type SipKey, sipHash24, sipKey } from "./sip-hash.ts";

/** Bytes of a cookie's two parts (RFC 7873 section 4, RFC 9018 section 4). */
export const clientCookieBytes = 8;
export const serverCookieBytes = 16;
const version = 1;
/** Seconds a cookie is good (RFC 9018 section 4.3: an hour back, five minutes ahead), and may be given again. */
const goodSeconds = 3600;
const skewSeconds = 300;
const freshSeconds = 1800;

/** What a server has to do about the cookie a client sent. */
export type CookieVerdict = "good" | "unknown";

/**
 * Server cookies of RFC 9018, which every server with the same secret makes and takes: 16 bytes of version, time and a SipHash
 * over the client's cookie and address. No memory of clients, and nothing allocated.
 */
export class ServerCookies {
  readonly #key: SipKey;
  /** Client cookie, version, reserved, time, address. */
  readonly #input = new Uint8Array(32);
  readonly #hash = new Uint8Array(8);

  /** 16 bytes; all servers behind one address need the same. */
  constructor(secret: Uint8Array) {
    this.#key = sipKey(secret);
    this.#input[clientCookieBytes] = version;
  }

  /**
   * Writes the 16 bytes of the server's part for a client at `out[at]`: those it sent when they are good and not old, else new
   * ones. `sent` has the client's 8 bytes at `from`, and `length` bytes in all. `seconds` since 1970.
   */
  answer(
    sent: Uint8Array,
    from: number,
    length: number,
    client: { readonly ip: Uint8Array; readonly seconds: number },
    out: Uint8Array,
    at: number,
  ): CookieVerdict {
    const input = this.#input;
    for (let i = 0; i < clientCookieBytes; i++) input[i] = sent[from + i] ?? 0;
    input.set(client.ip, 16);
    const inputLength = 16 + client.ip.length;
    let verdict: CookieVerdict = "unknown";
    const known = from + clientCookieBytes;
    if (length === clientCookieBytes + serverCookieBytes && sent[known] === version) {
      for (let i = 0; i < 8; i++) input[8 + i] = sent[known + i] ?? 0;
      sipHash24(this.#key, input, inputLength, this.#hash, 0);
      let difference = 0;
      for (let i = 0; i < 8; i++) difference |= (this.#hash[i] ?? 0) ^ (sent[known + 8 + i] ?? 0);
      const age = (client.seconds - u32(sent, known + 4)) | 0;
      if (difference === 0 && age <= goodSeconds && age >= -skewSeconds) {
        verdict = "good";
        if (age <= freshSeconds) {
          for (let i = 0; i < serverCookieBytes; i++) out[at + i] = sent[known + i] ?? 0;
          return verdict;
        }
      }
    }
    input[8] = version;
    input[9] = 0;
    input[10] = 0;
    input[11] = 0;
    putU32(input, 12, client.seconds);
    sipHash24(this.#key, input, inputLength, this.#hash, 0);
    for (let i = 0; i < 8; i++) {
      out[at + i] = input[8 + i] ?? 0;
      out[at + 8 + i] = this.#hash[i] ?? 0;
    }
    return verdict;
  }
}

/** RFC 7873 section 5.2.2: 8 bytes of the client, or with 8 to 32 of the server. */
export function isCookieLength(length: number): boolean {
  return length === clientCookieBytes || (length >= 16 && length <= 40);
}
