import type { ResponseHead } from "../filter/response-step.ts";
import type { Connection } from "../upstream/connection.ts";
import { BodyReader } from "../upstream/wire/body-reader.ts";
import type { ChunkSink } from "../upstream/wire/chunk-decoder.ts";
import { hasBareLf, headEnd } from "../upstream/wire/head-end.ts";
import { prefaceIn } from "../upstream/wire/http2-preface.ts";
import { readLatin1 } from "../upstream/wire/latin1.ts";
import { type Http1Request, parseRequestHead } from "../upstream/wire/request-parser.ts";
import type { Http1Response } from "../upstream/wire/response-parser.ts";
import type { ClientAnswer } from "./client-certificate.ts";
import type { ClientConnection } from "./client-connection.ts";
import type { ProxyContext } from "./context.ts";
import type { Downstream, HeadFacts, SwitchOptions } from "./downstream.ts";
import { Exchange } from "./exchange.ts";
import { Farewell } from "./farewell.ts";
import { type Holder, leastHeld } from "./held-bytes.ts";
import { printLines, ResponseWriter } from "./response-writer.ts";
import { Tunnel } from "./tunnel.ts";

/** head: between requests or in a head; body: reading one; waiting: all read, answer under way; lingering: reading what nobody wants. */
type State = "head" | "body" | "waiting" | "lingering" | "tunnel" | "closed";

/** One client connection that speaks HTTP/1: requests one after the other, each an Exchange. */
export class Http1Client implements ClientConnection, Downstream, ChunkSink, Holder {
  readonly #context: ProxyContext;
  readonly #connection: Connection;
  readonly #response: ResponseWriter;
  readonly #tls: boolean;
  readonly #client: ClientAnswer | undefined;
  readonly #onClosed: (c: Http1Client) => void;
  readonly #onHttp2: ((bytes: Buffer) => void) | undefined;
  #state: State = "head";
  #held: Buffer | undefined;
  #reading = false;
  #pausedForHeld = false;
  /** Counted among what this process holds. */
  #isHeld = false;
  #deadline: number;
  #served = 0;
  // the request being read
  #request: Http1Request | undefined;
  #exchange: Exchange | undefined;
  #body: BodyReader | undefined;
  #continueDue = false;
  #bodyPaused = false;
  #clientEnded = false;
  // the response being written
  #closeAfter = false;
  #tunnel: Tunnel | undefined;
  #farewell: Farewell | undefined;

