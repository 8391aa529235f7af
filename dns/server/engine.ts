import type { Clock } from "../../src/base/clock.ts";
import type { Ip } from "../../src/base/ip.ts";
import type { Answerer } from "../answer/answerer.ts";
import type { DnsTransport, EdnsAnswers } from "../answer/edns-answers.ts";
import type { DnsAddress } from "../config/dns-config.ts";
import type { CachedNow } from "../handler/cached-now.ts";
import type { Directness } from "../handler/directness.ts";
import { createContext, type DnsHandler, emptyAnswer } from "../handler/handler.ts";
import { isParseError } from "../wire/errors.ts";
import { decodeMessage, encodeMessage, headerBytes, type Message, withoutEdns } from "../wire/message.ts";
import { encodeSeries } from "../wire/message-series.ts";
import { rcodes, typeNumbers } from "../wire/record-type.ts";
import type { DnsMetrics } from "./dns-metrics.ts";
import type { QueryAccounts } from "./query-accounts.ts";
import type { QueryCounts } from "./query-counts.ts";
import type { ZoneTransfers } from "./zone-transfers.ts";

/** What a listener needs: answers. */
export interface QueryEngine {
  /** To be told before several queries that came together are answered one after the other: each then costs less. */
  warm(queries: readonly Uint8Array[], count: number): void;
  /**
   * Answers `query[0..n)` into `out`: the length (0 = no answer), or undefined when it will take time; then `later` is asked
   * with bytes of its own.
   */
  now(query: Uint8Array, n: number, client: Ip, out: Uint8Array, transport: DnsTransport): number | undefined;
  /** Resolves to undefined when there is nothing to send; never rejects. */
  later(query: Uint8Array, client: Ip, transport: DnsTransport): Promise<Uint8Array | undefined>;
  /** The same for a stream, where an answer may be several messages: a zone of a file or of another server. Never rejects. */
  series(query: Uint8Array, client: Ip, transport: DnsTransport): Promise<Iterable<Uint8Array>>;
  /** The messages of a zone transfer, to be asked right after `now` gave undefined; undefined for all that is none. */
  transfer(query: Uint8Array, client: Ip): Iterable<Uint8Array> | undefined;
}

export interface EngineParts {
  readonly answerer: Answerer;
  readonly chain: DnsHandler;
  /** Answers what a cache has, without asking `chain`. */
  readonly cachedNow: CachedNow;
  /** How much the answerer may say without asking `chain`. */
  readonly directness: () => Directness;
  /** Where the queries come in. */
  readonly server: () => DnsAddress;
  readonly transfers: ZoneTransfers;
  /** The answerer's. */
  readonly edns: EdnsAnswers;
  /** The largest UDP answer sent. */
  readonly udpBytes: number;
  readonly metrics: DnsMetrics;
  /** Of this listener; asked for when there is a query. */
  readonly counts: () => QueryCounts;
  readonly accounts: QueryAccounts;
  readonly clock: Clock;
  /** Aborts when the server closes. */
  readonly signal: AbortSignal;
}

interface Reply {
  readonly query: Message;
  readonly answer: Message;
}

/** Who asked, and when (milliseconds of the clock). */
interface Asked {
  readonly client: Ip;
  readonly transport: DnsTransport;
  readonly started: number;
}

/** Of an option that makes lengths tell little. */
const maxPadding = 512;
const leastUdpAnswer = 512;

