import { DynamicTable, usualTableBytes } from "./dynamic-table.ts";
import { type FieldLine, fieldLine } from "./field-line.ts";
import { huffmanDecode } from "./huffman.ts";
import { staticLines } from "./static-table.ts";

/** What one message may have of fields. */
export interface FieldLimits {
  /** As FieldLine.size counts. */
  readonly bytes: number;
  readonly lines: number;
}

/** Fields of one message. */
export interface DecodedFields {
  readonly lines: readonly FieldLine[];
  /** All lines are. */
  readonly sound: boolean;
  /** More than may be: the lines are not all. */
  readonly tooLarge: boolean;
}

/** The integer or the string does not end where it may. */
const broken = -1;
/** More than anything here counts. */
const largest = 2 ** 24;

/** One connection's field blocks to fields (RFC 7541). */
export class HpackDecoder {
  readonly #table = new DynamicTable();
  readonly #limits: FieldLimits;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #to = 0;

  constructor(limits: FieldLimits) {
    this.#limits = limits;
  }

  /** A whole block. `undefined`: it cannot be read, and nothing can that follows on the connection. */
  decode(bytes: Buffer, from: number, to: number): DecodedFields | undefined {
    this.#bytes = bytes;
    this.#at = from;
    this.#to = to;
    const lines: FieldLine[] = [];
    let size = 0;
    let sound = true;
    let tooLarge = false;
    if (!this.#readSizes()) return undefined;
    while (this.#at < to) {
      const line = this.#readLine(bytes[this.#at] ?? 0);
      if (line === undefined) return undefined;
      size += line.size;
      if (size > this.#limits.bytes || lines.length === this.#limits.lines) tooLarge = true;
      else lines.push(line);
      if (!line.sound) sound = false;
    }
    return { lines, sound, tooLarge };
  }

  /** Changes of the table's size stand at the beginning of a block. */
  #readSizes(): boolean {
    while (this.#at < this.#to && ((this.#bytes[this.#at] ?? 0) & 0xe0) === 0x20) {
      const size = this.#readInteger(5);
      if (size === broken || size > usualTableBytes) return false;
      this.#table.resize(size);
    }
    return true;
  }

  #readLine(first: number): FieldLine | undefined {
    if ((first & 0x80) !== 0) return this.#lineAt(this.#readInteger(7));
    const indexed = (first & 0x40) !== 0;
    // a size amid the lines
    if (!indexed && (first & 0x20) !== 0) return undefined;
    const index = this.#readInteger(indexed ? 6 : 4);
    const name = index === 0 ? this.#readString() : this.#lineAt(index)?.name;
    if (name === undefined) return undefined;
    const value = this.#readString();
    if (value === undefined) return undefined;
    const line = fieldLine(name, value);
    if (indexed) this.#table.add(line);
    return line;
  }

  #lineAt(index: number): FieldLine | undefined {
    if (index <= 0) return undefined;
    return index <= staticLines.length ? staticLines[index - 1] : this.#table.at(index - staticLines.length - 1);
  }

  /** RFC 7541 section 5.1. */
  #readInteger(bits: number): number {
    const most = (1 << bits) - 1;
    let value = (this.#bytes[this.#at++] ?? 0) & most;
    if (value < most) return value;
    for (let scale = 1; this.#at < this.#to && value < largest; scale *= 128) {
      const byte = this.#bytes[this.#at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if ((byte & 0x80) === 0) return value;
      // zeros could go on for ever
      if (scale >= largest) return broken;
    }
    return broken;
  }

  #readString(): string | undefined {
    if (this.#at >= this.#to) return undefined;
    const coded = ((this.#bytes[this.#at] ?? 0) & 0x80) !== 0;
    const length = this.#readInteger(7);
    const from = this.#at;
    if (length === broken || length > this.#to - from) return undefined;
    this.#at += length;
    return coded ? huffmanDecode(this.#bytes, from, from + length) : this.#bytes.toString("latin1", from, from + length);
  }
}
