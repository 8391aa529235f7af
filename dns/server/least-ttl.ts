import { isParseError } from "../wire/errors.ts";
import { decodeMessage, type Message } from "../wire/message.ts";
import { rcodes } from "../wire/record-type.ts";

/** Seconds for which an answer may be kept: the least TTL of its records, or what its SOA says of a name that is not there (RFC 2308). */
export function leastTtl(answer: Uint8Array): number {
  let m: Message;
  try {
    m = decodeMessage(answer);
  } catch (error) {
    if (isParseError(error)) return 0;
    throw error;
  }
  if (m.truncated || (m.rcode !== rcodes.NOERROR && m.rcode !== rcodes.NXDOMAIN)) return 0;
  const soa = m.authority.find((r) => r.data.kind === "SOA");
  if (m.answers.length === 0) return soa?.data.kind === "SOA" ? Math.min(soa.ttl, soa.data.minimum) : 0;
  return Math.min(...[...m.answers, ...m.authority, ...m.additional].map((r) => r.ttl));
}