/** Answers from memory where it can, else from the chain, and counts both. */
export function createEngine(parts: EngineParts): QueryEngine {
  const { answerer, chain, directness, transfers, edns, metrics, counts, accounts, clock, signal } = parts;
  return {
    warm: (queries, count) => answerer.warm(queries, count),
    now: (query, n, client, out, transport) => {
      const started = clock.monotonic();
      const length = answerer.answer(query, n, client, out, transport);
      if (length === undefined) return cachedAnswer(query, n, { client, transport, started }, out);
      if (length > 0) {
        const rcode = (out[3] ?? 0) & 15;
        const direct = directness();
        if (direct !== "all" && !isFinal(rcode, direct)) return undefined;
        accounts.count(client, query, n, rcode);
        counts().count({ transport, client, type: answerer.lastType, bytes: n }, rcode, "kubernetes", clock.monotonic() - started);
        counts().sent(transport, length);
      }
      return length;
    },
    transfer: (bytes, client) => {
      const { lastType: type } = answerer;
      if (type !== typeNumbers.AXFR && type !== typeNumbers.IXFR) return undefined;
      const messages = transfers.answer(bytes, client, "stream");
      if (messages !== undefined) counts().count({ transport: "tcp", client, type, bytes: bytes.length }, rcodes.NOERROR, "transfer", 0);
      return messages;
    },
    later: async (bytes, client, transport) => {
      const reply = await respond(bytes, client, transport);
      if (reply === undefined || reply instanceof Uint8Array) return reply;
      const bytesSent = encodeAnswer(reply.query, reply.answer, client, transport);
      counts().sent(transport, bytesSent.length);
      return bytesSent;
    },
    series: async (bytes, client, transport) => {
      const reply = await respond(bytes, client, transport);
      if (reply === undefined) return [];
      if (reply instanceof Uint8Array) return [reply];
      const { query, answer } = reply;
      const isTransfer = query.questions.some((q) => q.type === typeNumbers.AXFR || q.type === typeNumbers.IXFR);
      if (isTransfer && answer.answers.length > 1) return encodeSeries(answer);
      const only = encodeAnswer(query, answer, client, transport);
      counts().sent(transport, only.length);
      return [only];
    },
  };

  /** What the chain says, or bytes for what is no question to it; undefined when nothing is sent. */
  async function respond(bytes: Uint8Array, client: Ip, transport: DnsTransport): Promise<Reply | Uint8Array | undefined> {
    const started = clock.monotonic();
    // while its socket is open: the answer may come when it no longer is
    const own = counts();
    const query = readQuery(bytes);
    const question = query?.questions[0];
    if (query === undefined || question === undefined) return refuseBytes(bytes, rcodes.FORMERR);
    if (question.type === typeNumbers.IXFR && transport === "udp") {
      for (const message of transfers.answer(bytes, client, "datagram") ?? []) return message;
    }
    const context = createContext({ signal });
    let answer: Message;
    try {
      const wrong = wrongOptions(query, client, transport);
      answer =
        wrong === undefined
          ? await chain({ message: query, question, client, transport, server: parts.server() }, context)
          : emptyAnswer(query, wrong);
    } catch {
      // only wraps outside of the one that answers failures can throw; their fault is the same to a client
      answer = emptyAnswer(query, rcodes.SERVFAIL);
      metrics.countSingle("panics");
    }
    own.count(
      { transport, client, type: question.type, bytes: bytes.length },
      answer.rcode,
      Array.from(context.took).at(-1) ?? "",
      clock.monotonic() - started,
    );
    accounts.count(client, bytes, bytes.length, answer.rcode);
    if (context.reply.dropped) return undefined;
    return { query, answer };
  }

  function cachedAnswer(query: Uint8Array, n: number, { client, transport, started }: Asked, out: Uint8Array): number | undefined {
    const plain = answerer.lastPlain;
    if (plain === undefined) return undefined;
    const { questionEnd, limit } = plain;
    const type = answerer.lastType;
    const end = parts.cachedNow({ bytes: query, questionEnd, type, dnssecOk: edns.dnssecOk, limit, client }, out);
    if (end === undefined) return undefined;
    const rcode = (out[3] ?? 0) & 15;
    if (edns.present) countOne(out, 10);
    accounts.count(client, query, n, rcode);
    const length = edns.write(out, end, 0);
    counts().count({ transport, client, type, bytes: n }, rcode, "cache", clock.monotonic() - started);
    counts().sent(transport, length);
    return length;
  }

  /** What is wrong with the OPT record of a query; the hot path says the same of those it answers. */
  function wrongOptions({ edns: asked }: Message, client: Ip, transport: DnsTransport): number | undefined {
    if (asked === undefined) return undefined;
    const isGood = edns.readDecoded(asked, client, transport);
    return asked.version !== 0 ? rcodes.BADVERS : isGood ? undefined : rcodes.FORMERR;
  }

  /** The OPT record is ours, never the upstream's, and written by the same code as in the hot path. */
  function encodeAnswer(query: Message, answer: Message, client: Ip, transport: DnsTransport): Uint8Array {
    if (query.edns === undefined) edns.clear();
    else edns.readDecoded(query.edns, client, transport);
    for (const option of answer.edns?.options ?? []) edns.add(option);
    // without OPT there is no place for the upper bits of the code
    const rcode = answer.rcode > 15 && !edns.present ? rcodes.SERVFAIL : answer.rcode;
    const plain = { ...withoutEdns(answer), rcode: rcode & 15 };
    const limit = transport === "udp" ? Math.min(Math.max(query.edns?.udpSize ?? 0, leastUdpAnswer), parts.udpBytes) : 0xffff;
    const body = encodeMessage(plain, limit - edns.bytes);
    if (!edns.present) return body;
    const out = new Uint8Array(transport === "udp" ? limit : Math.min(body.length + edns.bytes + maxPadding, 0xffff));
    out.set(body);
    countOne(out, 10);
    return out.subarray(0, edns.write(out, body.length, rcode >> 4));
  }
}

/** Of ANCOUNT in a message. */
const answerCountAt = 6;

function countAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

/** A record more in the 16 bits at `at`. */
function countOne(out: Uint8Array, at: number): void {
  const count = countAt(out, at) + 1;
  out[at] = count >>> 8;
  out[at + 1] = count;
}

/** What is wrong with a query is the answerer's to say, whatever the chain has to say of names. */
function isFinal(rcode: number, direct: "existing" | "none"): boolean {
  return direct === "existing" ? rcode !== rcodes.NXDOMAIN : rcode === rcodes.FORMERR || rcode === rcodes.NOTIMP;
}

/** Undefined for what is no query with one question, and for one that brings answers, which only a NOTIFY may (RFC 1996 section 3.7). */
function readQuery(bytes: Uint8Array): Message | undefined {
  try {
    const message = decodeMessage(bytes);
    const isOdd = message.opcode === 0 && countAt(bytes, answerCountAt) > 0;
    return message.questions.length === 1 && !isOdd ? message : undefined;
  } catch (error) {
    if (isParseError(error)) return undefined;
    throw error;
  }
}

/** A header alone: what can be said to a query whose rest cannot be read. */
export function refuseBytes(query: Uint8Array, rcode: number): Uint8Array | undefined {
  if (query.length < headerBytes) return undefined;
  const out = new Uint8Array(headerBytes);
  out[0] = query[0] ?? 0;
  out[1] = query[1] ?? 0;
  // response, with the opcode and RD of the query
  out[2] = 0x80 | ((query[2] ?? 0) & 0x79);
  out[3] = rcode;
  return out;
}
