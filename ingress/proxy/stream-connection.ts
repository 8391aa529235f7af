import { constants, type ServerHttp2Stream } from "node:http2";
import type { Connection, ConnectionEvents } from "../upstream/connection.ts";
import { silent } from "../upstream/net-connection.ts";

/** A stream of HTTP/2 as a connection, for what goes through it after an extended CONNECT (RFC 8441). */
export class StreamConnection implements Connection {
  events: ConnectionEvents = silent;
  readonly remoteIp: string;
  readonly remotePort = 0;
  readonly localPort: number;
  readonly unsent = false;
  readonly #stream: ServerHttp2Stream;

  constructor(stream: ServerHttp2Stream, facts: { readonly remoteIp: string; readonly localPort: number }) {
    this.#stream = stream;
    this.remoteIp = facts.remoteIp;
    this.localPort = facts.localPort;
    let error: Error | undefined;
    stream.on("data", (bytes: Buffer) => this.events.onData(bytes));
    stream.on("end", () => this.events.onEnd());
    stream.on("drain", () => this.events.onDrain());
    stream.on("error", (e: Error) => {
      error = e;
    });
    stream.on("aborted", () => {
      error ??= new Error("the client reset the stream");
    });
    stream.on("close", () => this.events.onClose(error));
  }

  get queuedBytes(): number {
    return this.#stream.writableLength;
  }

  write(data: Buffer | string): boolean {
    if (this.#stream.destroyed || this.#stream.writableEnded) return true;
    // the stream sends later, the buffer is not ours to keep
    return this.#stream.write(typeof data === "string" ? Buffer.from(data, "latin1") : Buffer.from(data));
  }

  cork(): void {
    this.#stream.cork();
  }

  uncork(): void {
    this.#stream.uncork();
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  end(): void {
    this.#stream.end();
  }

  finish(): void {
    this.end();
  }

  abort(): void {
    this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  reset(): void {
    this.abort();
  }
}
