import { canonicalName, type DomainName } from "../wire/name.ts";
import { rcodes } from "../wire/record-type.ts";
import { askInstead, emptyAnswer, type Wrap } from "./handler.ts";

/** `<topology zone>.pin|prefer._zone.<service>…`: the topology zone may have dots. */
const zonal = /^.+\.(pin|prefer)\._zone\.(.+)$/;

/**
 * Names of topology zones that no endpoint of a headless Service is in; those that have some are the answerer's. `prefer` has all
 * endpoints then, `pin` none: the name exists all the same, since any zone may be asked for.
 */
export const answerEmptyZones: Wrap = (next) => async (q, c) => {
  const answer = await next(q, c);
  if (answer.rcode !== rcodes.NXDOMAIN) return answer;
  const [, directive, service = ""] = zonal.exec(canonicalName(q.question.name)) ?? [];
  if (directive === undefined) return answer;
  const ask = (name: DomainName) => next(askInstead(q, { ...q.question, name }), c);
  const selector = await ask(`${directive}._zone.${service}`);
  // no headless Service
  if (selector.rcode !== rcodes.NOERROR) return answer;
  if (directive === "pin") return { ...emptyAnswer(q.message, rcodes.NOERROR), authoritative: true, authority: selector.authority };
  const all = await ask(service);
  const named = all.answers.map((r) => (canonicalName(r.name) === service ? { ...r, name: q.question.name } : r));
  return { ...all, questions: q.message.questions, answers: named };
};
