import { randomBytes } from "node:crypto";
import { constants, type ServerHttp2Stream } from "node:http2";
import type { ShownCertificate } from "../filter/outcome.ts";
import type { ResponseHead } from "../filter/response-step.ts";
import { headerValue } from "../route/request-head.ts";
import type { ClientCertificates } from "../route/route.ts";
import type { Connection } from "../upstream/connection.ts";
import { declaredFraming, noBody } from "../upstream/wire/body-framing.ts";
import { HeaderBlock } from "../upstream/wire/header-block.ts";
import { isAuthority, isOriginTarget } from "../upstream/wire/request-parser.ts";
import type { Http1Response } from "../upstream/wire/response-parser.ts";
import { isFieldValue, isToken } from "../upstream/wire/tokens.ts";
import type { ProxyContext } from "./context.ts";
import type { Downstream, IncomingRequest, SwitchOptions } from "./downstream.ts";
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

/** One stream of an HTTP/2 client, as an Exchange sees its client. */
export class Http2Request implements Downstream, Holder {
  readonly #context: ProxyContext;
  readonly #stream: ServerHttp2Stream;
  readonly #exchange: Exchange;
  readonly #facts: Http2Facts;
  #deadline: number;
  #trailers: Record<string, string> = {};
  #expectContinue: boolean;
  #answeredEarly = false;
  #answered = false;
  /** Of an answer that is complete: what the client had not taken when it last took some, and by when it must take more. */
  #left = { bytes: 0, deadline: Number.POSITIVE_INFINITY };

  #tunnel: Tunnel | undefined;

