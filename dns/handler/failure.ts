import { rcodes } from "../wire/record-type.ts";
import { emptyAnswer, type Wrap } from "./handler.ts";

/** What is thrown behind it becomes SERVFAIL, here and nowhere else; `report` hears of it. */
export function answerErrors(report: (error: unknown, name: string) => void): Wrap {
  return (next) => async (q, c) => {
    try {
      return await next(q, c);
    } catch (error) {
      report(error, q.question.name);
      return emptyAnswer(q.message, rcodes.SERVFAIL);
    }
  };
}
