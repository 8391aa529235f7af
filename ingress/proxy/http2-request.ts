import { randomBytes } from "node:crypto";
import type { ShownCertificate } from "../filter/outcome.ts";
import type { ResponseHead } from "../filter/response-step.ts";
import type { FieldLine } from "../http2/field-line.ts";
import { errorCode } from "../http2/frames.ts";
import type { RequestHead } from "../http2/request-head.ts";
import type { Http2Session } from "../http2/session.ts";
import type { Http2Stream, StreamOwner } from "../http2/stream.ts";
import type { ClientCertificates } from "../route/route.ts";
import type { Connection } from "../upstream/connection.ts";
import { fieldsOfHeaders, fieldsOfLines, linesOfFields } from "../upstream/http2-fields.ts";
import { type BodyFraming, noBody } from "../upstream/wire/body-framing.ts";
import { HeaderBlock } from "../upstream/wire/header-block.ts";
import type { Http1Response } from "../upstream/wire/response-parser.ts";
import type { ProxyContext } from "./context.ts";
import type { Downstream, HeadFacts, IncomingRequest, SwitchOptions } from "./downstream.ts";
import { Exchange } from "./exchange.ts";
import { type Holder, waitingBytes } from "./held-bytes.ts";
import { StreamConnection } from "./stream-connection.ts";
import { Tunnel } from "./tunnel.ts";

export interface Http2Facts {
  readonly remoteIp: string;
  readonly localPort: number;
  readonly tls: boolean;
  readonly askedBy?: ClientCertificates | undefined;
  readonly clientCertificate?: ShownCertificate | undefined;
}

export interface Http2RequestOptions {
  readonly stream: Http2Stream;
  readonly session: Http2Session;
  readonly connection: Connection;
  readonly facts: Http2Facts;
  readonly onClosed: (request: Http2Request) => void;
}

/** One stream of an HTTP/2 client, as an Exchange sees its client. */
export class Http2Request implements Downstream, StreamOwner, Holder {
  readonly #context: ProxyContext;
  readonly #o: Http2RequestOptions;
  readonly #stream: Http2Stream;
  readonly #session: Http2Session;
  readonly #exchange: Exchange;
  #deadline: number;
  #expectContinue: boolean;
  #headSent = false;
  #answered = false;
  /** Of the body of the answer, where its end is known by its length; negative: it is not. */
  #bodyLeft = -1;
  /** Of an answer that is complete: what the client had not taken when it last took some, and by when it must take more. */
  #left = { bytes: 0, deadline: Number.POSITIVE_INFINITY };
  #tunnel: Tunnel | undefined;

  private constructor(context: ProxyContext, request: IncomingRequest, o: Http2RequestOptions & { readonly expectContinue: boolean }) {
    this.#context = context;
    this.#o = o;
    this.#stream = o.stream;
    this.#session = o.session;
    this.#expectContinue = o.expectContinue;
    this.#stream.owner = this;
    this.#exchange = new Exchange(context, request, this);
    this.#deadline = this.#bodyDeadline();
    // after an extended CONNECT come the bytes of the tunnel, which must wait for it
    if (request.upgrade !== undefined) this.#stream.pause();
    else if (request.framing.kind === "length") this.#stream.announce(request.framing.bytes);
  }

  /** `undefined` for a request whose length is not that of its body. */
  static begin(context: ProxyContext, head: RequestHead, o: Http2RequestOptions): Http2Request | undefined {
    const { said, protocol } = head;
    const ended = o.stream.remoteEnded;
    if (protocol === undefined && ended && said.framing?.kind === "length" && said.framing.bytes > 0) return undefined;
    const block = protocol === "websocket" ? withWebSocketKey(said.block) : said.block;
    const request: IncomingRequest = {
      method: head.method,
      target: head.target,
      authority: head.authority,
      block,
      fields: block.fields,
      framing: protocol !== undefined ? noBody : framingOf(said.framing, ended),
      connectionTokens: [],
      upgrade: protocol,
      http2: true,
      ...o.facts,
    };
    return new Http2Request(context, request, { ...o, expectContinue: said.expectContinue });
  }

  start(): void {
    this.#exchange.start();
  }

