/** Set on the type of an attribute that holds attributes. */
export const nested = 0x8000;
/** Set on the type of an attribute whose number is in network order, where the facility allows either. */
export const networkOrder = 0x4000;

/** Type (without flag bits) and payload of each attribute from `start`. */
export function* readAttributes(body: Buffer, start: number): Iterable<readonly [type: number, value: Buffer]> {
  for (let at = start; at + 4 <= body.length; ) {
    const length = body.readUInt16LE(at);
    if (length < 4 || at + length > body.length) return;
    yield [body.readUInt16LE(at + 2) & 0x3fff, body.subarray(at + 4, at + length)];
    at += (length + 3) & ~3;
  }
}

/**
 * Where the payload of the first attribute of a type starts, among those from `start` to `end`; -1: there is none. Makes nothing: for
 * dumps of hundreds of thousands of messages, of which little is wanted.
 */
export function findAttribute(body: Buffer, type: number, start: number, end: number): number {
  for (let at = start; at + 4 <= end; ) {
    const length = uint16At(body, at);
    if (length < 4 || at + length > end) return -1;
    if ((uint16At(body, at + 2) & 0x3fff) === type) return at + 4;
    at += (length + 3) & ~3;
  }
  return -1;
}

/** Of the attribute whose payload starts at `start`. */
export function endOfAttribute(body: Buffer, start: number): number {
  return start - 4 + uint16At(body, start - 4);
}

function uint16At(body: Buffer, at: number): number {
  return (body[at] ?? 0) | ((body[at + 1] ?? 0) << 8);
}

export function readString(value: Buffer): string {
  const end = value.indexOf(0);
  return value.toString("latin1", 0, end < 0 ? value.length : end);
}
