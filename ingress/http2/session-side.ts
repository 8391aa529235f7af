import type { BlockHead } from "./field-blocks.ts";
import type { DecodedFields } from "./hpack-decoder.ts";
import type { Http2Stream } from "./stream.ts";

/** What a server and a client do differently. */
export interface SessionSide {
  /** What is said first. */
  readonly greeting: string;
  /** Some of what the other side has to say before its frames is still to come. */
  readonly amid: boolean;
  /** The last stream that the other side has begun. */
  readonly lastHeard: number;
  /** The other side may say that it takes pushes: a client may. */
  readonly peerTakesPush: boolean;
  /** What a stream holds counts in the window of its connection: else one that waits would stop all others. */
  readonly holdsBack: boolean;
  /** Where frames begin in what came; -1: it is none of HTTP/2. */
  framesAt(bytes: Buffer): number;
  /** All of one read was heard. */
  onRead(): void;
  /** A field block of a stream that nobody has begun yet. */
  onNewFields(head: BlockHead, fields: DecodedFields): void;
  onFields(stream: Http2Stream, head: BlockHead, fields: DecodedFields): void;
  /** A DATA frame begins. */
  onBody(): void;
  /** The other side gave the stream up, or is gone. */
  onLost(stream: Http2Stream, code: number): void;
  /** The first settings of the other side, or others. */
  onSettings(): void;
  /** The other side takes no stream above this one. */
  onGoaway(lastStream: number): void;
  /** No stream is open any more. */
  onIdle(): void;
  /** The connection has to be closed: what was wrong is said already. */
  onFailed(code: number): void;
}