  sweep(now: number): void {
    this.#exchange.sweep(now);
    this.#tunnel?.sweep(now);
    if (this.#answered) this.#awaitReader(now);
    if (now >= this.#deadline && !this.#exchange.requestComplete) this.#stream.reset(errorCode.cancel);
  }

  endpointsGone(gone: ReadonlySet<string>): void {
    this.#exchange.endpointsGone(gone);
  }

  /** Of this stream, with its part of what the connection has to send. */
  get queuedBytes(): number {
    return this.#stream.queuedBytes + Math.floor(this.#o.connection.queuedBytes / Math.max(1, this.#session.streamCount));
  }

  letGo(): void {
    this.abort();
  }

  /** A client that takes nothing of an answer that is complete must not keep it here for good. */
  #awaitReader(now: number): void {
    const bytes = this.#stream.queuedBytes;
    if (bytes !== this.#left.bytes) {
      this.#left = { bytes, deadline: now + this.#context.timeouts.body };
      this.#context.held.set(this, bytes === 0 ? 0 : bytes + waitingBytes);
    } else if (bytes > 0 && now >= this.#left.deadline) this.abort();
    // an answer before the end of the question: the rest of it is not wanted (RFC 9113 section 8.1)
    if (bytes === 0) this.#stream.reset(errorCode.none);
  }

  // the stream

  onFields(lines: readonly FieldLine[]): void {
    this.#exchange.bodyTrailers(linesOfFields(lines));
  }

  onData(bytes: Buffer): void {
    this.#deadline = this.#bodyDeadline();
    this.#exchange.body(bytes);
  }

  onEnd(): void {
    this.#deadline = Number.POSITIVE_INFINITY;
    this.#exchange.bodyEnd();
  }

  onDrain(): void {
    this.#exchange.clientDrained();
  }

  onClosed(): void {
    this.#exchange.clientGone();
    if (this.#left.bytes > 0) this.#context.held.set(this, 0);
    this.#o.onClosed(this);
  }

  // the answer

  continue(): void {
    if (this.#expectContinue && !this.#headSent) this.#sendFields([":status", "100"]);
    this.#expectContinue = false;
  }

  informational(head: ResponseHead): void {
    if (!this.#headSent) this.#sendFields([":status", String(head.status), ...fieldsOfHeaders(head.headers)]);
  }

  head(head: ResponseHead): void {
    const fields = [":status", String(head.status), ...fieldsOfHeaders(head.headers)];
    if (!this.#stream.closed) this.#sendHead(head, this.#session.writer.encoder.fields(fields));
  }

  headLines(head: HeadFacts, lines: string): void {
    if (!this.#stream.closed) this.#sendHead(head, this.#session.writer.encoder.response(head.status, fieldsOfLines(lines)));
  }

  #sendHead({ framing }: HeadFacts, block: string): void {
    const bytes = framing.kind === "length" && framing.trailed !== true ? framing.bytes : -1;
    const last = framing.kind === "none" || bytes === 0;
    this.#headSent = true;
    this.#bodyLeft = bytes;
    this.#session.writer.sendBlock(this.#stream, block, { last });
    if (last) this.#stream.endedWithHead();
  }

  #sendFields(fields: readonly string[]): void {
    if (!this.#stream.closed) this.#session.writer.sendBlock(this.#stream, this.#session.writer.encoder.fields(fields), { last: false });
  }

  body(bytes: Buffer): boolean {
    this.#bodyLeft -= bytes.length;
    // the end leaves with the last of an announced length
    if (this.#bodyLeft !== 0) return this.#stream.send(bytes);
    this.#stream.sendLast(bytes);
    return true;
  }

  flush(): void {
    // connections send at the end of the turn
  }

  complete(trailers: string): void {
    this.#answered = true;
    this.#stream.end(trailers === "" ? undefined : fieldsOfLines(trailers));
  }

  abort(): void {
    this.#stream.reset(errorCode.internal);
  }

  pauseRequest(): void {
    this.#deadline = Number.POSITIVE_INFINITY;
    this.#stream.pause();
  }

  resumeRequest(): void {
    this.#deadline = this.#bodyDeadline();
    this.#stream.resume();
  }

  /** RFC 8441 section 5: what HTTP/1.1 says with 101 is a plain 200 here. */
  switched(head: Http1Response, upstream: Connection, rest: Buffer | undefined, o: SwitchOptions): void {
    if (this.#stream.closed) {
      upstream.abort();
      o.onClosed();
      return;
    }
    const fields = [":status", "200"];
    for (let i = 0; i < head.fields.length; i += 2)
      if (!switchOnly.has(head.fields[i] ?? "")) fields.push(head.fields[i] ?? "", head.fields[i + 1] ?? "");
    this.#headSent = true;
    this.#sendFields(fields);
    const client = new StreamConnection(this.#stream, { ...this.#o.facts, onClosed: () => this.onClosed() });
    this.#tunnel = new Tunnel(client, upstream, {
      idleMs: o.idleMs,
      clock: this.#context.clock,
      held: this.#context.held,
      onClosed: o.onClosed,
    });
    this.#tunnel.start({ fromClient: undefined, fromUpstream: rest, clientEnded: false });
  }

  #bodyDeadline(): number {
    return this.#context.clock.monotonic() + this.#context.timeouts.body;
  }
}

/** As it was announced; trailers may follow whatever length. */
function framingOf(said: BodyFraming | undefined, ended: boolean): BodyFraming {
  if (said?.kind === "length") return ended ? said : { ...said, trailed: true };
  return ended ? noBody : { kind: "chunked" };
}

/** Headers of a 101 that are about the switch itself. */
const switchOnly: ReadonlySet<string> = new Set(["connection", "upgrade", "keep-alive", "sec-websocket-accept"]);

/** HTTP/1.1 asks for a key, which HTTP/2 has none of. */
function withWebSocketKey({ names, fields }: HeaderBlock): HeaderBlock {
  const key = randomBytes(16).toString("base64");
  return new HeaderBlock([...names, "Sec-WebSocket-Key"], [...fields, "sec-websocket-key", key]);
}
