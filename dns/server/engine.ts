import type { Clock } from "../../src/base/clock.ts";
import type { Ip } from "../../src/base/ip.ts";
import type { Answerer, DnsTransport } from "../answer/answerer.ts";
import { type DnsHandler, emptyAnswer } from "../handler/handler.ts";
import { isParseError } from "../wire/errors.ts";
import { decodeMessage, encodeMessage, headerBytes, type Message } from "../wire/message.ts";
import { rcodes, typeNumbers } from "../wire/record-type.ts";
import type { DnsMetrics } from "./dns-metrics.ts";
import type { ZoneTransfers } from "./zone-transfers.ts";

/** What a listener needs: answers. */
export interface QueryEngine {
  /**
   * Answers `query[0..n)` into `out`: the length (0 = no answer), or undefined when it will take time; then `later` is asked
   * with bytes of its own.
   */
  now(query: Uint8Array, n: number, client: Ip, out: Uint8Array, transport: DnsTransport): number | undefined;
  /** Resolves to undefined when there is nothing to send; never rejects. */
  later(query: Uint8Array, client: Ip, transport: DnsTransport): Promise<Uint8Array | undefined>;
  /** The messages of a zone transfer, to be asked right after `now` gave undefined; undefined for all that is none. */
  transfer(query: Uint8Array, client: Ip): Iterable<Uint8Array> | undefined;
}

export interface EngineParts {
  readonly answerer: Answerer;
  readonly chain: DnsHandler;
  readonly transfers: ZoneTransfers;
  readonly metrics: DnsMetrics;
  readonly clock: Clock;
  /** Aborts when the server closes. */
  readonly signal: AbortSignal;
}

const maxUdpAnswer = 1232;
const leastUdpAnswer = 512;

/** Answers from memory where it can, else from the chain, and counts both. */
export function createEngine(parts: EngineParts): QueryEngine {
  const { answerer, chain, transfers, metrics, clock, signal } = parts;
  return {
    now: (query, n, client, out, transport) => {
      const started = clock.monotonic();
      const length = answerer.answer(query, n, client, out, transport);
      if (length !== undefined && length > 0) {
        metrics.count({ transport, client, type: answerer.lastType }, (out[3] ?? 0) & 15, "kubernetes", clock.monotonic() - started);
      }
      return length;
    },
    transfer: (bytes, client) => {
      const { lastType: type } = answerer;
      if (type !== typeNumbers.AXFR && type !== typeNumbers.IXFR) return undefined;
      const messages = transfers.answer(bytes, client, "stream");
      if (messages !== undefined) metrics.count({ transport: "tcp", client, type }, rcodes.NOERROR, "transfer", 0);
      return messages;
    },
    later: async (bytes, client, transport) => {
      const started = clock.monotonic();
      const query = readQuery(bytes);
      if (query === undefined) return refuseBytes(bytes, rcodes.FORMERR);
      const [question] = query.questions;
      if (question === undefined) return refuseBytes(bytes, rcodes.FORMERR);
      if (question.type === typeNumbers.IXFR && transport === "udp") {
        for (const message of transfers.answer(bytes, client, "datagram") ?? []) return message;
      }
      const took = new Set<string>();
      let answer: Message;
      try {
        answer = await chain({ message: query, question, client, transport }, { signal, took });
      } catch {
        // only wraps outside of the one that answers failures can throw; their fault is the same to a client
        answer = emptyAnswer(query, rcodes.SERVFAIL);
        metrics.countSingle("panics");
      }
      metrics.count({ transport, client, type: question.type }, answer.rcode, Array.from(took).at(-1) ?? "", clock.monotonic() - started);
      return encodeMessage(answer, transport === "tcp" ? 0xffff : udpLimit(query));
    },
  };
}

/** Undefined for what is no query with one question. */
function readQuery(bytes: Uint8Array): Message | undefined {
  try {
    const message = decodeMessage(bytes);
    return message.questions.length === 1 ? message : undefined;
  } catch (error) {
    if (isParseError(error)) return undefined;
    throw error;
  }
}

function udpLimit(query: Message): number {
  return Math.min(Math.max(query.edns?.udpSize ?? 0, leastUdpAnswer), maxUdpAnswer);
}

/** A header alone: what can be said to a query whose rest cannot be read. */
function refuseBytes(query: Uint8Array, rcode: number): Uint8Array | undefined {
  if (query.length < headerBytes) return undefined;
  const out = new Uint8Array(headerBytes);
  out[0] = query[0] ?? 0;
  out[1] = query[1] ?? 0;
  // response, with the opcode and RD of the query
  out[2] = 0x80 | ((query[2] ?? 0) & 0x79);
  out[3] = rcode;
  return out;
}
