import type { Ip } from "../../src/base/ip.ts";
import { classIn, rcodes, typeNumbers } from "../wire/record-type.ts";
import { emptyAnswer, type Wrap } from "./handler.ts";

/** Refuses what nobody gets (transfers, other classes than IN), and recursion to clients outside the cluster. Own zones come before it. */
export function refuseForeign(isAllowed: (client: Ip) => boolean): Wrap {
  return (next) => async (q, c) => {
    if (!isAllowed(q.client)) return emptyAnswer(q.message, rcodes.REFUSED);
    return { ...(await next(q, c)), recursionAvailable: true };
  };
}

export const refuseUnusual: Wrap = (next) => (q, c) => {
  const { type, class: rrClass } = q.question;
  const isTransfer = type === typeNumbers.AXFR || type === typeNumbers.IXFR;
  // OPT and the other meta types (128–255, RFC 6895 section 3.1) are no data; ANY is
  if (type === typeNumbers.OPT) return emptyAnswer(q.message, rcodes.FORMERR);
  const isMeta = type >= 128 && type <= 254;
  return isTransfer || isMeta || rrClass !== classIn ? emptyAnswer(q.message, rcodes.REFUSED) : next(q, c);
};
