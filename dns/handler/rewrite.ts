import { ipBytes, ipFamily } from "../../src/base/ip.ts";
import { unreachable } from "../../src/base/unreachable.ts";
import type { AnswerRewrite, NameMatch, RewriteRule } from "../corefile/plugins/rewrite.ts";
import { type EdnsOption, ednsOptions } from "../wire/edns.ts";
import { isParseError } from "../wire/errors.ts";
import type { Message, Question } from "../wire/message.ts";
import { canonicalName, type DomainName, encodeName } from "../wire/name.ts";
import type { RecordData, ResourceRecord } from "../wire/record.ts";
import { printType, rcodes } from "../wire/record-type.ts";
import { askInstead, type DnsContext, emptyAnswer, type Query, type Wrap } from "./handler.ts";

/** What a rule that was applied does to the answer. */
type Undo = (answer: Message) => Message;

/**
 * Changes questions on their way in, and answers on their way out so that the client finds what it asked for. Rules are tried in
 * order, and the first that changes something is the last, unless it says to go on.
 */
export function rewriteQueries(rules: readonly RewriteRule[]): Wrap {
  return (next) => async (q, c) => {
    let query = q;
    const undo: Undo[] = [];
    const cnames: Extract<RewriteRule, { field: "cname" }>[] = [];
    for (const rule of rules) {
      if (rule.field === "cname") {
        cnames.push(rule);
        continue;
      }
      const applied = applyRule(rule, query, q, c);
      if (applied === undefined) continue;
      c.took.add("rewrite");
      query = applied.query;
      undo.push(applied.undo);
      if (rule.mode === "stop") break;
    }
    const answer = await redirectAliases(await next(query, c), query, c, cnames);
    if (query === q && undo.length === 0) return answer;
    const restored = undo.reduceRight((m, change) => change(m), answer);
    return { ...restored, questions: q.message.questions };
  };
}

interface Applied {
  readonly query: Query;
  readonly undo: Undo;
}

const asItIs: Undo = (answer) => answer;

function applyRule(rule: Exclude<RewriteRule, { field: "cname" }>, q: Query, client: Query, c: DnsContext): Applied | undefined {
  const { question } = q;
  switch (rule.field) {
    case "name": {
      const to = rewrittenName(rule.match, rule.to, question.name);
      if (to === undefined) return undefined;
      const back = rule.auto ? [exactly(to, question.name)] : [];
      const changes = rule.answers.map(byPattern);
      return {
        query: withQuestion(q, { ...question, name: to }),
        undo: (m) =>
          mapNames(m, {
            owner: [...back, ...changes.filter((x) => x.of === "name")],
            data: [...back, ...changes.filter((x) => x.of === "value")],
          }),
      };
    }
    case "type":
    case "class": {
      if (question[rule.field] !== rule.from || (rule.match !== undefined && !matches(rule.match, question.name))) return undefined;
      return { query: withQuestion(q, { ...question, [rule.field]: rule.to }), undo: asItIs };
    }
    case "ttl": {
      if (!matches(rule.match, question.name)) return undefined;
      const clamp = (r: ResourceRecord): ResourceRecord => ({ ...r, ttl: Math.min(Math.max(r.ttl, rule.least), rule.most) });
      return { query: q, undo: (m) => mapRecords(m, clamp) };
    }
    case "rcode": {
      if (!matches(rule.match, question.name)) return undefined;
      return { query: q, undo: (m) => (m.rcode === rule.from ? { ...m, rcode: rule.to } : m) };
    }
    case "edns0":
      return rewriteEdns(rule, q, client, c);
    default:
      return unreachable(rule);
  }
}

function withQuestion(q: Query, question: Question): Query {
  return { ...q, question, message: { ...q.message, questions: [question] } };
}

function matches(match: NameMatch, name: DomainName): boolean {
  const text = canonicalName(name);
  switch (match.kind) {
    case "exact":
      return text === match.text;
    case "prefix":
      return text.startsWith(match.text);
    case "suffix":
      return text.endsWith(match.text);
    case "substring":
      return text.includes(match.text);
    case "regex":
      return match.pattern.test(text);
    default:
      return unreachable(match);
  }
}

/** Undefined when the rule does not fit, or what it makes is no name. */
function rewrittenName(match: NameMatch, to: string, name: DomainName): DomainName | undefined {
  const text = canonicalName(name);
  if (!matches(match, name)) return undefined;
  const made = (): string => {
    switch (match.kind) {
      case "exact":
        return to;
      case "prefix":
        return to + text.slice(match.text.length);
      case "suffix":
        return text.slice(0, text.length - match.text.length) + to;
      case "substring":
        return text.replaceAll(match.text, to);
      case "regex":
        return withGroups(to, match.pattern.exec(text));
      default:
        return unreachable(match);
    }
  };
  return nameOrNothing(made());
}

function nameOrNothing(text: string): DomainName | undefined {
  try {
    encodeName(text);
    return canonicalName(text);
  } catch (error) {
    if (isParseError(error)) return undefined;
    throw error;
  }
}

/** `{1}` is the first group. */
function withGroups(to: string, found: RegExpExecArray | null): string {
  return to.replace(/\{([0-9]{1,2})\}/g, (_, n: string) => found?.[Number(n)] ?? "");
}

/** A change of names in answers. */
interface NameChange {
  readonly of: "name" | "value";
  readonly to: (name: DomainName) => DomainName;
}

function exactly(from: DomainName, to: DomainName): NameChange {
  const wanted = canonicalName(from);
  return { of: "name", to: (name) => (canonicalName(name) === wanted ? to : name) };
}

