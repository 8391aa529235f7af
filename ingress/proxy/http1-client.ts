import type { Socket } from "node:net";
import type { ResponseHead } from "../filter/response-step.ts";
import type { Connection } from "../upstream/connection.ts";
import { joinedBytes } from "../upstream/turn-writes.ts";
import { ChunkDecoder, type ChunkSink } from "../upstream/wire/chunk-decoder.ts";
import { headEnd } from "../upstream/wire/head-end.ts";
import { type Http1Request, parseRequestHead } from "../upstream/wire/request-parser.ts";
import type { Http1Response } from "../upstream/wire/response-parser.ts";
import type { ClientAnswer } from "./client-certificate.ts";
import type { ClientConnection } from "./client-connection.ts";
import type { ProxyContext } from "./context.ts";
import type { Downstream, HeadFacts, SwitchOptions } from "./downstream.ts";
import { Exchange } from "./exchange.ts";
import { reasonOf, statusPage } from "./status-page.ts";
import { Tunnel } from "./tunnel.ts";

/** head: between requests or in a head; body: reading one; waiting: all read, answer under way; lingering: reading what nobody wants. */
type State = "head" | "body" | "waiting" | "lingering" | "tunnel" | "closed";

/** RFC 9113 section 3.4. */
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/** One client connection that speaks HTTP/1: requests one after the other, each an Exchange. */
export class Http1Client implements ClientConnection, Downstream, ChunkSink {
  readonly #context: ProxyContext;
  readonly #connection: Connection;
  readonly #tls: boolean;
  readonly #client: ClientAnswer | undefined;
  readonly #onClosed: (c: Http1Client) => void;
  readonly #onHttp2: ((socket: Socket) => void) | undefined;
  #state: State = "head";
  #held: Buffer | undefined;
  #reading = false;
  #pausedForHeld = false;
  #deadline: number;
  #served = 0;
  // the request being read
  #request: Http1Request | undefined;
  #exchange: Exchange | undefined;
  #chunks: ChunkDecoder | undefined;
  #remaining = 0;
  #continueDue = false;
  #bodyPaused = false;
  #clientEnded = false;
  // the response being written
  #headText = "";
  #responseChunked = false;
  #responding = false;
  #closeAfter = false;
  #tunnel: Tunnel | undefined;

  constructor(
    context: ProxyContext,
    connection: Connection,
    options: {
      readonly tls: boolean;
      /** What the client showed in the handshake, where it was asked to. */
      readonly client?: ClientAnswer | undefined;
      readonly onClosed: (c: Http1Client) => void;
      /** The client began with the preface of HTTP/2 (prior knowledge); absent: it may not. */
      readonly onHttp2?: (socket: Socket) => void;
    },
  ) {
    this.#context = context;
    this.#connection = connection;
    this.#tls = options.tls;
    this.#client = options.client;
    this.#onClosed = options.onClosed;
    this.#onHttp2 = options.onHttp2;
    this.#deadline = context.clock.monotonic() + context.timeouts.head;
    context.metrics.connections++;
    context.metrics.accepted++;
    connection.events = {
      onData: (bytes) => this.#read(bytes),
      onDrain: () => this.#exchange?.clientDrained(),
      onEnd: () => this.#ended(),
      onClose: () => this.#closed(),
    };
  }

  /** Nothing of a request has come yet. */
  get idle(): boolean {
    return this.#state === "head" && this.#held === undefined;
  }

  get busy(): boolean {
    return !this.idle && this.#state !== "lingering" && this.#state !== "closed";
  }

