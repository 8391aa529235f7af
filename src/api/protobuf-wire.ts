/** What begins every protobuf body of the API. */
export const magic = Uint8Array.of(0x6b, 0x38, 0x73, 0x00);

/** What made bytes unreadable. */
export class WireError extends Error {
  override readonly name = "WireError";
  readonly code = "wire";
}

export const wireType = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** Reads one protobuf message from its bytes, field by field. Every length is held against what is there. */
export class WireReader {
  readonly #bytes: Uint8Array;
  #at: number;
  readonly #end: number;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  get done(): boolean {
    return this.#at >= this.#end;
  }

  /** The next field's number and wire type. */
  tag(): { readonly number: number; readonly wire: number } {
    const tag = this.varint();
    const number = Number(tag >> 3n);
    if (number < 1 || number > 0x1fffffff) throw new WireError(`illegal field number ${number}`);
    return { number, wire: Number(tag & 7n) };
  }

  /** An unsigned 64-bit number. */
  varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (this.#at >= this.#end) throw new WireError("unexpected EOF");
      const byte = this.#bytes[this.#at++] ?? 0;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new WireError("integer overflow");
  }

  /** The same as a signed number; exact up to 2^53. */
  signed(): number {
    return Number(BigInt.asIntN(64, this.varint()));
  }

  /** A length and that many bytes, as a view. */
  bytes(): Uint8Array {
    const length = this.varint();
    if (length > BigInt(this.#end - this.#at)) throw new WireError("unexpected EOF");
    const start = this.#at;
    this.#at += Number(length);
    return this.#bytes.subarray(start, this.#at);
  }

  double(): number {
    const at = this.#take(8);
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + at, 8).getFloat64(0, true);
  }

  skip(wire: number): void {
    if (wire === wireType.varint) this.varint();
    else if (wire === wireType.fixed64) this.#take(8);
    else if (wire === wireType.bytes) this.bytes();
    else if (wire === wireType.fixed32) this.#take(4);
    else throw new WireError(`illegal wire type ${wire}`);
  }

  #take(count: number): number {
    if (this.#end - this.#at < count) throw new WireError("unexpected EOF");
    const at = this.#at;
    this.#at += count;
    return at;
  }
}

/** Gathers the bytes of one message. */
export class WireWriter {
  readonly #chunks: Uint8Array[] = [];

  varint(number: number, value: bigint | number): void {
    this.#tag(number, wireType.varint);
    this.#raw(BigInt.asUintN(64, BigInt(value)));
  }

  bytes(number: number, value: Uint8Array): void {
    this.#tag(number, wireType.bytes);
    this.#raw(BigInt(value.length));
    this.#chunks.push(value);
  }

  double(number: number, value: number): void {
    this.#tag(number, wireType.fixed64);
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, value, true);
    this.#chunks.push(bytes);
  }

  finish(): Uint8Array {
    return Buffer.concat(this.#chunks);
  }

  #tag(number: number, wire: number): void {
    this.#raw((BigInt(number) << 3n) | BigInt(wire));
  }

  #raw(value: bigint): void {
    const bytes: number[] = [];
    for (; value >= 0x80n; value >>= 7n) bytes.push(Number(value & 0x7fn) | 0x80);
    bytes.push(Number(value));
    this.#chunks.push(Uint8Array.from(bytes));
  }
}

/** Whether values of a scalar type of the table are varints. */
export function isVarint(type: string): boolean {
  return type === "bool" || type === "int32" || type === "int64" || type === "int" || type.startsWith("uint");
}
