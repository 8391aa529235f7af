import type { FieldLine } from "../http2/field-line.ts";
import { errorCode } from "../http2/frames.ts";
import type { ResponseHeads } from "../http2/response-head.ts";
import type { Http2Stream, StreamOwner } from "../http2/stream.ts";
import { fieldsOfLines, linesOfFields } from "./http2-fields.ts";
import type { ResponseSink, UpstreamChannel, UpstreamFailure, UpstreamHead } from "./upstream-channel.ts";

const maxInformational = 16;

/** The connection that a channel is a stream of. */
export interface ChannelHost {
  readonly heads: ResponseHeads;
  readonly scheme: "http" | "https";
  /** It takes no more streams. */
  readonly leaving: boolean;
  /** `undefined`: the endpoint takes no more streams. */
  begin(fields: readonly string[], o: { readonly owner: StreamOwner; readonly last: boolean }): Http2Stream | undefined;
  /** Something was told to the channel's sink: it is told as well when all of the read was. */
  touched(channel: Http2Channel): void;
  /** A request was given up before its answer began. */
  onUnanswered(): void;
}

/** One stream to an endpoint. Its response is told in the words of HTTP/1, which all that follows speaks. */
export class Http2Channel implements UpstreamChannel, StreamOwner {
  readonly #host: ChannelHost;
  #stream: Http2Stream | undefined;
  #sink: ResponseSink | undefined;
  #method = "GET";
  /** Of the body of the request, where its end is known by its length; negative: it is not. */
  #bodyLeft = -1;
  #responded = false;
  #informational = 0;

  constructor(host: ChannelHost) {
    this.#host = host;
  }

  begin(head: UpstreamHead, sink: ResponseSink): void {
    this.#sink = sink;
    this.#method = head.method;
    const { framing } = head;
    if (framing.kind === "length" && framing.trailed !== true) this.#bodyLeft = framing.bytes;
    const fields = [":scheme", this.#host.scheme, ...head.fields()];
    this.#stream = this.#host.begin(fields, { owner: this, last: framing.kind === "none" });
    if (this.#stream === undefined) process.nextTick(() => this.#fail("refused", "the endpoint takes no more streams"));
  }

  sendBody(bytes: Buffer): boolean {
    const stream = this.#stream;
    if (stream === undefined) return true;
    this.#bodyLeft -= bytes.length;
    // the end leaves with the last of an announced length
    if (this.#bodyLeft !== 0) return stream.send(bytes);
    stream.sendLast(bytes);
    return true;
  }

  sendEnd(trailers: string): void {
    this.#stream?.end(fieldsOfLines(trailers));
  }

  cork(): void {
    // what is said in one turn leaves together as it is
  }

  uncork(): void {
    // see cork
  }

  pause(): void {
    this.#stream?.pause();
  }

  resume(): void {
    this.#stream?.resume();
    this.batchEnd();
  }

  abort(): void {
    if (this.#sink !== undefined && !this.#responded) this.#host.onUnanswered();
    this.#sink = undefined;
    this.#stream?.reset(errorCode.cancel);
  }

  /** All bytes of one read were delivered. */
  batchEnd(): void {
    this.#sink?.onBatchEnd();
  }

  // the stream

  onFields(lines: readonly FieldLine[], last: boolean): void {
    const sink = this.#sink;
    if (sink === undefined) return;
    this.#host.touched(this);
    if (this.#responded) sink.onTrailers(linesOfFields(lines));
    else this.#onHead(sink, lines, last);
  }

  #onHead(sink: ResponseSink, lines: readonly FieldLine[], last: boolean): void {
    const stream = this.#stream;
    const response = this.#host.heads.read(lines, { answersHead: this.#method === "HEAD", last });
    if (stream === undefined || response === undefined) {
      this.#refuse("a response that HTTP/1 could not carry");
      return;
    }
    if (response.status < 200) {
      if (++this.#informational > maxInformational) this.#refuse("no end of informational responses");
      else sink.onInformational(response);
      return;
    }
    const { framing } = response;
    stream.headed = true;
    this.#responded = true;
    if (framing.kind === "none") stream.announce(0);
    else if (framing.kind === "length") stream.announce(framing.bytes);
    sink.onHead(response);
  }

  /** Gives up a stream whose endpoint breaks the rules. */
  #refuse(detail: string): void {
    const sink = this.#sink;
    this.#sink = undefined;
    this.#stream?.reset(errorCode.protocol);
    sink?.onFailure("malformed", detail);
  }

  onData(bytes: Buffer): void {
    const sink = this.#sink;
    if (sink === undefined) return;
    this.#host.touched(this);
    sink.onBody(bytes);
  }

  onEnd(): void {
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.onComplete();
    // the rest of a request that is answered is not wanted
    if (this.#stream !== undefined && this.#stream.queuedBytes > 0) this.#stream.reset(errorCode.cancel);
  }

  onDrain(): void {
    this.#sink?.onDrain();
  }

  onClosed(code: number): void {
    if (this.#sink === undefined) return;
    // a reset says nothing of how much of the answer came, NO_ERROR as little as others
    if (this.#responded) this.#fail("truncated", "the endpoint gave up the stream amid its answer");
    else if (this.#stream?.givenUp === true) this.#fail("malformed", "what the endpoint sent is no answer");
    else if (code === errorCode.refusedStream) this.#fail(this.#host.leaving ? "goaway" : "refused", "the endpoint refused the stream");
    else this.#fail("closed", "the endpoint gave up the stream");
  }

  #fail(failure: UpstreamFailure, detail: string): void {
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.onFailure(failure, detail);
  }
}
