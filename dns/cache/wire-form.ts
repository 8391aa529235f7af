import { u16 } from "../wire/big-endian.ts";
import { encodeMessage, headerBytes, type Message, withoutEdns } from "../wire/message.ts";
import { typeNumbers } from "../wire/record-type.ts";

/** A larger answer is made from its records each time. */
const maxBytes = 1232;

/** An answer as bytes that need little to be sent: the id, some flags, the letters of the question, and what is left of each TTL. */
export interface WireForm {
  /** Without OPT record. */
  readonly bytes: Uint8Array;
  readonly questionEnd: number;
  /** Where TTLs are. */
  readonly ttls: readonly number[];
  /** Addresses at the end of the answers that may come in any order: where they begin, how long each is, how many; none for less than two. */
  readonly rotated?: { readonly at: number; readonly stride: number; readonly count: number };
  /** Addresses or MX records whose order means something to who balances, and that `rotated` does not cover. */
  readonly isMixed: boolean;
}

/** Undefined for what is not worth it, or has no such form. */
export function wireFormOf(message: Message): WireForm | undefined {
  if (message.questions.length !== 1 || message.rcode > 15) return undefined;
  const bytes = encodeMessage({ ...withoutEdns(message), id: 0 });
  if (bytes.length > maxBytes) return undefined;
  let at = headerBytes;
  at = nameEnd(bytes, at) + 4;
  const questionEnd = at;
  const ttls: number[] = [];
  const records = message.answers.length + message.authority.length + message.additional.length;
  /** Of addresses among the answers. */
  const moved: { at: number; length: number; type: number }[] = [];
  let lastAnswerEnd = questionEnd;
  let balanced = 0;
  for (let i = 0; i < records; i++) {
    const start = at;
    const head = nameEnd(bytes, at);
    const type = u16(bytes, head);
    ttls.push(head + 4);
    at = head + 10 + u16(bytes, head + 8);
    const isBalanced = type === typeNumbers.A || type === typeNumbers.AAAA || type === typeNumbers.MX;
    if (isBalanced && (i < message.answers.length || i >= message.answers.length + message.authority.length)) balanced++;
    if (i >= message.answers.length) continue;
    lastAnswerEnd = at;
    if (isBalanced) moved.push({ at: start, length: at - start, type });
  }
  const [first] = moved;
  const isRun =
    first !== undefined &&
    moved.length > 1 &&
    moved.every((r, i) => r.type === first.type && r.length === first.length && r.at === first.at + i * first.length) &&
    first.at + moved.length * first.length === lastAnswerEnd &&
    balanced === moved.length;
  return {
    bytes,
    questionEnd,
    ttls,
    isMixed: balanced > 1 && !isRun,
    ...(isRun ? { rotated: { at: first.at, stride: first.length, count: moved.length } } : {}),
  };
}

function nameEnd(bytes: Uint8Array, start: number): number {
  let at = start;
  for (;;) {
    const length = bytes[at] ?? 0;
    if (length >= 0xc0) return at + 2;
    at += 1 + length;
    if (length === 0) return at;
  }
}
