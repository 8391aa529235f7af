import type { Message } from "../wire/message.ts";
import { canonicalName, type DomainName } from "../wire/name.ts";
import { rcodes } from "../wire/record-type.ts";
import { askInstead, type DnsContext, emptyAnswer, type Query, type Wrap } from "./handler.ts";
import type { ZoneData } from "./zone-data.ts";
import { closestZone, isLeft } from "./zone-match.ts";

/** Zones that are served from records: of a file, or of another server. */
export interface ServedData {
  readonly plugin: "file" | "secondary";
  /** Canonical. */
  readonly zones: readonly DomainName[];
  /** Undefined while there is none: it has not been read, or is too old. */
  readonly data: (zone: DomainName) => ZoneData | undefined;
  readonly fallthrough?: { readonly zones: readonly DomainName[] };
}

/** Authoritative answers from zones' records. */
export function answerFromZones(served: ServedData): Wrap {
  return (next) => (q, c) => {
    const name = canonicalName(q.question.name);
    const zone = closestZone(name, served.zones);
    if (zone === undefined) return next(q, c);
    const data = served.data(zone);
    if (data === undefined) {
      c.took.add(served.plugin);
      return emptyAnswer(q.message, rcodes.SERVFAIL);
    }
    const found = data.find(name, q.question.type, q.message.edns?.dnssecOk === true);
    if (found.kind === "no-name" && found.answers.length === 0 && isLeft(name, served.fallthrough)) return next(q, c);
    c.took.add(served.plugin);
    const answer: Message = {
      ...emptyAnswer(q.message, found.kind === "no-name" ? rcodes.NXDOMAIN : rcodes.NOERROR),
      authoritative: found.kind !== "referral",
      answers: found.answers,
      authority: found.authority,
      additional: found.additional,
    };
    return found.alias === undefined ? answer : followOut(answer, found.alias, q, c);
  };
}

async function followOut(answer: Message, alias: DomainName, q: Query, c: DnsContext): Promise<Message> {
  const target = await c.lookup(askInstead(q, { ...q.question, name: alias }));
  if (target.rcode === rcodes.REFUSED) return answer;
  return { ...answer, rcode: target.rcode, answers: [...answer.answers, ...target.answers], authority: target.authority };
}