  private constructor(context: ProxyContext, stream: ServerHttp2Stream, request: IncomingRequest) {
    this.#facts = request;
    this.#context = context;
    this.#stream = stream;
    this.#expectContinue = headerValue(request.fields, "expect")?.toLowerCase() === "100-continue";
    this.#exchange = new Exchange(context, request, this);
    this.#deadline = this.#bodyDeadline();
    // after an extended CONNECT come the bytes of the tunnel, which must wait for it
    if (request.upgrade === undefined) this.#readBody(stream);
    stream.on("drain", () => {
      if (this.#tunnel === undefined) this.#exchange.clientDrained();
    });
    stream.on("wantTrailers", () => stream.sendTrailers(this.#trailers));
  }

  #readBody(stream: ServerHttp2Stream): void {
    stream.on("data", (bytes: Buffer) => {
      this.#deadline = this.#bodyDeadline();
      this.#exchange.body(bytes);
    });
    stream.on("trailers", (headers) => this.#exchange.bodyTrailers(printTrailers(headers)));
    stream.on("end", () => {
      this.#deadline = Number.POSITIVE_INFINITY;
      this.#exchange.bodyEnd();
    });
  }

  /** `undefined` for a request that no HTTP/1.1 text could carry safely. */
  static begin(
    context: ProxyContext,
    stream: ServerHttp2Stream,
    headers: Readonly<Record<string, unknown>>,
    facts: Http2Facts,
  ): Http2Request | undefined {
    const request = incomingRequest(headers, stream.endAfterHeaders, facts);
    return request === undefined ? undefined : new Http2Request(context, stream, request);
  }

  start(): void {
    this.#exchange.start();
  }

  sweep(now: number): void {
    this.#exchange.sweep(now);
    this.#tunnel?.sweep(now);
    if (this.#answered) this.#awaitReader(now);
    if (this.#answeredEarly) this.#stream.close(constants.NGHTTP2_NO_ERROR);
    if (now >= this.#deadline && !this.#exchange.requestComplete) this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  endpointsGone(gone: ReadonlySet<string>): void {
    this.#exchange.endpointsGone(gone);
  }

  clientGone(): void {
    this.#exchange.clientGone();
    if (this.#left.bytes > 0) this.#context.held.set(this, 0);
  }

  get queuedBytes(): number {
    return this.#stream.writableLength;
  }

  letGo(): void {
    this.abort();
  }

  /** A client that takes nothing of an answer that is complete must not keep it here for good. */
  #awaitReader(now: number): void {
    const bytes = this.queuedBytes;
    if (bytes !== this.#left.bytes) {
      this.#left = { bytes, deadline: now + this.#context.timeouts.body };
      this.#context.held.set(this, bytes === 0 ? 0 : bytes + waitingBytes);
    } else if (bytes > 0 && now >= this.#left.deadline) this.abort();
  }

  continue(): void {
    if (this.#expectContinue && this.#open() && !this.#stream.headersSent) this.#stream.additionalHeaders({ ":status": 100 });
    this.#expectContinue = false;
  }

  informational(head: ResponseHead): void {
    if (this.#open() && !this.#stream.headersSent) this.#stream.additionalHeaders({ ":status": head.status, ...headersOf(head) });
  }

  head(head: ResponseHead): void {
    if (!this.#open()) return;
    const endStream = head.framing.kind === "none";
    try {
      this.#stream.respond({ ":status": head.status, ...headersOf(head) }, { endStream, waitForTrailers: head.framing.kind === "chunked" });
    } catch {
      // node:http2 refuses what HTTP/2 forbids, such as two values of a header that has one
      this.abort();
    }
  }

  body(bytes: Buffer): boolean {
    // the stream sends later, the buffer is not ours to keep
    return !this.#open() || this.#stream.write(Buffer.from(bytes));
  }

  flush(): void {
    // streams leave when written
  }

  complete(trailers: string): void {
    for (const line of trailers.split("\r\n")) {
      const colon = line.indexOf(":");
      if (colon > 0) this.#trailers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    if (!this.#open()) return;
    this.#stream.end();
    this.#answered = true;
    // an answer before the end of the question: the rest of it is not wanted (RFC 9113 section 8.1). The next sweep says
    // so: said at once, it would overtake the answer
    if (!this.#exchange.requestComplete) this.#answeredEarly = true;
  }

  abort(): void {
    // by close() node:http2 would end the stream first, and what was cut short would look whole; with an error it says INTERNAL_ERROR
    this.#stream.destroy(new Error("the answer cannot go on"));
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
    if (!this.#open()) {
      upstream.abort();
      o.onClosed();
      return;
    }
    const headers: string[] = [];
    for (const [i, name] of head.names.entries())
      if (!switchOnly.has(head.fields[2 * i] ?? "")) headers.push(name, head.fields[2 * i + 1] ?? "");
    this.#stream.respond({ ":status": 200, ...headersOf({ status: 200, reason: "", headers, framing: { kind: "close" } }) });
    this.#tunnel = new Tunnel(new StreamConnection(this.#stream, this.#facts), upstream, {
      idleMs: o.idleMs,
      clock: this.#context.clock,
      held: this.#context.held,
      onClosed: o.onClosed,
    });
    this.#tunnel.start({ fromClient: undefined, fromUpstream: rest, clientEnded: false });
  }

  #open(): boolean {
    return !this.#stream.destroyed && !this.#stream.closed;
  }

  #bodyDeadline(): number {
    return this.#context.clock.monotonic() + this.#context.timeouts.body;
  }
}

/** Headers of a 101 that are about the switch itself. */
const switchOnly: ReadonlySet<string> = new Set(["connection", "upgrade", "keep-alive", "sec-websocket-accept"]);

/** The same checks as for HTTP/1: the request becomes HTTP/1.1 text for the endpoint. */
function incomingRequest(headers: Readonly<Record<string, unknown>>, ended: boolean, facts: Http2Facts): IncomingRequest | undefined {
  const protocol = headers[":protocol"];
  const tunnels = headers[":method"] === "CONNECT" && typeof protocol === "string" && isToken(protocol);
  const method = tunnels ? "GET" : headers[":method"];
  const target = headers[":path"];
  const authority = headers[":authority"] ?? headers["host"];
  if (typeof method !== "string" || !isToken(method) || method === "CONNECT") return undefined;
  if (typeof target !== "string" || !(isOriginTarget(target) || (target === "*" && method === "OPTIONS"))) return undefined;
  if (typeof authority !== "string" || !isAuthority(authority, false)) return undefined;
  const names: string[] = [];
  const fields: string[] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(":") || name === "host") continue;
    if (!isToken(name)) return undefined;
    for (const one of Array.isArray(value) ? value : [value]) {
      if (typeof one !== "string" || !isFieldValue(one)) return undefined;
      names.push(name);
      fields.push(name, one);
    }
  }
  if (tunnels && protocol === "websocket") {
    // HTTP/1.1 asks for a key, which HTTP/2 has none of
    names.push("Sec-WebSocket-Key");
    fields.push("sec-websocket-key", randomBytes(16).toString("base64"));
  }
  const declared = tunnels ? noBody : declaredFraming(fields, 1);
  if (declared !== undefined && ("fault" in declared || declared.kind === "chunked")) return undefined;
  return {
    method,
    target,
    authority,
    block: new HeaderBlock(names, fields),
    fields,
    framing: declared ?? (ended ? { kind: "none" } : { kind: "chunked" }),
    connectionTokens: [],
    upgrade: tunnels ? protocol : undefined,
    http2: true,
    ...facts,
  };
}

function headersOf(head: ResponseHead): Record<string, string | string[]> {
  const out: Record<string, string | string[]> = {};
  for (let i = 0; i < head.headers.length; i += 2) {
    const name = (head.headers[i] ?? "").toLowerCase();
    const value = head.headers[i + 1] ?? "";
    const before = out[name];
    if (before === undefined) out[name] = value;
    else if (Array.isArray(before)) before.push(value);
    else out[name] = [before, value];
  }
  return out;
}

/** Well-formed lines only: what is none is left out. */
function printTrailers(headers: Readonly<Record<string, unknown>>): string {
  const lines: string[] = [];
  for (const [name, value] of Object.entries(headers))
    for (const one of Array.isArray(value) ? value : [value])
      if (typeof one === "string" && isToken(name) && isFieldValue(one)) lines.push(`${name}: ${one}`);
  return lines.join("\r\n");
}
