import type { Ip } from "../../src/base/ip.ts";
import { canonicalName, type DomainName } from "../wire/name.ts";
import { opcodeNotify, rcodes, typeNumbers } from "../wire/record-type.ts";
import { emptyAnswer, type Wrap } from "./handler.ts";

/** Takes the word of a primary that its zone has changed; false from anybody else, undefined for zones that are not kept here. */
export type TakeNotice = (zone: DomainName, from: Ip) => boolean | undefined;

/** Replies to NOTIFY (RFC 1996): taken from a zone's primaries, refused to others, and nothing else is done for any other opcode. */
export function answerNotices(take: TakeNotice): Wrap {
  return (next) => (q, c) => {
    if (q.message.opcode === 0) return next(q, c);
    if (q.message.opcode !== opcodeNotify || q.question.type !== typeNumbers.SOA) return emptyAnswer(q.message, rcodes.NOTIMP);
    const taken = take(canonicalName(q.question.name), q.client);
    if (taken === undefined) return emptyAnswer(q.message, rcodes.NOTIMP);
    c.took.add("secondary");
    return { ...emptyAnswer(q.message, taken ? rcodes.NOERROR : rcodes.REFUSED), authoritative: taken };
  };
}
