import { encodeMessage, flagBits, type Message } from "./message.ts";

/** Names later in a message than this cannot be pointed at. */
const messageBytes = 0x3fff;
const firstCount = 100;

/**
 * An answer of more records than one message has room for, as several messages, all with its question (RFC 5936 section 2.2). Made one
 * by one. Throws a RangeError for a record that no message holds.
 */
export function* encodeSeries(m: Message): Iterable<Uint8Array> {
  let count = firstCount;
  for (let at = 0; at < m.answers.length; ) {
    const bytes = encodeMessage({ ...m, answers: m.answers.slice(at, at + count), authority: [], additional: [] }, messageBytes);
    if (!isCut(bytes)) {
      yield bytes;
      at += count;
      count = firstCount;
    } else if (count > 1) count >>= 1;
    else {
      // a single record may be longer than a message usually is
      const whole = encodeMessage({ ...m, answers: m.answers.slice(at, at + 1), authority: [], additional: [] });
      if (isCut(whole)) throw new RangeError(`a record of ${m.answers[at]?.name} has no room in a message`);
      yield whole;
      at++;
    }
  }
}

function isCut(bytes: Uint8Array): boolean {
  return (((bytes[2] ?? 0) << 8) & flagBits.tc) !== 0;
}
