import type { Ip } from "../../src/base/ip.ts";
import type { DnsTransport } from "../answer/edns-answers.ts";
import type { DnsAddress } from "../config/dns-config.ts";
import type { Message, Question } from "../wire/message.ts";
import type { ResourceRecord } from "../wire/record.ts";
import { rcodes } from "../wire/record-type.ts";

/** A query on its way through the chain. */
export interface Query {
  readonly message: Message;
  /** The first and only question of `message`. */
  readonly question: Question;
  readonly client: Ip;
  readonly transport: DnsTransport;
  /** 0 where it is not known. */
  readonly clientPort?: number;
  /** Where the query came in. */
  readonly server?: DnsAddress;
}

/** What a query's handlers share. */
export interface DnsContext {
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  /** Who had a part in the answer, by CoreDNS's plugin names. */
  readonly took: Set<string>;
  /** Facts that plugins tell each other, by `plugin/name`. */
  readonly metadata: Map<string, string>;
  /** EDNS options that were put into the query here, and go to upstreams; the client's own do not. */
  readonly upstreamOptions: Set<number>;
  /** `dropped`: no answer is sent. */
  readonly reply: { dropped: boolean };
  /** Asks the whole server another question for the same client: where aliases lead. Ends in SERVFAIL for questions that go round. */
  readonly lookup: (q: Query) => Promise<Message>;
}

/** A context for a query from outside. */
export function createContext(o: { readonly signal: AbortSignal; readonly lookup?: DnsContext["lookup"] }): DnsContext {
  return {
    signal: o.signal,
    took: new Set(),
    metadata: new Map(),
    upstreamOptions: new Set(),
    reply: { dropped: false },
    lookup: o.lookup ?? ((q) => Promise.resolve(emptyAnswer(q.message, rcodes.REFUSED))),
  };
}

/** Returns the answer; a fault that has no answer is thrown, and becomes SERVFAIL in one place. */
export type DnsHandler = (q: Query, c: DnsContext) => Message | Promise<Message>;

/** A handler that may leave the query to the one behind it, or change what that one says. */
export type Wrap = (next: DnsHandler) => DnsHandler;

/** The first wrap sees a query first. */
export function composeChain(wraps: readonly Wrap[], last: DnsHandler): DnsHandler {
  return wraps.reduceRight<DnsHandler>((next, wrap) => wrap(next), last);
}

/** An answer to `query` without records. */
export function emptyAnswer(query: Message, rcode: number): Message {
  return {
    id: query.id,
    isResponse: true,
    opcode: query.opcode,
    authoritative: false,
    truncated: false,
    recursionDesired: query.recursionDesired,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: query.checkingDisabled,
    rcode,
    questions: query.questions,
    answers: [],
    authority: [],
    additional: [],
  };
}

/** An authoritative answer of records. */
export function recordAnswer(query: Message, answers: readonly ResourceRecord[], more: Partial<Message> = {}): Message {
  return { ...emptyAnswer(query, rcodes.NOERROR), authoritative: true, answers, ...more };
}

/** The same client's query for another question. */
export function askInstead(q: Query, question: Question): Query {
  return {
    ...q,
    question,
    message: { ...questionMessage(question, { id: q.message.id, like: q.message }), recursionDesired: q.message.recursionDesired },
  };
}

/** A query of our own. */
export function questionMessage(question: Question, o: { readonly id: number; readonly like?: Message }): Message {
  return {
    id: o.id,
    isResponse: false,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: true,
    recursionAvailable: false,
    authenticData: o.like?.authenticData ?? false,
    checkingDisabled: o.like?.checkingDisabled ?? false,
    rcode: 0,
    questions: [question],
    answers: [],
    authority: [],
    additional: [],
    edns: { udpSize: 1232, version: 0, dnssecOk: o.like?.edns?.dnssecOk ?? false, options: [] },
  };
}
