import { typeNumbers } from "../wire/record-type.ts";
import type { Wrap } from "./handler.ts";

/** Answers without the sections nobody needs: authority and additional records of an answer that has what was asked for. */
export const minimizeAnswers: Wrap = (next) => async (q, c) => {
  const answer = await next(q, c);
  const { type } = q.question;
  const isWhole = type === typeNumbers.AXFR || type === typeNumbers.IXFR;
  return answer.rcode !== 0 || answer.answers.length === 0 || isWhole ? answer : { ...answer, authority: [], additional: [] };
};
