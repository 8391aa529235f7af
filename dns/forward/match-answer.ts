import { isParseError } from "../wire/errors.ts";
import { decodeMessage, type Message } from "../wire/message.ts";
import { canonicalName } from "../wire/name.ts";

/**
 * The answer to `query` in `bytes`; undefined when it is not that: another id, another question, no response, no message. `letters`
 * `same`: the case of the question's letters counts.
 */
export function matchAnswer(query: Message, bytes: Uint8Array, letters: "same" | "any" = "any"): Message | undefined {
  if (bytes.length < 12 || ((bytes[0] ?? 0) << 8) + (bytes[1] ?? 0) !== query.id) return undefined;
  let answer: Message;
  try {
    answer = decodeMessage(bytes);
  } catch (error) {
    if (isParseError(error)) return undefined;
    throw error;
  }
  const asked = query.questions[0];
  const [got, ...more] = answer.questions;
  if (!answer.isResponse || asked === undefined || more.length > 0) return undefined;
  // some servers leave the question out of errors
  if (got === undefined) return answer.rcode === 0 ? undefined : { ...answer, questions: query.questions };
  const same =
    got.type === asked.type &&
    got.class === asked.class &&
    (got.name === asked.name || (letters === "any" && canonicalName(got.name) === canonicalName(asked.name)));
  return same ? answer : undefined;
}