  constructor(
    context: ProxyContext,
    connection: Connection,
    options: {
      readonly tls: boolean;
      /** What the client showed in the handshake, where it was asked to. */
      readonly client?: ClientAnswer | undefined;
      readonly onClosed: (c: Http1Client) => void;
      /** The client began with the preface of HTTP/2 (prior knowledge): the connection is another's from there on. Absent: it may not. */
      readonly onHttp2?: (bytes: Buffer) => void;
    },
  ) {
    this.#context = context;
    this.#connection = connection;
    this.#response = new ResponseWriter(connection);
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
    if (this.#isHeld) this.#count();
    if (this.#farewell !== undefined) {
      if (this.#farewell.isOver(now, this.#connection.queuedBytes)) this.abortConnection();
      return;
    }
    if (now < this.#deadline) return;
    if (this.#state === "head" && this.#held !== undefined) this.#refuse(408);
    else if (this.#state === "body") {
      this.#exchange?.clientGone();
      this.#refuse(408);
    } else if (this.#state === "tunnel") this.#tunnel?.sweep(now);
    else if (this.#state === "head" && this.#connection.queuedBytes > 0) this.#linger();
    else if (this.#state === "head") this.abortConnection();
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

  get queuedBytes(): number {
    return this.#connection.queuedBytes;
  }

  letGo(): void {
    this.abortConnection();
  }

  /** Counts what is held for no exchange: what came of later requests, and what is left of an answer that is complete. */
  #count(): void {
    const written = this.#exchange === undefined && this.#state !== "tunnel" ? this.#connection.queuedBytes : 0;
    const bytes = this.#state === "closed" ? 0 : (this.#held?.length ?? 0) + written;
    if (bytes < leastHeld && !this.#isHeld) return;
    this.#isHeld = bytes >= leastHeld;
    this.#context.held.set(this, this.#isHeld ? bytes : 0);
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
    this.#count();
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
    if (this.#served === 0 && this.#isPreface(all)) return undefined;
    const end = headEnd(all, held === undefined ? 0 : Math.max(0, held.length - 5));
    if (end < 0 || end > wire.headBytes) {
      if (all.length > wire.lineBytes && all.lastIndexOf("\r\n", wire.lineBytes) < 0) this.#refuse(414);
      else if (all.length > wire.headBytes) this.#refuse(431);
      else if (hasBareLf(all, Math.max(0, (held?.length ?? 0) - 2))) this.#refuse(400);
      else if (all.length > 0) {
        if (held === undefined) this.#deadline = clock.monotonic() + timeouts.head;
        this.#held = Buffer.from(all);
        this.#count();
      }
      return undefined;
    }
    if (this.#isHeld) this.#count();
    const request = parseRequestHead(readLatin1(all, 0, end), wire);
    if ("status" in request) {
      this.#refuse(request.status);
      return undefined;
    }
    const rest = all.length > end + 4 ? all.subarray(end + 4) : undefined;
    this.#begin(request);
    return rest;
  }

  /** True when the bytes are the preface of HTTP/2, and were handed on, or may become one, and are held. */
  #isPreface(bytes: Buffer): boolean {
    const onHttp2 = this.#onHttp2;
    if (onHttp2 === undefined) return false;
    const begins = prefaceIn(bytes);
    if (begins === "none") return false;
    if (begins === "begun") {
      if (this.#held === undefined) this.#deadline = this.#context.clock.monotonic() + this.#context.timeouts.head;
      this.#held = Buffer.from(bytes);
      return true;
    }
    this.#state = "closed";
    this.#context.metrics.connections--;
    this.#context.metrics.accepted--;
    this.#onClosed(this);
    onHttp2(bytes);
    return true;
  }

  #begin(request: Http1Request): void {
    const context = this.#context;
    this.#request = request;
    this.#served++;
    this.#closeAfter = !request.keepAlive || context.draining || this.#served >= context.wire.requestsPerConnection;
    this.#continueDue = request.expectContinue;
    const { kind } = request.framing;
    const hasBody = kind === "chunked" || (kind === "length" && request.framing.bytes > 0);
    this.#body = hasBody ? new BodyReader(request.framing, this) : undefined;
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
    const body = this.#body;
    if (exchange === undefined || body === undefined) return undefined;
    if (!this.#bodyPaused) this.#deadline = this.#context.clock.monotonic() + this.#context.timeouts.body;
    const used = body.push(bytes);
    if (typeof used === "string") {
      exchange.clientGone();
      this.#refuse(400);
      return undefined;
    }
    if (!body.done) return undefined;
    this.#bodyEnded(exchange);
    return bytes.subarray(used);
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
    if (this.#isHeld) this.#count();
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
    if (this.#request?.minor === 1) this.#response.informational(head);
  }

  head(head: ResponseHead): void {
    this.headLines(head, printLines(head.headers));
  }

  headLines(head: HeadFacts, lines: string): void {
    const request = this.#request;
    if (request === undefined) return;
    this.#continueDue = false;
    if (this.#exchange?.requestComplete !== true || this.#context.draining || this.#clientEnded) this.#closeAfter = true;
    this.#closeAfter = this.#response.head(head, lines, { minor: request.minor, last: this.#closeAfter });
  }

  body(bytes: Buffer): boolean {
    return this.#response.body(bytes);
  }

  flush(): void {
    this.#response.flush();
  }

  complete(trailers: string, now: number): void {
    this.#response.complete(trailers);
    const complete = this.#exchange?.requestComplete === true;
    this.#exchange = undefined;
    if (this.#closeAfter || !complete) {
      if (complete && this.#promisedLast()) this.#finish();
      else this.#linger();
      return;
    }
    this.#state = "head";
    this.#deadline = now + this.#context.timeouts.idle;
    this.#count();
    if (this.#held !== undefined && !this.#reading) this.#next();
  }

  /** The next request is already here. */
  #next(): void {
    const held = this.#held;
    this.#held = undefined;
    if (this.#isHeld) this.#count();
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
    this.#response.switching(head);
    const early = this.#held;
    this.#held = undefined;
    this.#tunnel = new Tunnel(this.#connection, upstream, {
      idleMs: o.idleMs,
      clock: this.#context.clock,
      held: this.#context.held,
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
    if (this.#response.underWay) {
      this.abortConnection();
      return;
    }
    this.#response.refuse(status);
    this.#linger();
  }

  /** RFC 9112 section 9.6: who says that it is its last request sends no other, and nothing that comes could reset the response. */
  #promisedLast(): boolean {
    return this.#request?.keepAlive === false && this.#held === undefined;
  }

  #finish(): void {
    this.#sayFarewell();
    this.#connection.finish();
  }

  /** Closes without a reset that would take the last response from the client: reads on for a while (RFC 9112 section 9.6). */
  #linger(): void {
    this.#held = undefined;
    if (this.#isHeld) this.#count();
    this.#sayFarewell();
    this.#connection.end();
    this.#connection.resume();
  }

  #sayFarewell(): void {
    this.#state = "lingering";
    const { clock, timeouts } = this.#context;
    this.#farewell = new Farewell({ now: clock.monotonic(), left: this.#connection.queuedBytes, timeouts });
  }
}
