import type { Connection } from "./connection.ts";
import type { BodyFraming } from "./wire/body-framing.ts";
import type { Http1Response } from "./wire/response-parser.ts";

/**
 * Why a request could not be answered by this channel. `connect`, `refused`, `goaway` and `unasked`: the endpoint has done nothing with it;
 * `goaway`: its connection takes no more requests, another may.
 */
export type UpstreamFailure = "connect" | "refused" | "goaway" | "unasked" | "closed" | "malformed" | "truncated";

/** Who waits for a response. Nothing comes after onComplete or onFailure. */
export interface ResponseSink {
  onInformational(response: Http1Response): void;
  onHead(response: Http1Response): void;
  onBody(bytes: Buffer): void;
  onTrailers(text: string): void;
  /** All bytes of one read were delivered. */
  onBatchEnd(): void;
  onComplete(): void;
  /** The 101 asked for: from here on the connection belongs to the tunnel; `rest` was read already. */
  onSwitched(response: Http1Response, connection: Connection, rest: Buffer | undefined): void;
  onFailure(failure: UpstreamFailure, detail: string): void;
  onDrain(): void;
}

/** A request head for an endpoint, in the form that its protocol asks for. */
export interface UpstreamHead {
  readonly method: string;
  /** The client wants to switch protocols. */
  readonly switching: boolean;
  readonly framing: BodyFraming;
  /** Head of HTTP/1.1, with the empty line. */
  text(): string;
  /** Flat: name in lower case, value; pseudo-headers first. */
  fields(): readonly string[];
}

/** The way to an endpoint for one request: a connection of HTTP/1.1, or a stream of HTTP/2. */
export interface UpstreamChannel {
  /** Sends the head; the sink hears the response. */
  begin(head: UpstreamHead, sink: ResponseSink): void;
  /** False: wait for onDrain. The bytes may be written over when it returns, unless it could not send them (see ReadBuffer). */
  sendBody(bytes: Buffer): boolean;
  /** Trailer lines, each with its CRLF. */
  sendEnd(trailers: string): void;
  /** What is sent between the two goes out together. */
  cork(): void;
  uncork(): void;
  pause(): void;
  resume(): void;
  /** Gives the request up, without a word to the sink. */
  abort(): void;
}
