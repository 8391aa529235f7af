import type { Connection } from "./connection.ts";
import type { ResponseSink, UpstreamChannel, UpstreamFailure, UpstreamHead } from "./upstream-channel.ts";
import { ChunkDecoder } from "./wire/chunk-decoder.ts";
import { headEnd } from "./wire/head-end.ts";
import { readLatin1 } from "./wire/latin1.ts";
import { type Http1Response, parseResponseHead } from "./wire/response-parser.ts";

const maxHeadBytes = 64 * 1024;
const maxHeaders = 256;
const maxInformational = 16;

/** A server may say so of a connection that rested, before it closes it. */
const farewell = /^HTTP\/1\.[01] 408 /;

/** Who keeps connections for the next request. */
export interface ConnectionKeeper {
  /** It ended, or said anything, while nobody waits for an answer. */
  onIdleEnd(c: UpstreamConnection): void;
  /** Its endpoint said what nobody asked for: what comes over connections that it has answered on may be no answer. */
  onUnasked(c: UpstreamConnection): void;
}

/** One connection to an endpoint: one request at a time, then back to the pool or closed. */
export class UpstreamConnection implements UpstreamChannel {
  readonly key: string;
  /** Requests it has served. */
  served = 0;
  /** Monotonic time at which it became idle. */
  idleSince = 0;
  /** From the server's Keep-Alive header. */
  idleSeconds: number | undefined;
  readonly #connection: Connection;
  readonly #keeper: ConnectionKeeper;
  #sink: ResponseSink | undefined;
  #method = "GET";
  #switching = false;
  #sendsChunks = false;
  #partial: Buffer | undefined;
  #response: Http1Response | undefined;
  #informational = 0;
  #remaining = 0;
  #chunks: ChunkDecoder | undefined;
  #reusable = true;
  #closed = false;
  /** Nothing of the request that waits for its answer has left. */
  #unsent = false;

  constructor(key: string, connection: Connection, keeper: ConnectionKeeper) {
    this.key = key;
    this.#connection = connection;
    this.#keeper = keeper;
    connection.events = {
      onData: (bytes) => this.#read(bytes),
      onDrain: () => this.#sink?.onDrain(),
      onEnd: () => this.#ended(undefined),
      onClose: (error) => this.#ended(error),
    };
  }

  /** True when the last response ended where it said, and both sides will go on. */
  get reusable(): boolean {
    return this.#reusable && !this.#closed && this.#sink === undefined;
  }

  /** The next bytes read answer this request. */
  begin(head: UpstreamHead, sink: ResponseSink): void {
    this.#method = head.method;
    this.#sink = sink;
    this.#switching = head.switching;
    this.#sendsChunks = head.framing.kind === "chunked";
    this.#response = undefined;
    this.#informational = 0;
    this.#partial = undefined;
    this.#chunks = undefined;
    this.#connection.write(head.text());
    this.#unsent = true;
  }

  /** What is read before any of the request has left is no answer to it, but to somebody else's, or the farewell of a connection that rested. */
  #isEarly(): boolean {
    if (!this.#unsent) return false;
    this.#unsent = this.#connection.unsent;
    return this.#unsent;
  }

