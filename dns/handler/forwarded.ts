import type { Forwarder } from "../forward/forwarder.ts";
import { rcodes } from "../wire/record-type.ts";
import { type DnsHandler, emptyAnswer, questionMessage } from "./handler.ts";

/** The end of the chain: other servers. Options of the client stay here; DO, AD and CD go along (RFC 4035 section 3.2). */
export function forwardQueries(forwarder: Forwarder): DnsHandler {
  return async (q, c) => {
    c.took.add("forward");
    const answer = await forwarder.ask(questionMessage(q.question, { id: q.message.id, like: q.message }), c.signal);
    if (answer === "too-many") return emptyAnswer(q.message, rcodes.REFUSED);
    // EDNS is between neighbours: the upstream's OPT record is not the client's business
    const { edns: _, ...plain } = answer;
    return { ...plain, questions: q.message.questions, authoritative: false, recursionDesired: q.message.recursionDesired };
  };
}
