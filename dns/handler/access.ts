import type { Ip } from "../../src/base/ip.ts";
import type { Message } from "../wire/message.ts";
import { classIn, rcodes, typeNumbers } from "../wire/record-type.ts";
import { emptyAnswer, type Wrap } from "./handler.ts";

/** Refuses recursion to clients outside the cluster; the cluster's own names come before it. */
export function refuseForeign(isAllowed: (client: Ip) => boolean): Wrap {
  return (next) => (q, c) => (isAllowed(q.client) ? next(q, c) : emptyAnswer(q.message, rcodes.REFUSED));
}

/** Says in each answer whether its client gets recursion (RA). */
export function offerRecursion(isAllowed: (client: Ip) => boolean): Wrap {
  return (next) => (q, c) => {
    const offer = (answer: Message): Message => {
      const recursionAvailable = isAllowed(q.client);
      return answer.recursionAvailable === recursionAvailable ? answer : { ...answer, recursionAvailable };
    };
    const answer = next(q, c);
    return answer instanceof Promise ? answer.then(offer) : offer(answer);
  };
}

/** What is let through although most servers have no answer to it. */
export interface UnusualQueries {
  readonly transfers?: boolean;
  readonly otherClasses?: boolean;
}

/** For plugins that know names of the Internet only: a question of another class is none of theirs. */
export const refuseOtherClasses: Wrap = (next) => (q, c) =>
  q.question.class === classIn ? next(q, c) : emptyAnswer(q.message, rcodes.REFUSED);

/** Refuses what nobody gets: transfers, other classes than IN, types that are no data. */
export function refuseUnusual(allowed: UnusualQueries = {}): Wrap {
  return (next) => (q, c) => {
    const { type, class: rrClass } = q.question;
    const isTransfer = type === typeNumbers.AXFR || type === typeNumbers.IXFR;
    // OPT and the other meta types (128–255, RFC 6895 section 3.1) are no data; ANY is
    if (type === typeNumbers.OPT) return emptyAnswer(q.message, rcodes.FORMERR);
    const isRefused = isTransfer ? allowed.transfers !== true : type >= 128 && type <= 254;
    return isRefused || (rrClass !== classIn && allowed.otherClasses !== true) ? emptyAnswer(q.message, rcodes.REFUSED) : next(q, c);
  };
}
