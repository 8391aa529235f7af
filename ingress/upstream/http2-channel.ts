import { type ClientHttp2Session, type ClientHttp2Stream, constants, type IncomingHttpHeaders } from "node:http2";
import type { ResponseSink, UpstreamChannel, UpstreamFailure, UpstreamHead } from "./upstream-channel.ts";
import { type BodyFraming, declaredFraming, noBody } from "./wire/body-framing.ts";
import { HeaderBlock } from "./wire/header-block.ts";
import type { Http1Response } from "./wire/response-parser.ts";
import { isFieldValue, isToken } from "./wire/tokens.ts";

/** One stream to an endpoint. Its response is told in the words of HTTP/1, which all that follows speaks. */
export class Http2Channel implements UpstreamChannel {
  readonly #session: ClientHttp2Session;
  readonly #scheme: "http" | "https";
  readonly #onDone: () => void;
  #stream: ClientHttp2Stream | undefined;
  #sink: ResponseSink | undefined;
  #responded = false;
  #ended = false;
  #trailers: readonly string[] = [];

  /** `onDone` once, when the stream is closed or was never opened. */
  constructor(session: ClientHttp2Session, scheme: "http" | "https", onDone: () => void) {
    this.#session = session;
    this.#scheme = scheme;
    let done = false;
    this.#onDone = () => {
      if (done) return;
      done = true;
      onDone();
    };
  }

  begin(head: UpstreamHead, sink: ResponseSink): void {
    this.#sink = sink;
    let stream: ClientHttp2Stream;
    try {
      stream = this.#session.request(recordOf([":scheme", this.#scheme, ...head.fields()]), {
        endStream: head.framing.kind === "none",
        waitForTrailers: head.framing.kind === "chunked",
      });
    } catch (error) {
      this.#onDone();
      process.nextTick(() => this.#fail("refused", error instanceof Error ? error.message : String(error)));
      return;
    }
    this.#stream = stream;
    let fault = "the endpoint closed the stream";
    stream.on("headers", (headers) => this.#onInformational(headers));
    stream.on("response", (headers, flags) => this.#onResponse(head.method, headers, flags));
    stream.on("data", (bytes: Buffer) => {
      this.#sink?.onBody(bytes);
      this.#sink?.onBatchEnd();
    });
    stream.on("trailers", (headers) => this.#sink?.onTrailers(linesOf(headers)));
    stream.on("end", () => {
      // node:http2 says so of a stream that was reset, or lost its connection, too
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) return;
      this.#ended = true;
      if (this.#responded) this.#complete();
    });
    stream.on("drain", () => this.#sink?.onDrain());
    stream.on("wantTrailers", () => stream.sendTrailers(recordOf(this.#trailers)));
    stream.on("error", (e: Error) => {
      fault = e.message;
    });
    stream.on("close", () => {
      this.#onDone();
      // an endpoint that wants no more of the body says NO_ERROR after a whole response
      const code = stream.rstCode ?? 0;
      if (code === constants.NGHTTP2_REFUSED_STREAM) this.#fail("refused", fault);
      else this.#fail(this.#responded ? "truncated" : "closed", fault);
    });
  }

  #onInformational(headers: IncomingHttpHeaders): void {
    const response = responseOf(headers, noBody);
    if (response !== undefined) this.#sink?.onInformational(response);
  }

  #onResponse(method: string, headers: IncomingHttpHeaders, flags: number): void {
    const response = responseOf(headers, framingOf(method, headers, flags));
    if (response === undefined) {
      this.#stream?.close(constants.NGHTTP2_PROTOCOL_ERROR);
      this.#fail("malformed", "a response that HTTP/1 could not carry");
      return;
    }
    this.#responded = true;
    this.#sink?.onHead(response);
    if (response.framing.kind === "none" || this.#ended) this.#complete();
  }

  #complete(): void {
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.onComplete();
  }

  #fail(failure: UpstreamFailure, detail: string): void {
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.onFailure(failure, detail);
  }

  sendBody(bytes: Buffer): boolean {
    const stream = this.#stream;
    // the stream sends later, the buffer is not ours to keep
    return stream === undefined || stream.destroyed || stream.writableEnded || stream.write(Buffer.from(bytes));
  }

  sendEnd(trailers: string): void {
    this.#trailers = trailers
      .split("\r\n")
      .filter((line) => line.includes(":"))
      .flatMap((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]);
    this.#stream?.end();
  }

  cork(): void {
    this.#stream?.cork();
  }

  uncork(): void {
    this.#stream?.uncork();
  }

  pause(): void {
    this.#stream?.pause();
  }

  resume(): void {
    this.#stream?.resume();
  }

  abort(): void {
    this.#sink = undefined;
    const stream = this.#stream;
    if (stream === undefined) this.#onDone();
    else if (!stream.closed) stream.close(constants.NGHTTP2_CANCEL);
  }
}

function framingOf(method: string, headers: IncomingHttpHeaders, flags: number): BodyFraming {
  if ((flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0 || method === "HEAD") return noBody;
  const length = headers["content-length"];
  const declared = length === undefined ? undefined : declaredFraming(["content-length", length], 1);
  return declared !== undefined && "kind" in declared && declared.kind === "length" ? declared : { kind: "chunked" };
}

function responseOf(headers: IncomingHttpHeaders, framing: BodyFraming | { readonly fault: string }): Http1Response | undefined {
  if ("fault" in framing) return undefined;
  const status = Number(headers[":status"]);
  const fields = fieldsOf(headers);
  if (!(status >= 100 && status <= 999) || fields === undefined) return undefined;
  const names = fields.filter((_, i) => i % 2 === 0);
  const block = new HeaderBlock(names, fields);
  return { status, reason: "", names, fields, block, framing, keepAlive: true, connectionTokens: [], idleSeconds: undefined };
}

/** Flat, without pseudo-headers; undefined when there is one that could not stand in a line of text. */
function fieldsOf(headers: IncomingHttpHeaders): readonly string[] | undefined {
  const fields: string[] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(":") || value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) {
      if (!isToken(name) || !isFieldValue(one)) return undefined;
      fields.push(name, one);
    }
  }
  return fields;
}

function linesOf(headers: IncomingHttpHeaders): string {
  const fields = fieldsOf(headers) ?? [];
  let text = "";
  for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`;
  return text.slice(0, -2);
}

function recordOf(fields: readonly string[]): Record<string, string | string[]> {
  const out: Record<string, string | string[]> = {};
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? "";
    const value = fields[i + 1] ?? "";
    const before = out[name];
    if (before === undefined) out[name] = value;
    else if (Array.isArray(before)) before.push(value);
    else out[name] = [before, value];
  }
  return out;
}
