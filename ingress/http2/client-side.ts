import type { BlockHead } from "./field-blocks.ts";
import { FloodGuard } from "./flood-guard.ts";
import type { ByteOutlet } from "./frame-writer.ts";
import { clientPreface, errorCode, largestWindow, printGoaway, printSettings, settingId } from "./frames.ts";
import type { DecodedFields, FieldLimits } from "./hpack-decoder.ts";
import { Http2Session } from "./session.ts";
import type { SessionSide } from "./session-side.ts";
import type { Http2Stream, StreamOwner } from "./stream.ts";

/** Whose connection it is. */
export interface ClientOwner {
  /** The server has said how many streams it takes. */
  onRoom(): void;
  /** The server takes no more streams. */
  onLeaving(): void;
  /** No stream is open any more. */
  onIdle(): void;
  /** The connection has to be closed: what was wrong is said already. */
  onFailed(code: number): void;
}

export interface ClientOptions {
  readonly outlet: ByteOutlet;
  readonly owner: ClientOwner;
  readonly limits: FieldLimits;
}

/** The client's side of a session. What a server has answered whole is told, though it gives the stream up after it. */
export class ClientSide implements SessionSide {
  readonly session: Http2Session;
  readonly greeting: string;
  readonly amid = false;
  /** A server begins none: pushes are not taken. */
  readonly lastHeard = 0;
  readonly peerTakesPush = false;
  readonly holdsBack = false;
  readonly #owner: ClientOwner;
  #leaving = false;

  constructor(o: ClientOptions) {
    this.#owner = o.owner;
    this.greeting =
      clientPreface +
      printSettings([
        [settingId.enablePush, 0],
        [settingId.maxHeaderListSize, o.limits.bytes],
      ]);
    this.session = new Http2Session({
      outlet: o.outlet,
      side: this,
      limits: o.limits,
      guard: new FloodGuard(Number.POSITIVE_INFINITY),
    });
  }

  /** No stream can be begun any more. */
  get leaving(): boolean {
    return this.#leaving || this.session.failed || this.session.lastStream >= largestWindow - 1;
  }

  /** Streams that can be begun now. Until the server has said how many it takes, one at a time. */
  get room(): number {
    if (this.leaving) return 0;
    const { settled, peer, streamCount } = this.session;
    return Math.max(0, (settled ? peer.maxStreams : 1) - streamCount);
  }

  /** Begins a stream with these fields, flat; there must be room for it. `last`: the request ends with them. */
  begin(fields: readonly string[], o: { readonly owner: StreamOwner; readonly last: boolean }): Http2Stream {
    const { session } = this;
    const id = session.lastStream === 0 ? 1 : session.lastStream + 2;
    session.comeTo(id);
    const stream = session.open(id);
    stream.owner = o.owner;
    session.writer.sendBlock(stream, session.writer.encoder.fields(fields), { last: o.last });
    if (o.last) {
      stream.endedWithHead();
      stream.end(undefined);
    }
    return stream;
  }

  /** Begins no more; streams that are open finish. */
  leave(): void {
    if (this.leaving) return;
    this.#leaving = true;
    this.session.writer.write(printGoaway(this.lastHeard, errorCode.none));
  }

  framesAt(): number {
    return 0;
  }

  onRead(): void {
    // each stream is told at once
  }

  /** Nobody asked for it. */
  onNewFields(): void {
    this.session.fail(errorCode.protocol);
  }

  onFields(stream: Http2Stream, head: BlockHead, fields: DecodedFields): void {
    const { session } = this;
    if (stream.headed || stream.remoteEnded) session.receiveTrailers(stream, head.last, fields);
    else if (!fields.sound || fields.tooLarge) session.blame(stream, errorCode.protocol);
    else {
      stream.receiveFields(fields.lines, head.last);
      if (head.last && !stream.closed && !stream.receiveEnd()) session.blame(stream, errorCode.protocol);
    }
  }

  onBody(): void {
    // see onRead
  }

  onLost(stream: Http2Stream, code: number): void {
    stream.lose(code);
  }

  onSettings(): void {
    this.#owner.onRoom();
  }

  /** Streams above the last it takes were not looked at (RFC 9113 section 6.8). */
  onGoaway(lastStream: number): void {
    const { session } = this;
    const first = !this.leaving;
    this.#leaving = true;
    for (const stream of [...session.streams.values()]) if (stream.id > lastStream) stream.close(errorCode.refusedStream);
    if (first) this.#owner.onLeaving();
  }

  onIdle(): void {
    this.#owner.onIdle();
  }

  onFailed(code: number): void {
    this.#owner.onFailed(code);
  }
}
