import type { Answerer } from "../answer/answerer.ts";
import { fallsThrough, servedZones } from "../config/served-zones.ts";
import type { ZonesConfig } from "../config/zone-config.ts";
import { decodeMessage, encodeMessage, type Message, withoutEdns } from "../wire/message.ts";
import { canonicalName, type DomainName, isInZone } from "../wire/name.ts";
import { rcodes, typeNumbers } from "../wire/record-type.ts";
import { askInstead, type DnsContext, type DnsHandler, emptyAnswer, type Query, type Wrap } from "./handler.ts";

/** ExternalNames that point at each other end after so many. */
const maxAliases = 8;

/** The cluster's own names, and where their aliases lead: the target is looked up here for the type that was asked for. */
export function answerZones(answerer: Answerer, config: ZonesConfig, passing: readonly DomainName[] = []): Wrap {
  const zones = [...servedZones(config).map((zone) => zone.name), ...passing];
  return (next) => {
    const answerName = async (q: Query, c: DnsContext, aliases: number): Promise<Message> => {
      const name = canonicalName(q.question.name);
      if (!zones.some((zone) => isInZone(name, zone))) return aliases > 0 ? c.lookup(q) : next(q, c);
      const own = answerOwn(answerer, q);
      if (own === undefined || (own.rcode === rcodes.NXDOMAIN && fallsThrough(config, name))) return next(q, c);
      c.took.add("kubernetes");
      const alias = own.answers[0]?.data;
      const { type } = q.question;
      if (alias?.kind !== "CNAME" || type === typeNumbers.CNAME || type === typeNumbers.ANY) return own;
      if (aliases >= maxAliases) return { ...own, rcode: rcodes.SERVFAIL };
      const question = { ...q.question, name: alias.target };
      const target = await followAlias((query) => answerName(query, c, aliases + 1), askInstead(q, question));
      return {
        ...own,
        // a target nobody may or can look up leaves the alias itself, as from a server that does not recurse
        rcode: target.rcode === rcodes.REFUSED ? rcodes.NOERROR : target.rcode,
        answers: [...own.answers, ...target.answers],
        authority: target.authority,
        additional: target.additional,
      };
    };
    // most queries of a chain are for names elsewhere: nothing is made for those
    return (q, c) => (zones.some((zone) => isInZone(canonicalName(q.question.name), zone)) ? answerName(q, c, 0) : next(q, c));
  };
}

async function followAlias(ask: (q: Query) => Promise<Message>, q: Query): Promise<Message> {
  try {
    return await ask(q);
  } catch {
    return emptyAnswer(q.message, rcodes.SERVFAIL);
  }
}

function answerOwn(answerer: Answerer, q: Query): Message | undefined {
  const query = encodeMessage({ ...withoutEdns(q.message), authority: [], additional: [] });
  const out = new Uint8Array(0xffff);
  const length = answerer.answerAlias(query, query.length, q.client, out);
  return length === undefined || length === 0 ? undefined : decodeMessage(out.subarray(0, length));
}

/** The end of a chain that knows no other server. */
export const refuseRest: DnsHandler = (q) => emptyAnswer(q.message, rcodes.REFUSED);
