import type { AutopathConfig } from "../corefile/plugins/records.ts";
import type { Message } from "../wire/message.ts";
import { canonicalName, type DomainName } from "../wire/name.ts";
import { classIn, rcodes, typeNumbers } from "../wire/record-type.ts";
import { askInstead, type Query, type Wrap } from "./handler.ts";
import { closestZone } from "./zone-match.ts";

/**
 * The client's first try of its search path is answered for the whole path: the other names of it are looked up here, and the first
 * that exists comes as an alias of the one that was asked for. Saves a round trip for each.
 */
export function answerSearchPath(config: AutopathConfig, searchOf: (q: Query) => readonly DomainName[] | undefined): Wrap {
  return (next) => async (q, c) => {
    const { type, name: asked } = q.question;
    const name = canonicalName(asked);
    if ((type !== typeNumbers.A && type !== typeNumbers.AAAA) || closestZone(name, config.zones) === undefined) return next(q, c);
    const search = searchOf(q);
    const [first] = search ?? [];
    if (search === undefined || first === undefined || !name.endsWith(`.${first}`)) return next(q, c);
    const base = name.slice(0, name.length - first.length);
    let negative: Message | undefined;
    for (const suffix of [...search, "."]) {
      const candidate = suffix === "." ? base : `${base}${suffix}`;
      const answer = await next(candidate === name ? q : askInstead(q, { ...q.question, name: candidate }), c);
      if (answer.rcode === rcodes.NXDOMAIN) {
        negative ??= answer;
        continue;
      }
      if (candidate === name) return answer;
      if (answer.rcode !== rcodes.NOERROR || answer.answers.length === 0) break;
      c.took.add("autopath");
      const alias = { name: asked, class: classIn, ttl: answer.answers[0]?.ttl ?? 0, data: { kind: "CNAME" as const, target: candidate } };
      return { ...answer, questions: q.message.questions, answers: [alias, ...answer.answers], authority: [], additional: [] };
    }
    // the name as it was asked for does not exist, so the client goes on by itself, which costs it no more than before
    return negative ?? next(q, c);
  };
}