function byPattern(rule: AnswerRewrite): NameChange {
  return {
    of: rule.of,
    to: (name) => {
      const found = rule.pattern.exec(name);
      // anchored or not, the whole name becomes what the rule says
      return found === null ? name : (nameOrNothing(withGroups(rule.to, found)) ?? name);
    },
  };
}

function mapNames(m: Message, changes: { readonly owner: readonly NameChange[]; readonly data: readonly NameChange[] }): Message {
  const apply = (list: readonly NameChange[], name: DomainName): DomainName => list.reduce((n, change) => change.to(n), name);
  return mapRecords(m, (r) => ({ ...r, name: apply(changes.owner, r.name), data: mapTarget(r.data, (name) => apply(changes.data, name)) }));
}

function mapTarget(data: RecordData, change: (name: DomainName) => DomainName): RecordData {
  switch (data.kind) {
    case "NS":
    case "CNAME":
    case "PTR":
    case "DNAME":
    case "SRV":
      return { ...data, target: change(data.target) };
    case "MX":
      return { ...data, exchange: change(data.exchange) };
    case "NAPTR":
      return { ...data, replacement: change(data.replacement) };
    case "SOA":
      return { ...data, primary: change(data.primary), mailbox: change(data.mailbox) };
    default:
      return data;
  }
}

function mapRecords(m: Message, change: (r: ResourceRecord) => ResourceRecord): Message {
  return { ...m, answers: m.answers.map(change), authority: m.authority.map(change), additional: m.additional.map(change) };
}

/** An alias whose target a rule names leads elsewhere: the rest of the answer is that target's. */
async function redirectAliases(
  answer: Message,
  q: Query,
  c: DnsContext,
  rules: readonly Extract<RewriteRule, { field: "cname" }>[],
): Promise<Message> {
  for (const rule of rules) {
    const at = answer.answers.findIndex((r) => r.data.kind === "CNAME" && matches(rule.match, r.data.target));
    const alias = answer.answers[at];
    if (alias === undefined) continue;
    c.took.add("rewrite");
    const target = await c.lookup(askInstead(q, { ...q.question, name: rule.to }));
    if (target.rcode === rcodes.SERVFAIL) return emptyAnswer(q.message, rcodes.SERVFAIL);
    const kept = answer.answers.slice(0, at);
    return {
      ...answer,
      rcode: target.rcode,
      answers: [...kept, { ...alias, data: { kind: "CNAME", target: rule.to } }, ...target.answers],
      authority: target.authority,
      additional: target.additional,
    };
  }
  return answer;
}

function rewriteEdns(rule: Extract<RewriteRule, { field: "edns0" }>, q: Query, client: Query, c: DnsContext): Applied | undefined {
  const known = q.message.edns ?? { udpSize: 1232, version: 0, dnssecOk: false, options: [] };
  const code = rule.option.kind === "local" ? rule.option.code : rule.option.kind === "nsid" ? ednsOptions.nsid : ednsOptions.clientSubnet;
  const isThere = known.options.some((o) => o.code === code);
  if ((rule.action === "replace" || rule.action === "unset") && !isThere) return undefined;
  if (rule.action === "append" && isThere) return undefined;
  const others = known.options.filter((o) => o.code !== code);
  const option = rule.action === "unset" ? undefined : optionOf(rule.option, code, client, c);
  const options = option === undefined ? others : [...others, option];
  if (option !== undefined) c.upstreamOptions.add(code);
  return {
    query: { ...q, message: { ...q.message, edns: { ...known, options } } },
    undo: rule.revert
      ? (m) => (m.edns === undefined ? m : { ...m, edns: { ...m.edns, options: m.edns.options.filter((o) => o.code !== code) } })
      : asItIs,
  };
}

function optionOf(o: Extract<RewriteRule, { field: "edns0" }>["option"], code: number, q: Query, c: DnsContext): EdnsOption | undefined {
  switch (o.kind) {
    case "nsid":
      return { code, hex: "" };
    case "local": {
      if (o.value === undefined) return undefined;
      return { code, hex: o.value.kind === "bytes" ? o.value.hex : variableHex(o.value.name, q, c) };
    }
    case "subnet": {
      // RFC 7871 section 6: family, source and scope prefix, and no more bytes of the address than the prefix has
      const family = ipFamily(q.client);
      const bits = family === 4 ? o.bits4 : o.bits6;
      const bytes = Uint8Array.from(ipBytes(q.client).subarray(0, Math.ceil(bits / 8)));
      if (bits % 8 !== 0) bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) & (0xff << (8 - (bits % 8)));
      return { code, hex: Buffer.from([0, family === 4 ? 1 : 2, bits, 0, ...bytes]).toString("hex") };
    }
    default:
      return unreachable(o);
  }
}

function variableHex(name: string, q: Query, c: DnsContext): string {
  const text = (t: string): string => Buffer.from(t, "utf8").toString("hex");
  const port = (n: number): string => n.toString(16).padStart(4, "0");
  switch (name) {
    case "qname":
      return text(q.question.name);
    case "qtype":
      return text(printType(q.question.type));
    case "client_ip":
      return Buffer.from(ipBytes(q.client)).toString("hex");
    case "client_port":
      return port(q.clientPort ?? 0);
    case "protocol":
      return text(q.transport);
    case "server_ip":
      return Buffer.from(ipBytes(q.server?.ip ?? "0.0.0.0")).toString("hex");
    case "server_port":
      return port(q.server?.port ?? 53);
    default:
      return text(c.metadata.get(name) ?? "");
  }
}
