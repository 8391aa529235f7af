import type { Forwarder } from "../forward/forwarder.ts";
import { type Message, withoutEdns } from "../wire/message.ts";
import { canonicalName, type DomainName } from "../wire/name.ts";
import { rcodes } from "../wire/record-type.ts";
import { type DnsContext, emptyAnswer, type Query, questionMessage, type Wrap } from "./handler.ts";
import { closestZone } from "./zone-match.ts";

export interface ForwardedOptions {
  /** Undefined: there is nobody to ask, and all is refused. */
  readonly forwarder: () => Forwarder | undefined;
  /** Canonical. */
  readonly from: DomainName;
  readonly except: readonly DomainName[];
  /** Codes after which the next handler is asked. */
  readonly next: readonly number[];
  /** Answers without records are as such codes. */
  readonly nextOnNoData: boolean;
  readonly isAllowed: (q: Query) => boolean;
}

/** Asks other servers. Options of the client stay here; DO, AD and CD go along (RFC 4035 section 3.2). */
export function forwardQueries(options: ForwardedOptions): Wrap {
  return (next) => async (q, c) => {
    const name = canonicalName(q.question.name);
    if (closestZone(name, [options.from]) === undefined || closestZone(name, options.except) !== undefined) return next(q, c);
    const forwarder = options.isAllowed(q) ? options.forwarder() : undefined;
    if (forwarder === undefined) return emptyAnswer(q.message, rcodes.REFUSED);
    c.took.add("forward");
    const like = questionMessage(q.question, { id: q.message.id, like: q.message });
    const answer = await forwarder.ask(withOptions(like, q.message, c), c.signal);
    if (answer === "too-many") return emptyAnswer(q.message, rcodes.REFUSED);
    const isNoData = answer.rcode === rcodes.NOERROR && answer.answers.length === 0;
    if (options.next.includes(answer.rcode) || (options.nextOnNoData && isNoData)) return next(q, c);
    // EDNS is between neighbours: the upstream's OPT record is not the client's business
    return { ...withoutEdns(answer), questions: q.message.questions, authoritative: false, recursionDesired: q.message.recursionDesired };
  };
}

/** Options that a rewrite put into the query are for the upstream. */
function withOptions(query: Message, from: Message, { upstreamOptions }: DnsContext): Message {
  const added = from.edns?.options.filter((o) => upstreamOptions.has(o.code)) ?? [];
  return added.length === 0 || query.edns === undefined ? query : { ...query, edns: { ...query.edns, options: added } };
}
