import { unreachable } from "../../src/base/unreachable.ts";
import type { Template, TemplateConfig } from "../corefile/plugins/template.ts";
import { isParseError } from "../wire/errors.ts";
import type { Message } from "../wire/message.ts";
import { canonicalName, type DomainName } from "../wire/name.ts";
import type { ResourceRecord } from "../wire/record.ts";
import { classAny, printClass, printType, rcodes, typeNumbers } from "../wire/record-type.ts";
import { parseRecord } from "../wire/zone-file.ts";
import { extendedError } from "./acl.ts";
import { askInstead, type DnsContext, emptyAnswer, type Query, type Wrap } from "./handler.ts";
import { closestZone, isLeft } from "./zone-match.ts";

/** Answers made of the question by patterns. The first template whose pattern fits makes the answer. */
export function answerTemplates(templates: readonly TemplateConfig[], countFailure: (zone: string) => void): Wrap {
  return (next) => async (q, c) => {
    for (const t of templates) {
      const zone = closestZone(canonicalName(q.question.name), t.zones);
      const { type, class: rrClass } = q.question;
      if (zone === undefined || (t.class !== classAny && t.class !== rrClass)) continue;
      if (t.type !== typeNumbers.ANY && t.type !== type) continue;
      const found = firstMatch(t.match, q.question.name);
      if (found === undefined) {
        if (isLeft(canonicalName(q.question.name), t.fallthrough)) continue;
        c.took.add("template");
        return emptyAnswer(q.message, rcodes.SERVFAIL);
      }
      c.took.add("template");
      try {
        return await followAlias(fill(t, zone, found, q, c), q, c);
      } catch (error) {
        // what the pattern let through does not make a record
        if (!isParseError(error)) throw error;
        countFailure(zone);
        return emptyAnswer(q.message, rcodes.SERVFAIL);
      }
    }
    return next(q, c);
  };
}

function firstMatch(patterns: readonly RegExp[], name: DomainName): RegExpExecArray | undefined {
  for (const pattern of patterns) {
    const found = pattern.exec(name);
    if (found !== null) return found;
  }
  return undefined;
}

function fill(t: TemplateConfig, zone: DomainName, found: RegExpExecArray, q: Query, c: DnsContext): Message {
  const records = (of: readonly Template[]): readonly ResourceRecord[] =>
    of.map((one) => parseRecord(printTemplate(one, zone, found, q, c)));
  const answer: Message = {
    ...emptyAnswer(q.message, t.rcode),
    authoritative: true,
    answers: records(t.answer),
    authority: records(t.authority),
    additional: records(t.additional),
  };
  if (t.extendedError === undefined || q.message.edns === undefined) return answer;
  const option = extendedError(t.extendedError.code, t.extendedError.text);
  return { ...answer, edns: { udpSize: 0, version: 0, dnssecOk: false, options: [option] } };
}

function printTemplate(parts: Template, zone: DomainName, found: RegExpExecArray, q: Query, c: DnsContext): string {
  const group = (name: string): string => (/^[0-9]+$/.test(name) ? found[Number(name)] : found.groups?.[name]) ?? "";
  return parts
    .map((part) => {
      switch (part.kind) {
        case "text":
          return part.text;
        case "group":
          return part.base === undefined ? group(part.group) : String(Number.parseInt(group(part.group), part.base));
        case "metadata":
          return c.metadata.get(part.label) ?? "";
        case "field":
          switch (part.name) {
            case "Name":
              return q.question.name;
            case "Zone":
              return zone;
            case "Class":
              return printClass(q.question.class);
            case "Type":
              return printType(q.question.type);
            case "Match":
              return found[0];
            case "Remote":
              return q.client;
            case "Id":
              return String(q.message.id);
            default:
              return unreachable(part.name);
          }
        default:
          return unreachable(part);
      }
    })
    .join("");
}

/** A template that makes an alias leaves its target to the whole server. */
async function followAlias(answer: Message, q: Query, c: DnsContext): Promise<Message> {
  const [only, ...more] = answer.answers;
  const { type } = q.question;
  if (only?.data.kind !== "CNAME" || more.length > 0 || type === typeNumbers.CNAME || type === typeNumbers.ANY) return answer;
  const target = await c.lookup(askInstead(q, { ...q.question, name: only.data.target }));
  if (target.rcode === rcodes.REFUSED) return answer;
  return { ...answer, rcode: target.rcode, answers: [only, ...target.answers], authority: [...answer.authority, ...target.authority] };
}
