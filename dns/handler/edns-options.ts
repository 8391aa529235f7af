import { createHmac, timingSafeEqual } from "node:crypto";
import type { Clock } from "../../src/base/clock.ts";
import { type Ip, ipBytes, parseIp } from "../../src/base/ip.ts";
import { type Cookie, cookieOption, type EdnsOption, ednsOptions, nsidOption, parseCookie } from "../wire/edns.ts";
import { isParseError } from "../wire/errors.ts";
import { rcodes } from "../wire/record-type.ts";
import { emptyAnswer, type Wrap } from "./handler.ts";

/** How long a server cookie is good (RFC 9018 section 4.3: an hour back, five minutes ahead). */
const cookieSeconds = 3600;
const skewSeconds = 300;

export interface EdnsConfig {
  /** Bytes of a UDP message we can take. */
  readonly udpSize: number;
  /** The name of this server for those who ask with NSID; none when absent. */
  readonly nsid?: string;
  /** 16 bytes or more; every server behind one address needs the same. */
  readonly cookieSecret: Uint8Array;
}

/** The OPT record of answers: ours, never the upstream's, with NSID and cookie for clients that asked. */
export function answerEdns(config: EdnsConfig, clock: Clock): Wrap {
  return (next) => async (q, c) => {
    const asked = q.message.edns;
    if (asked === undefined) {
      const { edns: _, ...answer } = await next(q, c);
      // without OPT there is no place for the upper bits of the code
      return answer.rcode > 15 ? { ...answer, rcode: rcodes.SERVFAIL } : answer;
    }
    const ours = { udpSize: config.udpSize, version: 0, dnssecOk: asked.dnssecOk };
    if (asked.version !== 0) return { ...emptyAnswer(q.message, rcodes.BADVERS), edns: { ...ours, options: [] } };
    let cookie: Cookie | undefined;
    try {
      cookie = parseCookie(asked);
    } catch (error) {
      if (!isParseError(error)) throw error;
      return { ...emptyAnswer(q.message, rcodes.FORMERR), edns: { ...ours, options: [] } };
    }
    const options: EdnsOption[] = [];
    if (config.nsid !== undefined && asked.options.some((o) => o.code === ednsOptions.nsid)) options.push(nsidOption(config.nsid));
    if (cookie !== undefined) {
      const now = Math.floor(clock.now() / 1000);
      const keep = cookie.server !== undefined && isServerCookie(config.cookieSecret, cookie, q.client, now);
      options.push(
        cookieOption({
          client: cookie.client,
          server: keep ? (cookie.server ?? "") : serverCookie(config.cookieSecret, cookie.client, q.client, now),
        }),
      );
    }
    return { ...(await next(q, c)), edns: { ...ours, options } };
  };
}

/** Version 1 of RFC 9018 in form: version, reserved, time, hash; the hash is an HMAC instead of SipHash, which only we check. */
function serverCookie(secret: Uint8Array, client: string, ip: Ip, seconds: number): string {
  const head = Buffer.alloc(8);
  head[0] = 1;
  head.writeUInt32BE(seconds >>> 0, 4);
  return Buffer.concat([head, cookieHash(secret, client, head, ip)]).toString("hex");
}

function isServerCookie(secret: Uint8Array, cookie: Cookie, ip: Ip, seconds: number): boolean {
  const bytes = Buffer.from(cookie.server ?? "", "hex");
  if (bytes.length !== 16) return false;
  const age = (seconds - bytes.readUInt32BE(4)) | 0;
  if (age > cookieSeconds || age < -skewSeconds) return false;
  return timingSafeEqual(bytes.subarray(8), cookieHash(secret, cookie.client, bytes.subarray(0, 8), ip));
}

function cookieHash(secret: Uint8Array, client: string, head: Uint8Array, ip: Ip): Buffer {
  const address = parseIp(ip);
  return createHmac("sha256", secret)
    .update(Buffer.from(client, "hex"))
    .update(head)
    .update(address === undefined ? Buffer.from(ip) : ipBytes(address))
    .digest()
    .subarray(0, 8);
}
