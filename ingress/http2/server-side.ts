import type { BlockHead } from "./field-blocks.ts";
import type { FieldLine } from "./field-line.ts";
import { FloodGuard } from "./flood-guard.ts";
import type { ByteOutlet } from "./frame-writer.ts";
import { clientPreface, errorCode, largestWindow, printGoaway, printSettings, settingId } from "./frames.ts";
import type { DecodedFields, FieldLimits } from "./hpack-decoder.ts";
import { Http2Session } from "./session.ts";
import type { SessionSide } from "./session-side.ts";
import type { Http2Stream } from "./stream.ts";

/** Whose connection it is. */
export interface ServerOwner {
  /** The client has begun a stream; its owner has to be set in the call. */
  onStream(stream: Http2Stream, lines: readonly FieldLine[]): void;
  /** As onStream, with more fields than may be. */
  onOversized(stream: Http2Stream): void;
  /** No stream is open any more. */
  onIdle(): void;
  /** The connection has to be closed: what was wrong is said already. */
  onFailed(code: number): void;
}

export interface ServerOptions {
  readonly outlet: ByteOutlet;
  readonly owner: ServerOwner;
  readonly limits: FieldLimits;
  /** Streams that the client may have open at once. */
  readonly maxStreams: number;
}

/** The server's side of a session: streams that are begun and given up within one read are never told. */
export class ServerSide implements SessionSide {
  readonly session: Http2Session;
  readonly greeting: string;
  readonly peerTakesPush = true;
  readonly holdsBack = true;
  readonly #owner: ServerOwner;
  readonly #maxStreams: number;
  /** Letters of the client's preface that have come. */
  #prefaceRead = 0;
  /** Begun in this read, and not told yet. */
  #begun: { readonly stream: Http2Stream; readonly fields: DecodedFields }[] = [];
  /** Streams above are not taken any more. */
  #mostStream = largestWindow;

  constructor(o: ServerOptions) {
    this.#owner = o.owner;
    this.#maxStreams = o.maxStreams;
    this.greeting = printSettings([
      [settingId.maxConcurrentStreams, o.maxStreams],
      [settingId.maxHeaderListSize, o.limits.bytes],
      [settingId.connectProtocol, 1],
    ]);
    this.session = new Http2Session({ outlet: o.outlet, side: this, limits: o.limits, guard: new FloodGuard() });
  }

  get amid(): boolean {
    return this.#prefaceRead < clientPreface.length;
  }

  get lastHeard(): number {
    return this.session.lastStream;
  }

  /** Asks for no more streams; those on their way are still taken (RFC 9113 section 6.8). */
  announceEnd(): void {
    this.session.writer.write(printGoaway(largestWindow, errorCode.none));
  }

  /** Takes no more streams; those that are open finish. */
  refuseMore(): void {
    if (this.#mostStream !== largestWindow) return;
    this.#mostStream = this.lastHeard;
    this.session.writer.write(printGoaway(this.lastHeard, errorCode.none));
  }

  framesAt(bytes: Buffer): number {
    let at = 0;
    while (this.#prefaceRead < clientPreface.length && at < bytes.length)
      if (bytes[at++] !== clientPreface.charCodeAt(this.#prefaceRead++)) return -1;
    return at;
  }

  onNewFields(head: BlockHead, fields: DecodedFields): void {
    const { session } = this;
    session.comeTo(head.stream);
    if (head.stream > this.#mostStream || session.streamCount >= this.#maxStreams) {
      session.refuse(head.stream, errorCode.refusedStream);
      return;
    }
    if (!fields.sound || head.selfDependent) {
      session.refuse(head.stream, errorCode.protocol);
      return;
    }
    const stream = session.open(head.stream);
    stream.headed = true;
    if (head.last) stream.endsWithHead();
    this.#begun.push({ stream, fields });
  }

  onFields(stream: Http2Stream, head: BlockHead, fields: DecodedFields): void {
    this.#beginAll();
    this.session.receiveTrailers(stream, head.last, fields);
  }

  onBody(): void {
    this.#beginAll();
  }

  onRead(): void {
    this.#beginAll();
  }

  /** Tells of the streams that were begun and are not given up yet. */
  #beginAll(): void {
    if (this.#begun.length === 0) return;
    const begun = this.#begun;
    this.#begun = [];
    for (const { stream, fields } of begun) {
      if (stream.closed) continue;
      if (!fields.tooLarge) this.#owner.onStream(stream, fields.lines);
      else if (this.session.countReset()) this.#owner.onOversized(stream);
    }
  }

  /** Who gives his request up wants no answer. */
  onLost(stream: Http2Stream, code: number): void {
    stream.close(code);
  }

  onSettings(): void {
    // a server begins no streams
  }

  onGoaway(): void {
    // see onSettings
  }

  onIdle(): void {
    this.#owner.onIdle();
  }

  onFailed(code: number): void {
    this.#owner.onFailed(code);
  }
}
