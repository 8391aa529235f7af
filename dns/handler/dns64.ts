import { cidrContains } from "../../src/base/cidr.ts";
import { type Ip, ipBytes, ipFamily, ipFromBytes } from "../../src/base/ip.ts";
import type { Dns64Config } from "../corefile/plugins/records.ts";
import type { Message } from "../wire/message.ts";
import { rcodes, typeNumbers } from "../wire/record-type.ts";
import { askInstead, type DnsHandler, type Query, recordAnswer, type Wrap } from "./handler.ts";
import { addressOfReverse } from "./reverse-address.ts";

const mapped = { ip: "::ffff:0:0", bits: 96, family: 6 } as const;

/** IPv6 addresses for names that have IPv4 ones only, for clients behind NAT64 (RFC 6147). */
export function synthesizeIpv6(config: Dns64Config, count: () => void): Wrap {
  return (next) => async (q, c) => {
    const { type } = q.question;
    if (type === typeNumbers.PTR) return (await reverse(config, next, q, c)) ?? next(q, c);
    // who checks signatures himself would find ours wrong (RFC 6147 section 5.5)
    const isAsked =
      type === typeNumbers.AAAA &&
      (config.allowIpv4 || ipFamily(q.client) === 6) &&
      !(q.message.edns?.dnssecOk === true && q.message.checkingDisabled);
    if (!isAsked) return next(q, c);
    const own = await next(q, c);
    const usable = own.answers.some((r) => r.data.kind === "AAAA" && !cidrContains(mapped, r.data.ip));
    if (own.rcode === rcodes.NXDOMAIN || (usable && !config.translateAll)) return own;
    const four = await next(askInstead(q, { ...q.question, type: typeNumbers.A }), c);
    if (four.rcode !== rcodes.NOERROR || !four.answers.some((r) => r.data.kind === "A")) return own;
    c.took.add("dns64");
    count();
    // no longer than the absence of IPv6 addresses is known for (RFC 6147 section 5.1.7)
    const soa = own.authority.find((r) => r.data.kind === "SOA");
    const most = soa === undefined ? 600 : soa.ttl;
    return {
      ...four,
      questions: q.message.questions,
      authenticData: false,
      answers: four.answers.map((r) =>
        r.data.kind === "A" ? { ...r, ttl: Math.min(r.ttl, most), data: { kind: "AAAA" as const, ip: embed(config, r.data.ip) } } : r,
      ),
      additional: [],
    };
  };
}

/** A synthesized address is called as the IPv4 one it holds (RFC 6147 section 5.3.1). */
async function reverse(config: Dns64Config, next: DnsHandler, q: Query, c: Parameters<DnsHandler>[1]): Promise<Message | undefined> {
  const ip = addressOfReverse(q.question.name);
  if (ip === undefined || ipFamily(ip) !== 6 || !cidrContains(config.prefix, ip)) return undefined;
  c.took.add("dns64");
  const [a, b, d, e] = extract(config, ip);
  const target = `${e}.${d}.${b}.${a}.in-addr.arpa.`;
  const answer = await next(askInstead(q, { ...q.question, name: target }), c);
  const alias = { name: q.question.name, class: 1, ttl: 600, data: { kind: "CNAME" as const, target } };
  return recordAnswer(q.message, [alias, ...answer.answers], { rcode: answer.rcode, authority: answer.authority, authoritative: false });
}

/** Byte 8 (bits 64 to 71) stays zero (RFC 6052 section 2.2). */
function places({ prefix }: Dns64Config): readonly number[] {
  const out: number[] = [];
  for (let at = prefix.bits / 8; out.length < 4; at++) if (at !== 8) out.push(at);
  return out;
}

function embed(config: Dns64Config, ip: Ip): Ip {
  const bytes = Uint8Array.from(ipBytes(config.prefix.ip));
  for (const [i, at] of places(config).entries()) bytes[at] = ipBytes(ip)[i] ?? 0;
  return ipFromBytes(bytes);
}

function extract(config: Dns64Config, ip: Ip): readonly number[] {
  const bytes = ipBytes(ip);
  return places(config).map((at) => bytes[at] ?? 0);
}
