import type { Socket } from "node:net";
import { readFirstBytes } from "./first-bytes.ts";

/** What a ClientHello says before anything is decided. */
export interface ClientHello {
  /** As sent, without a trailing dot; undefined when there is none. */
  readonly serverName: string | undefined;
}

/** More than this is no ClientHello that anyone sends. */
const maxBytes = 64 * 1024;

/**
 * Reads a ClientHello (RFC 8446 section 4.1.2) from the first bytes of a connection, each of them once, however small the pieces and
 * the records are that it comes in: whoever sends it chooses both.
 */
export class ClientHelloReader {
  #bytes = 0;
  /** Of a record that has begun: its header, and how much of its body is still to come. */
  readonly #header = Buffer.alloc(5);
  #headerLength = 0;
  #left = 0;
  /** What the records carried. */
  #message = Buffer.alloc(2048);
  #length = 0;

  /** What comes next; `more` while it may still become one, `none` when it cannot. */
  push(piece: Buffer): ClientHello | "more" | "none" {
    this.#bytes += piece.length;
    if (this.#bytes > maxBytes) return "none";
    for (let at = 0; at < piece.length; ) {
      if (this.#left === 0) {
        const taken = piece.copy(this.#header, this.#headerLength, at);
        at += taken;
        this.#headerLength += taken;
        if (this.#header[0] !== 22 || (this.#headerLength > 1 && this.#header[1] !== 3)) return "none";
        if (this.#headerLength < 5) return "more";
        this.#headerLength = 0;
        this.#left = this.#header.readUInt16BE(3);
        if (this.#left === 0 || this.#left > 16_640) return "none";
        continue;
      }
      const part = piece.subarray(at, at + this.#left);
      at += part.length;
      this.#left -= part.length;
      this.#append(part);
      const read = this.#read();
      if (read !== "more") return read;
    }
    return "more";
  }

  #append(part: Buffer): void {
    const length = this.#length + part.length;
    if (length > this.#message.length) {
      const grown = Buffer.alloc(Math.max(length, 2 * this.#message.length));
      this.#message.copy(grown, 0, 0, this.#length);
      this.#message = grown;
    }
    part.copy(this.#message, this.#length);
    this.#length = length;
  }

  #read(): ClientHello | "more" | "none" {
    if (this.#message[0] !== 1) return "none";
    if (this.#length < 4) return "more";
    const end = 4 + this.#message.readUIntBE(1, 3);
    if (end > maxBytes) return "none";
    return this.#length < end ? "more" : readHello(this.#message.subarray(4, end));
  }
}

/** Bounds are checked by the reader; what ends too soon is no hello. */
function readHello(body: Buffer): ClientHello | "none" {
  const sessionLength = body[34];
  if (sessionLength === undefined) return "none";
  let at = 35 + sessionLength;
  if (at + 2 > body.length) return "none";
  at += 2 + body.readUInt16BE(at);
  const compressionLength = body[at];
  if (compressionLength === undefined) return "none";
  at += 1 + compressionLength;
  if (at === body.length) return { serverName: undefined };
  if (at + 2 > body.length) return "none";
  const end = at + 2 + body.readUInt16BE(at);
  at += 2;
  if (end > body.length) return "none";
  while (at + 4 <= end) {
    const type = body.readUInt16BE(at);
    const length = body.readUInt16BE(at + 2);
    if (at + 4 + length > end) return "none";
    if (type === 0) return { serverName: serverNameOf(body.subarray(at + 4, at + 4 + length)) };
    at += 4 + length;
  }
  return { serverName: undefined };
}

/** RFC 6066 section 3: a list of which only the host name counts. */
function serverNameOf(list: Buffer): string | undefined {
  if (list.length < 5 || list[2] !== 0) return undefined;
  const length = list.readUInt16BE(3);
  const name = list.toString("latin1", 5, 5 + length);
  return name.length === length && /^[A-Za-z0-9._-]{1,255}$/.test(name) ? name : undefined;
}

/** Looks at the ClientHello of a connection and leaves its bytes where they were; undefined: there is none. */
export function peekClientHello(socket: Socket, withinMs: number, done: (hello: ClientHello | undefined) => void): void {
  const reader = new ClientHelloReader();
  let hello: ReturnType<ClientHelloReader["push"]> = "more";
  const judge = (_: Buffer, fresh: Buffer): 0 | "more" => {
    hello = reader.push(fresh);
    return hello === "more" ? "more" : 0;
  };
  readFirstBytes(socket, withinMs, judge, () => done(typeof hello === "string" ? undefined : hello));
}