  sendBody(bytes: Buffer): boolean {
    const connection = this.#connection;
    if (!this.#sendsChunks) return connection.write(bytes);
    connection.cork();
    connection.write(`${bytes.length.toString(16)}\r\n`);
    connection.write(bytes);
    const room = connection.write("\r\n");
    connection.uncork();
    return room;
  }

  sendEnd(trailers: string): void {
    if (this.#sendsChunks) this.#connection.write(`0\r\n${trailers}\r\n`);
  }

  cork(): void {
    this.#connection.cork();
  }

  uncork(): void {
    this.#connection.uncork();
  }

  pause(): void {
    this.#connection.pause();
  }

  resume(): void {
    this.#connection.resume();
  }

  /** Closes it without a word to the sink. */
  abort(): void {
    this.#sink = undefined;
    this.#closed = true;
    this.#reusable = false;
    this.#connection.abort();
  }

  #read(bytes: Buffer): void {
    if (this.#sink === undefined) {
      // bytes nobody asked for: what follows cannot be told apart from an answer (request smuggling)
      if (this.#closed) return;
      this.abort();
      this.#keeper.onIdleEnd(this);
      this.#tellUnasked(bytes);
      return;
    }
    const sink = this.#sink;
    if (this.#isEarly()) {
      this.#tellUnasked(bytes);
      this.#fail(sink, "unasked", "the endpoint spoke before it was asked");
      return;
    }
    let rest: Buffer | undefined = bytes;
    while (rest !== undefined && rest.length > 0 && this.#sink === sink) rest = this.#advance(rest, sink);
    if (this.#sink === sink) sink.onBatchEnd();
  }

  #tellUnasked(bytes: Buffer): void {
    if (!farewell.test(bytes.toString("latin1", 0, 16))) this.#keeper.onUnasked(this);
  }

  /** Uses up a part of `bytes`; what it gives back is still to be read. */
  #advance(bytes: Buffer, sink: ResponseSink): Buffer | undefined {
    const response = this.#response;
    if (response === undefined) return this.#readHead(bytes, sink);
    switch (response.framing.kind) {
      case "length": {
        const n = Math.min(this.#remaining, bytes.length);
        this.#remaining -= n;
        sink.onBody(n === bytes.length ? bytes : bytes.subarray(0, n));
        if (this.#remaining === 0) this.#complete(sink, bytes.length > n);
        return undefined;
      }
      case "chunked": {
        const chunks = this.#chunks;
        if (chunks === undefined) return undefined;
        const used = chunks.push(bytes, sink);
        if (typeof used === "string") this.#fail(sink, "malformed", used);
        else if (chunks.done) this.#complete(sink, used < bytes.length);
        return undefined;
      }
      case "close":
        sink.onBody(bytes);
        return undefined;
      case "none":
        return undefined;
    }
  }

  #readHead(bytes: Buffer, sink: ResponseSink): Buffer | undefined {
    const all = this.#partial === undefined ? bytes : Buffer.concat([this.#partial, bytes]);
    const end = headEnd(all, 0);
    if (end < 0 || end > maxHeadBytes) {
      if (all.length > maxHeadBytes) this.#fail(sink, "malformed", "a response head that is too long");
      else this.#partial = Buffer.from(all);
      return undefined;
    }
    this.#partial = undefined;
    const rest = end + 4 < all.length ? all.subarray(end + 4) : undefined;
    const response = parseResponseHead(readLatin1(all, 0, end), this.#method, maxHeaders);
    if ("fault" in response) {
      this.#fail(sink, "malformed", response.fault);
      return undefined;
    }
    if (response.status === 101) {
      if (!this.#switching) {
        this.#fail(sink, "malformed", "101 without a wish to switch");
        return undefined;
      }
      this.#sink = undefined;
      this.#reusable = false;
      this.#closed = true;
      sink.onSwitched(response, this.#connection, rest);
      return undefined;
    }
    if (response.status < 200) {
      if (++this.#informational > maxInformational) {
        this.#fail(sink, "malformed", "no end of informational responses");
        return undefined;
      }
      sink.onInformational(response);
      return rest;
    }
    this.#response = response;
    if (!response.keepAlive) this.#reusable = false;
    this.idleSeconds = response.idleSeconds;
    if (response.framing.kind === "length") this.#remaining = response.framing.bytes;
    if (response.framing.kind === "chunked") this.#chunks = new ChunkDecoder();
    sink.onHead(response);
    const empty = response.framing.kind === "none" || (response.framing.kind === "length" && response.framing.bytes === 0);
    if (empty && this.#sink === sink) {
      this.#complete(sink, rest !== undefined);
      return undefined;
    }
    return rest;
  }

  #complete(sink: ResponseSink, surplus: boolean): void {
    if (this.#sink !== sink) return;
    if (surplus) {
      this.#reusable = false;
      this.#keeper.onUnasked(this);
    }
    this.#sink = undefined;
    this.served++;
    sink.onComplete();
  }

  #fail(sink: ResponseSink, failure: UpstreamFailure, detail: string): void {
    if (this.#sink !== sink) return;
    this.abort();
    sink.onFailure(failure, detail);
  }

  #ended(error: Error | undefined): void {
    if (this.#closed) return;
    const sink = this.#sink;
    if (sink === undefined) {
      this.abort();
      this.#keeper.onIdleEnd(this);
    } else if (this.#response?.framing.kind === "close" && error === undefined) {
      this.#reusable = false;
      this.#complete(sink, false);
      this.abort();
    } else if (this.#isEarly()) {
      this.#fail(sink, "unasked", "the endpoint closed the connection before it was asked");
    } else {
      this.#fail(
        sink,
        this.#response === undefined && this.#partial === undefined ? "closed" : "truncated",
        error?.message ?? "the endpoint closed the connection",
      );
    }
  }
}
