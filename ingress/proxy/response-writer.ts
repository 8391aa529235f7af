import type { ResponseHead } from "../filter/response-step.ts";
import type { Connection } from "../upstream/connection.ts";
import { joinedBytes } from "../upstream/turn-writes.ts";
import type { Http1Response } from "../upstream/wire/response-parser.ts";
import type { HeadFacts } from "./downstream.ts";
import { reasonOf, statusPage } from "./status-page.ts";

/** The responses of one client connection as HTTP/1 text. A head waits for what follows it, so that both leave together. */
export class ResponseWriter {
  readonly #connection: Connection;
  // apart, as they are: known texts are written faster than a sum of them
  #statusLine = "";
  #lines = "";
  #headEnd = "";
  #chunked = false;
  #underWay = false;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** A head was given, and its response has not been completed. */
  get underWay(): boolean {
    return this.#underWay;
  }

  informational(head: ResponseHead): void {
    this.#connection.write(`HTTP/1.1 ${head.status} ${head.reason}\r\n${printLines(head.headers)}\r\n`);
  }

  /** `last`: the connection is closed after this response. True when it must be, asked for or not. */
  head(head: HeadFacts, lines: string, o: { readonly minor: 0 | 1; readonly last: boolean }): boolean {
    const unbounded = head.framing.kind === "chunked" || head.framing.kind === "close";
    this.#underWay = true;
    this.#chunked = unbounded && o.minor === 1;
    const last = o.last || (unbounded && o.minor === 0);
    const framing = this.#chunked ? "Transfer-Encoding: chunked\r\n" : lengthOf(head, lines);
    const connection = last ? "Connection: close\r\n" : o.minor === 0 ? "Connection: keep-alive\r\n" : "";
    this.#statusLine = statusLine(head.status, head.reason);
    this.#lines = lines;
    this.#headEnd = `${framing}${connection}\r\n`;
    return last;
  }

  /** False: wait until the connection has drained. */
  body(bytes: Buffer): boolean {
    if (bytes.length === 0) return true;
    if (this.#chunked) return this.#chunk(bytes);
    this.flush();
    return this.#connection.write(bytes);
  }

  /** Short ones leave at the end of the turn, long ones at once: all three parts together. */
  #chunk(bytes: Buffer): boolean {
    const connection = this.#connection;
    const isLong = bytes.length > joinedBytes;
    if (isLong) connection.cork();
    this.flush();
    connection.write(`${bytes.length.toString(16)}\r\n`);
    connection.write(bytes);
    const room = connection.write("\r\n");
    if (isLong) connection.uncork();
    return room;
  }

  flush(): void {
    if (this.#headEnd === "") return;
    const connection = this.#connection;
    connection.write(this.#statusLine);
    connection.write(this.#lines);
    connection.write(this.#headEnd);
    this.#headEnd = "";
  }

  /** Trailer lines, each with its CRLF. */
  complete(trailers: string): void {
    this.flush();
    this.#underWay = false;
    if (this.#chunked) this.#connection.write(`0\r\n${trailers}\r\n`);
  }

  /** The whole answer to what could not even become an exchange; the connection is closed after it. */
  refuse(status: number): void {
    const page = statusPage(status);
    this.#connection.write(
      `HTTP/1.1 ${status} ${reasonOf(status)}\r\nContent-Type: text/html\r\nContent-Length: ${page.length}\r\nConnection: close\r\n\r\n${page}`,
    );
  }

  /** The endpoint switches protocols: what follows is no HTTP. */
  switching(head: Http1Response): void {
    let text = `HTTP/1.1 101 ${head.reason}\r\n`;
    for (const [i, name] of head.names.entries()) {
      const lower = head.fields[2 * i] ?? "";
      if (lower !== "connection" && lower !== "keep-alive") text += `${name}: ${head.fields[2 * i + 1]}\r\n`;
    }
    this.#connection.write(`${text}Connection: Upgrade\r\n\r\n`);
  }
}

const okLine = "HTTP/1.1 200 OK\r\n";

function statusLine(status: number, reason: string): string {
  return status === 200 && reason === "OK" ? okLine : `HTTP/1.1 ${status} ${reason}\r\n`;
}

/** An answer of HTTP/2 may end with its head and not say that it has no body. */
function lengthOf({ framing }: HeadFacts, lines: string): string {
  const untold = framing.kind === "length" && framing.bytes === 0 && !/^content-length:/im.test(lines);
  return untold ? "Content-Length: 0\r\n" : "";
}

/** Flat headers as lines, each with its CRLF. */
export function printLines(headers: readonly string[]): string {
  let lines = "";
  for (let i = 0; i < headers.length; i += 2) lines += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return lines;
}
