/** What answers differ by besides the question (RFC 4035 section 4.7, RFC 6840 section 5.7). */
export interface AnswerFlags {
  readonly dnssecOk: boolean;
  readonly checkingDisabled: boolean;
  readonly authenticData: boolean;
}

export function flagBitsOf({ dnssecOk, checkingDisabled, authenticData }: AnswerFlags): number {
  return (dnssecOk ? 1 : 0) | (checkingDisabled ? 2 : 0) | (authenticData ? 4 : 0);
}

const scratch = Buffer.alloc(260);

/** Of a question of class IN whose name lies on the wire at `[start, end)`, in any case. A key of a Map: no bytes are kept. */
export function wireKey(bytes: Uint8Array, start: number, end: number, type: number, flags: number): string {
  let n = 0;
  for (let i = start; i < end; i++) {
    const b = bytes[i] ?? 0;
    // lengths of labels are below 64
    scratch[n++] = b >= 0x41 && b <= 0x5a ? b + 0x20 : b;
  }
  scratch[n++] = type >>> 8;
  scratch[n++] = type;
  scratch[n++] = flags;
  return scratch.toString("latin1", 0, n);
}
