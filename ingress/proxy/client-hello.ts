import type { Socket } from "node:net";
import { readFirstBytes } from "./first-bytes.ts";

/** What a ClientHello says before anything is decided. */
export interface ClientHello {
  /** As sent, without a trailing dot; undefined when there is none. */
  readonly serverName: string | undefined;
}

/** More than this is no ClientHello that anyone sends. */
const maxBytes = 64 * 1024;

/** Reads the first bytes of a connection (RFC 8446 section 4.1.2): `more` while they may still become one, `none` when they cannot. */
export function parseClientHello(bytes: Buffer): ClientHello | "more" | "none" {
  if (bytes.length > maxBytes) return "none";
  const parts: Buffer[] = [];
  let total = 0;
  // the message may be spread over records
  for (let at = 0; ; ) {
    if (at + 5 > bytes.length) return at < bytes.length && bytes[at] !== 22 ? "none" : "more";
    if (bytes[at] !== 22 || bytes[at + 1] !== 3) return "none";
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > 16_640) return "none";
    const part = bytes.subarray(at + 5, at + 5 + length);
    parts.push(part);
    total += part.length;
    at += 5 + length;
    const message = parts.length === 1 ? part : Buffer.concat(parts);
    if (total >= 1 && message[0] !== 1) return "none";
    if (total >= 4 && total >= 4 + message.readUIntBE(1, 3)) return readHello(message.subarray(4, 4 + message.readUIntBE(1, 3)));
    if (part.length < length) return "more";
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
  let hello: ReturnType<typeof parseClientHello> = "more";
  const judge = (seen: Buffer): 0 | "more" => {
    hello = parseClientHello(seen);
    return hello === "more" ? "more" : 0;
  };
  readFirstBytes(socket, withinMs, judge, () => done(typeof hello === "string" ? undefined : hello));
}
