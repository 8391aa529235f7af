import { readFile } from "node:fs/promises";
import { parseKeyFile, type TsigConfig } from "../corefile/plugins/tsig.ts";
import { emptyAnswer } from "../handler/handler.ts";
import { closestZone } from "../handler/zone-match.ts";
import { isParseError } from "../wire/errors.ts";
import { decodeMessage, encodeMessage, type Message } from "../wire/message.ts";
import { canonicalName } from "../wire/name.ts";
import { rcodes } from "../wire/record-type.ts";
import { appendUnsigned, checkTsig, type TsigKeys, TsigSigner, takeTsig, tsigErrors } from "../wire/tsig.ts";
import { type QueryEngine, refuseBytes } from "./engine.ts";
import { slipAnswer } from "./response-rate.ts";

export interface SigningParts {
  readonly keys: TsigKeys;
  readonly configs: readonly TsigConfig[];
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** The largest UDP answer sent. */
  readonly udpBytes: number;
}

/** The keys of a server's blocks. Rejects for a file that cannot be read, or is none of keys. */
export async function readKeys(configs: readonly TsigConfig[]): Promise<TsigKeys> {
  const files = await Promise.all(configs.flatMap((c) => c.files).map(async (file) => parseKeyFile(await readFile(file, "utf8"), file)));
  const all = [...configs.flatMap((c) => c.secrets), ...files.flat()];
  return new Map(all.map(({ name, secret }) => [name, Buffer.from(secret, "base64")]));
}

/** What a query's signature says of it: how it is answered, or what is said at once. */
type Verdict =
  | { readonly kind: "plain" }
  | { readonly kind: "signed"; readonly query: Uint8Array; readonly signer: TsigSigner }
  | { readonly kind: "refused"; readonly answer: Uint8Array | undefined };

/**
 * Checks the signatures of queries and signs what answers them (RFC 8945): around an engine, which sees queries without signatures, so
 * that nothing of it costs those who sign nothing. Bad ones get NOTAUTH, and those that must be signed REFUSED.
 */
export function answerSigned(engine: QueryEngine, parts: SigningParts): QueryEngine {
  const { keys, configs, udpBytes } = parts;
  const seconds = (): number => Math.floor(parts.now() / 1000);
  const mustSign = ({ opcode, questions }: Message): boolean =>
    configs.some(({ zones, types, opcodes }) => {
      const [question] = questions;
      if (question === undefined || closestZone(canonicalName(question.name), zones) === undefined) return false;
      return types === "all" || types.includes(question.type) || opcodes === "all" || opcodes.includes(opcode);
    });
  const refuse = (query: Message, rcode: number): Uint8Array => encodeMessage({ ...emptyAnswer(query, rcode), opcode: query.opcode });
  const judge = (bytes: Uint8Array): Verdict => {
    try {
      const signed = takeTsig(bytes);
      const query = decodeMessage(signed?.bytes ?? bytes);
      if (signed === undefined) return mustSign(query) ? { kind: "refused", answer: refuse(query, rcodes.REFUSED) } : { kind: "plain" };
      const { record } = signed;
      const error = checkTsig(signed, keys, seconds());
      if (error === undefined) return { kind: "signed", query: signed.bytes, signer: new TsigSigner(record, keys) };
      const answer = refuse(query, rcodes.NOTAUTH);
      const isSigned = error === tsigErrors.BADTIME || error === tsigErrors.BADTRUNC;
      return {
        kind: "refused",
        answer: isSigned ? new TsigSigner(record, keys).sign(answer, seconds(), error) : appendUnsigned(answer, record, error),
      };
    } catch (error) {
      if (isParseError(error)) return { kind: "refused", answer: refuseBytes(bytes, rcodes.FORMERR) };
      throw error;
    }
  };
  function* signAll(messages: Iterable<Uint8Array>, signer: TsigSigner): Iterable<Uint8Array> {
    for (const message of messages) yield signer.sign(message, seconds());
  }
  const some = (answer: Uint8Array | undefined): readonly Uint8Array[] => (answer === undefined ? [] : [answer]);
  // what is asked all the time must be signed nowhere, or else each query is looked at
  const isOftenSigned = configs.some(
    ({ types, opcodes }) => types === "all" || opcodes === "all" || types.some(isOrdinary) || opcodes.includes(0),
  );
  return {
    warm: (queries, count) => engine.warm(queries, count),
    // whoever signs is none of the answerer's: it leaves records besides OPT to the chain
    now: (query, n, client, out, transport) => {
      if (isOftenSigned && judge(query.subarray(0, n)).kind !== "plain") return undefined;
      return engine.now(query, n, client, out, transport);
    },
    transfer: (query, client) => {
      const verdict = judge(query);
      if (verdict.kind === "refused") return some(verdict.answer);
      if (verdict.kind === "plain") return engine.transfer(query, client);
      const messages = engine.transfer(verdict.query, client);
      return messages === undefined ? undefined : signAll(messages, verdict.signer);
    },
    later: async (query, client, transport) => {
      const verdict = judge(query);
      if (verdict.kind === "refused") return verdict.answer;
      if (verdict.kind === "plain") return engine.later(query, client, transport);
      const answer = await engine.later(verdict.query, client, transport);
      if (answer === undefined || transport !== "udp") return answer === undefined ? undefined : verdict.signer.sign(answer, seconds());
      const limit = Math.min(Math.max(decodeMessage(verdict.query).edns?.udpSize ?? 0, leastUdpAnswer), udpBytes);
      const fits = answer.length + verdict.signer.bytes <= limit;
      return verdict.signer.sign(fits ? answer : answer.subarray(0, slipAnswer(answer, answer.length)), seconds());
    },
    series: async (query, client, transport) => {
      const verdict = judge(query);
      if (verdict.kind === "refused") return some(verdict.answer);
      if (verdict.kind === "plain") return engine.series(query, client, transport);
      return signAll(await engine.series(verdict.query, client, transport), verdict.signer);
    },
  };
}

const leastUdpAnswer = 512;

/** Meta types are asked for seldom, and never by the answerer. */
function isOrdinary(type: number): boolean {
  return type < 128 || type === 255;
}
