import type { FieldLine } from "../http2/field-line.ts";
import { errorCode } from "../http2/frames.ts";
import type { Http2Stream, StreamOwner } from "../http2/stream.ts";
import type { Connection, ConnectionEvents } from "../upstream/connection.ts";
import { silent } from "../upstream/net-connection.ts";

/** A stream of HTTP/2 as a connection, for what goes through it after an extended CONNECT (RFC 8441). */
export class StreamConnection implements Connection, StreamOwner {
  events: ConnectionEvents = silent;
  readonly remoteIp: string;
  readonly remotePort = 0;
  readonly localPort: number;
  readonly unsent = false;
  readonly #stream: Http2Stream;
  readonly #onClosed: () => void;

  constructor(stream: Http2Stream, o: { readonly remoteIp: string; readonly localPort: number; readonly onClosed: () => void }) {
    this.#stream = stream;
    this.#onClosed = o.onClosed;
    this.remoteIp = o.remoteIp;
    this.localPort = o.localPort;
    stream.owner = this;
  }

  onFields(_trailers: readonly FieldLine[]): void {
    // a tunnel has none
  }

  onData(bytes: Buffer): void {
    this.events.onData(bytes);
  }

  onEnd(): void {
    this.events.onEnd();
  }

  onDrain(): void {
    this.events.onDrain();
  }

  onClosed(code: number): void {
    this.events.onClose(code === errorCode.none ? undefined : new Error("the client reset the stream"));
    this.#onClosed();
  }

  get queuedBytes(): number {
    return this.#stream.queuedBytes;
  }

  write(data: Buffer | string): boolean {
    return this.#stream.send(typeof data === "string" ? Buffer.from(data, "latin1") : data);
  }

  cork(): void {
    // a turn's writes leave together as they are
  }

  uncork(): void {
    // see cork
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  end(): void {
    this.#stream.end(undefined);
  }

  finish(): void {
    this.end();
  }

  abort(): void {
    this.#stream.reset(errorCode.cancel);
  }

  reset(): void {
    this.abort();
  }
}
