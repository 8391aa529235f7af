import { classIn, rcodes, typeNumbers } from "../wire/record-type.ts";
import { emptyAnswer, type Wrap } from "./handler.ts";

/** ANY has one short answer, whatever the name: nobody's amplifier (RFC 8482 section 4.2). */
export const answerAny: Wrap = (next) => (q, c) => {
  if (q.question.type !== typeNumbers.ANY) return next(q, c);
  c.took.add("any");
  const hinfo = {
    name: q.question.name,
    class: classIn,
    ttl: 8482,
    data: { kind: "HINFO", cpu: "ANY obsoleted", os: "See RFC 8482" },
  } as const;
  return { ...emptyAnswer(q.message, rcodes.NOERROR), authoritative: true, answers: [hinfo] };
};