  sweep(now: number): void {
    this.#exchange?.sweep(now);
    if (now < this.#deadline) return;
    if (this.#state === "head" && this.#held !== undefined) this.#refuse(408);
    else if (this.#state === "body") {
      this.#exchange?.clientGone();
      this.#refuse(408);
    } else if (this.#state === "tunnel") this.#tunnel?.sweep(now);
    else if (this.#state === "head" || this.#state === "lingering") this.abortConnection();
  }

  endpointsGone(gone: ReadonlySet<string>): void {
    this.#exchange?.endpointsGone(gone);
  }

  drain(): void {
    // the next response says Connection: close
  }

  endIfIdle(): void {
    if (this.idle) this.#connection.end();
  }

  abortConnection(): void {
    this.#tunnel?.abort();
    this.#connection.abort();
  }

  // reading

  #read(bytes: Buffer): void {
    switch (this.#state) {
      case "tunnel":
      case "lingering":
      case "closed":
        return;
      case "waiting":
        this.#hold(bytes);
        return;
      case "head":
      case "body":
        this.#pump(bytes);
    }
  }

  #hold(bytes: Buffer): void {
    this.#held = this.#held === undefined ? Buffer.from(bytes) : Buffer.concat([this.#held, bytes]);
    if (this.#held.length > this.#context.wire.heldBytes && !this.#pausedForHeld) {
      this.#pausedForHeld = true;
      this.#connection.pause();
    }
  }

  /** Reads requests and bodies from `bytes` as far as they go; keeps the rest. */
  #pump(bytes: Buffer | undefined): void {
    if (this.#reading) return;
    this.#reading = true;
    let rest: Buffer | undefined = bytes;
    while (rest !== undefined && rest.length > 0) {
      if (this.#state === "head") rest = this.#readHead(rest);
      else if (this.#state === "body") rest = this.#readBody(rest);
      else break;
    }
    this.#reading = false;
    if (rest !== undefined && rest.length > 0 && this.#state === "waiting") this.#hold(rest);
  }

  #readHead(bytes: Buffer): Buffer | undefined {
    const held = this.#held;
    let all = held === undefined ? bytes : Buffer.concat([held, bytes]);
    this.#held = undefined;
    // RFC 9112 section 2.2: one empty line before a request is forgiven
    if (all[0] === 0x0d && all[1] === 0x0a) all = all.subarray(2);
    const { wire, timeouts, clock } = this.#context;
    if (this.#served === 0 && all[0] === 0x50 && this.#isPreface(all)) return undefined;
    const end = headEnd(all, held === undefined ? 0 : Math.max(0, held.length - 5));
    if (end < 0 || end > wire.headBytes) {
      if (all.length > wire.lineBytes && all.lastIndexOf("\r\n", wire.lineBytes) < 0) this.#refuse(414);
      else if (all.length > wire.headBytes) this.#refuse(431);
      else if (hasBareLf(all, Math.max(0, (held?.length ?? 0) - 2))) this.#refuse(400);
      else if (all.length > 0) {
        if (held === undefined) this.#deadline = clock.monotonic() + timeouts.head;
        this.#held = Buffer.from(all);
      }
      return undefined;
    }
    const request = parseRequestHead(all.toString("latin1", 0, end), wire);
    if ("status" in request) {
      this.#refuse(request.status);
      return undefined;
    }
    const rest = all.subarray(end + 4);
    this.#begin(request);
    return rest;
  }

  /** True when the bytes are the preface of HTTP/2, and were handed on, or may become one, and are held. */
  #isPreface(bytes: Buffer): boolean {
    const { detach } = this.#connection;
    const onHttp2 = this.#onHttp2;
    if (onHttp2 === undefined || detach === undefined) return false;
    const text = bytes.toString("latin1", 0, preface.length);
    // `P` alone may also become a POST; so far both are waited for
    if (!preface.startsWith(text)) return false;
    if (text.length < preface.length) {
      if (this.#held === undefined) this.#deadline = this.#context.clock.monotonic() + this.#context.timeouts.head;
      this.#held = Buffer.from(bytes);
      return true;
    }
    this.#state = "closed";
    this.#context.metrics.connections--;
    this.#context.metrics.accepted--;
    this.#onClosed(this);
    onHttp2(detach.call(this.#connection, Buffer.from(bytes)));
    return true;
  }

  #begin(request: Http1Request): void {
    const context = this.#context;
    this.#request = request;
    this.#served++;
    this.#closeAfter = !request.keepAlive || context.draining || this.#served >= context.wire.requestsPerConnection;
    this.#continueDue = request.expectContinue;
    this.#chunks = request.framing.kind === "chunked" ? new ChunkDecoder() : undefined;
    this.#remaining = request.framing.kind === "length" ? request.framing.bytes : 0;
    const hasBody = this.#chunks !== undefined || this.#remaining > 0;
    this.#state = hasBody ? "body" : "waiting";
    this.#deadline = hasBody ? context.clock.monotonic() + context.timeouts.body : Number.POSITIVE_INFINITY;
    const { remoteIp, localPort } = this.#connection;
    const { method, target, authority, block, fields, framing, connectionTokens, upgrade } = request;
    const incoming = {
      method,
      target,
      authority,
      block,
      fields,
      framing,
      connectionTokens,
      upgrade,
      remoteIp,
      localPort,
      tls: this.#tls,
      askedBy: this.#client?.askedBy,
      clientCertificate: this.#client?.clientCertificate,
      http2: false,
    };
    const exchange = new Exchange(context, incoming, this);
    this.#exchange = exchange;
    exchange.start();
  }

  #readBody(bytes: Buffer): Buffer | undefined {
    const exchange = this.#exchange;
    if (exchange === undefined) return undefined;
    if (!this.#bodyPaused) this.#deadline = this.#context.clock.monotonic() + this.#context.timeouts.body;
    if (this.#chunks !== undefined) {
      const chunks = this.#chunks;
      const used = chunks.push(bytes, this);
      if (typeof used === "string") {
        exchange.clientGone();
        this.#refuse(400);
        return undefined;
      }
      if (!chunks.done) return undefined;
      this.#bodyEnded(exchange);
      return bytes.subarray(used);
    }
    const n = Math.min(this.#remaining, bytes.length);
    this.#remaining -= n;
    exchange.body(n === bytes.length ? bytes : bytes.subarray(0, n));
    if (this.#remaining > 0) return undefined;
    this.#bodyEnded(exchange);
    return bytes.subarray(n);
  }

  #bodyEnded(exchange: Exchange): void {
    // an early answer has closed the matter already
    if (this.#state !== "body") return;
    this.#state = "waiting";
    this.#deadline = Number.POSITIVE_INFINITY;
    exchange.bodyEnd();
  }

  onBody(bytes: Buffer): void {
    this.#exchange?.body(bytes);
  }

  onTrailers(text: string): void {
    this.#exchange?.bodyTrailers(text);
  }

  #ended(): void {
    this.#clientEnded = true;
    if (this.#state === "tunnel") return;
    if (this.#state === "body") {
      // half a request: nobody can answer it
      this.#exchange?.clientGone();
      this.abortConnection();
    } else if (this.#state === "head" || this.#state === "lingering") this.#connection.end();
    // waiting: it may have closed its side and still want the answer
  }

  #closed(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#exchange?.clientGone();
    this.#context.metrics.connections--;
    this.#onClosed(this);
  }

  // writing

  continue(): void {
    if (!this.#continueDue) return;
    this.#continueDue = false;
    this.#connection.write("HTTP/1.1 100 Continue\r\n\r\n");
  }

  informational(head: ResponseHead): void {
    if (this.#request?.minor === 1) this.#connection.write(`HTTP/1.1 ${head.status} ${head.reason}\r\n${printLines(head.headers)}\r\n`);
  }

  head(head: ResponseHead): void {
    this.headLines(head, printLines(head.headers));
  }

  headLines(head: HeadFacts, lines: string): void {
    const request = this.#request;
    if (request === undefined) return;
    this.#continueDue = false;
    this.#responding = true;
    if (this.#exchange?.requestComplete !== true || this.#context.draining || this.#clientEnded) this.#closeAfter = true;
    this.#responseChunked = false;
    let framing = "";
    if (head.framing.kind === "chunked" || head.framing.kind === "close") {
      if (request.minor === 1) {
        this.#responseChunked = true;
        framing = "Transfer-Encoding: chunked\r\n";
      } else this.#closeAfter = true;
    }
    const connection = this.#closeAfter ? "Connection: close\r\n" : request.minor === 0 ? "Connection: keep-alive\r\n" : "";
    this.#headText = `HTTP/1.1 ${head.status} ${head.reason}\r\n${lines}${framing}${connection}\r\n`;
  }

  body(bytes: Buffer): boolean {
    if (bytes.length === 0) return true;
    const connection = this.#connection;
    const before = this.#responseChunked ? `${this.#headText}${bytes.length.toString(16)}\r\n` : this.#headText;
    this.#headText = "";
    if (before === "") return connection.write(bytes);
    // short parts leave with their head at the end of the turn
    const isShort = bytes.length <= joinedBytes;
    if (!isShort) connection.cork();
    connection.write(before);
    let room = connection.write(bytes);
    if (this.#responseChunked) room = connection.write("\r\n");
    if (!isShort) connection.uncork();
    return room;
  }

  flush(): void {
    if (this.#headText === "") return;
    this.#connection.write(this.#headText);
    this.#headText = "";
  }

  complete(trailers: string, now: number): void {
    const end = this.#responseChunked ? `${this.#headText}0\r\n${trailers}\r\n` : this.#headText;
    this.#headText = "";
    if (end !== "") this.#connection.write(end);
    const complete = this.#exchange?.requestComplete === true;
    this.#exchange = undefined;
    this.#responding = false;
    if (this.#closeAfter || !complete) {
      this.#linger();
      return;
    }
    this.#state = "head";
    this.#deadline = now + this.#context.timeouts.idle;
    if (this.#held !== undefined && !this.#reading) this.#next();
  }

  /** The next request is already here. */
  #next(): void {
    const held = this.#held;
    this.#held = undefined;
    if (this.#pausedForHeld) {
      this.#pausedForHeld = false;
      this.#connection.resume();
    }
    this.#pump(held);
  }

  abort(): void {
    this.#exchange = undefined;
    this.#connection.reset();
  }

  pauseRequest(): void {
    this.#bodyPaused = true;
    this.#deadline = Number.POSITIVE_INFINITY;
    this.#connection.pause();
  }

  resumeRequest(): void {
    this.#bodyPaused = false;
    if (this.#state === "body") this.#deadline = this.#context.clock.monotonic() + this.#context.timeouts.body;
    this.#connection.resume();
  }

  switched(head: Http1Response, upstream: Connection, rest: Buffer | undefined, o: SwitchOptions): void {
    this.#exchange = undefined;
    this.#state = "tunnel";
    let text = `HTTP/1.1 101 ${head.reason}\r\n`;
    for (const [i, name] of head.names.entries()) {
      const lower = head.fields[2 * i] ?? "";
      if (lower !== "connection" && lower !== "keep-alive") text += `${name}: ${head.fields[2 * i + 1]}\r\n`;
    }
    this.#connection.write(`${text}Connection: Upgrade\r\n\r\n`);
    const early = this.#held;
    this.#held = undefined;
    this.#tunnel = new Tunnel(this.#connection, upstream, {
      idleMs: o.idleMs,
      clock: this.#context.clock,
      onClosed: () => {
        o.onClosed();
        this.#closed();
      },
    });
    this.#deadline = 0;
    if (this.#pausedForHeld) this.#connection.resume();
    this.#tunnel.start({ fromClient: early, fromUpstream: rest, clientEnded: this.#clientEnded });
  }

  /** Answers what could not even become an exchange, and closes. */
  #refuse(status: number): void {
    this.#exchange = undefined;
    if (this.#responding) {
      this.abortConnection();
      return;
    }
    const page = statusPage(status);
    this.#connection.write(
      `HTTP/1.1 ${status} ${reasonOf(status)}\r\nContent-Type: text/html\r\nContent-Length: ${page.length}\r\nConnection: close\r\n\r\n${page}`,
    );
    this.#linger();
  }

  /** Closes without a reset that would take the last response from the client: reads on for a while (RFC 9112 section 9.6). */
  #linger(): void {
    this.#state = "lingering";
    this.#held = undefined;
    this.#deadline = this.#context.clock.monotonic() + this.#context.timeouts.linger;
    this.#connection.end();
    this.#connection.resume();
  }
}

function printLines(headers: readonly string[]): string {
  let lines = "";
  for (let i = 0; i < headers.length; i += 2) lines += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return lines;
}

/** From `from` on: what came before was looked at before. */
function hasBareLf(bytes: Buffer, from: number): boolean {
  for (let at = bytes.indexOf(0x0a, from); at >= 0; at = bytes.indexOf(0x0a, at + 1)) if (bytes[at - 1] !== 0x0d) return true;
  return false;
}
