import { DynamicTable, usualTableBytes } from "./dynamic-table.ts";
import { type FieldLine, fieldSize } from "./field-line.ts";
import { huffmanEncode, huffmanLength } from "./huffman.ts";
import { staticLines, staticNames } from "./static-table.ts";

/** Names whose values seldom come again: they would only push others out of the table. */
const passing: ReadonlySet<string> = new Set([
  ":path",
  "age",
  "content-length",
  "content-range",
  "etag",
  "expires",
  "if-modified-since",
  "if-none-match",
  "last-modified",
  "location",
  "traceparent",
  "x-request-id",
]);
/** The other side, and who is behind it, may not keep them in a table either (RFC 7541 section 7.1.3). */
const secret: ReadonlySet<string> = new Set(["authorization", "cookie", "proxy-authorization", "set-cookie"]);

/** Longer ones are not worth the place they would take. */
const mostIndexed = usualTableBytes / 4;

const form = { indexed: 0x80, added: 0x40, size: 0x20, secret: 0x10, passing: 0 } as const;

/** Where blocks are put together; grows with the longest. */
let scratch = Buffer.allocUnsafe(16 * 1024);

/** Blocks remembered. */
const places = 16;

interface Block {
  readonly status: number;
  readonly fields: readonly string[];
  readonly added: number;
  readonly text: string;
}

/** Fields to one connection's field blocks (RFC 7541). What is said again goes into the table, and later as an index. */
export class HpackEncoder {
  /** What the table has under a name, the oldest first. */
  readonly #named = new Map<string, IndexedLine[]>();
  readonly #table = new DynamicTable((line) => this.#forget(line));
  /** Blocks that are the same as long as the table is. */
  readonly #blocks: (Block | undefined)[] = new Array<Block | undefined>(places).fill(undefined);
  #most = usualTableBytes;
  /** The smallest size that was asked for, and has not been said. */
  #smallest: number | undefined;
  #end = 0;

  /** The other side remembers no more than this. */
  limitTable(bytes: number): void {
    const most = Math.min(bytes, usualTableBytes);
    if (most === this.#most && this.#smallest === undefined) return;
    this.#most = most;
    this.#smallest = Math.min(this.#smallest ?? most, most);
    this.#table.resize(this.#smallest);
    this.#table.resize(most);
  }

  /**
   * The fields of a response, flat, as a block in latin1. Where the same array comes again, its block is the one from before: so it
   * must never change.
   */
  response(status: number, fields: readonly string[]): string {
    const place = (fields.length * 8 + status) & (places - 1);
    const known = this.#blocks[place];
    if (known?.fields === fields && known.status === status && known.added === this.#table.added && this.#smallest === undefined)
      return known.text;
    const { added } = this.#table;
    this.#begin();
    this.#line(":status", String(status));
    const text = this.#finish(fields);
    this.#blocks[place] = added === this.#table.added ? { status, fields, added, text } : undefined;
    return text;
  }

  /** Flat fields, pseudo-headers first. */
  fields(fields: readonly string[]): string {
    this.#begin();
    return this.#finish(fields);
  }

  #begin(): void {
    this.#end = 0;
    if (this.#smallest === undefined) return;
    if (this.#smallest < this.#most) this.#integer(form.size, 5, this.#smallest);
    this.#integer(form.size, 5, this.#most);
    this.#smallest = undefined;
  }

  #finish(fields: readonly string[]): string {
    for (let i = 0; i < fields.length; i += 2) this.#line(fields[i] ?? "", fields[i + 1] ?? "");
    return scratch.toString("latin1", 0, this.#end);
  }

  #line(name: string, value: string): void {
    this.#makeRoom(2 * (name.length + value.length) + 32);
    const known = staticNames.get(name);
    const whole = known?.values.get(value) ?? this.#indexOf(name, value);
    if (whole !== undefined) {
      this.#integer(form.indexed, 7, whole);
      return;
    }
    const keeps = !passing.has(name) && !secret.has(name) && fieldSize(name, value) <= Math.min(mostIndexed, this.#most);
    const kind = keeps ? form.added : secret.has(name) ? form.secret : form.passing;
    const nameAt = known?.index ?? this.#nameIndex(name);
    this.#integer(kind, keeps ? 6 : 4, nameAt);
    if (nameAt === 0) this.#string(name);
    this.#string(value);
    if (keeps) this.#add(name, value);
  }

  #indexOf(name: string, value: string): number | undefined {
    const lines = this.#named.get(name);
    if (lines === undefined) return undefined;
    for (let i = lines.length - 1; i >= 0; i--) {
      const line = lines[i];
      if (line?.value === value) return this.#index(line);
    }
    return undefined;
  }

  /** 0: the table has none of that name. */
  #nameIndex(name: string): number {
    const line = this.#named.get(name)?.at(-1);
    return line === undefined ? 0 : this.#index(line);
  }

  #index(line: IndexedLine): number {
    return staticLines.length + this.#table.added - line.place;
  }

  #add(name: string, value: string): void {
    const line: IndexedLine = { name, value, size: fieldSize(name, value), sound: true, place: this.#table.added };
    // those it pushes out are forgotten first
    this.#table.add(line);
    const lines = this.#named.get(name);
    if (lines === undefined) this.#named.set(name, [line]);
    else lines.push(line);
  }

  #forget({ name }: FieldLine): void {
    const lines = this.#named.get(name);
    lines?.shift();
    if (lines?.length === 0) this.#named.delete(name);
  }

  #makeRoom(bytes: number): void {
    if (scratch.length - this.#end >= bytes) return;
    const larger = Buffer.allocUnsafe(2 * scratch.length + bytes);
    scratch.copy(larger, 0, 0, this.#end);
    scratch = larger;
  }

  #integer(first: number, bits: number, value: number): void {
    const most = (1 << bits) - 1;
    if (value < most) {
      scratch[this.#end++] = first | value;
      return;
    }
    scratch[this.#end++] = first | most;
    let rest = value - most;
    for (; rest >= 128; rest >>>= 7) scratch[this.#end++] = 0x80 | (rest & 0x7f);
    scratch[this.#end++] = rest;
  }

  #string(text: string): void {
    const coded = huffmanLength(text);
    if (coded < text.length) {
      this.#integer(0x80, 7, coded);
      this.#end = huffmanEncode(text, scratch, this.#end);
      return;
    }
    this.#integer(0, 7, text.length);
    scratch.write(text, this.#end, "latin1");
    this.#end += text.length;
  }
}

interface IndexedLine extends FieldLine {
  /** How many had been added before. */
  readonly place: number;
}
