import type { FieldLine } from "../http2/field-line.ts";
import { errorCode } from "../http2/frames.ts";
import { RequestHeads } from "../http2/request-head.ts";
import { type ServerOwner, ServerSide } from "../http2/server-side.ts";
import type { Http2Session } from "../http2/session.ts";
import type { Http2Stream } from "../http2/stream.ts";
import type { Connection, ConnectionEvents } from "../upstream/connection.ts";
import { TurnOutlet } from "../upstream/turn-outlet.ts";
import type { ClientAnswer } from "./client-certificate.ts";
import type { ClientConnection } from "./client-connection.ts";
import type { ProxyContext } from "./context.ts";
import { Farewell } from "./farewell.ts";
import { type Holder, leastHeld } from "./held-bytes.ts";
import { type Http2Facts, Http2Request } from "./http2-request.ts";

/** A client has heard the first GOAWAY by then, and what it sent before has come. Milliseconds. */
const goawayMs = 1_000;
/** Streams a client may have open at once. */
const maxStreams = 128;
/** Bytes that are still read, for nothing, of a client that was told why its connection ends. */
const mostDiscarded = 1024 * 1024;

/** One client connection that speaks HTTP/2: each stream is an Exchange of its own. */
export class Http2Client implements ClientConnection, ConnectionEvents, ServerOwner, Holder {
  readonly #context: ProxyContext;
  readonly #connection: Connection;
  readonly #outlet: TurnOutlet;
  readonly #side: ServerSide;
  readonly #session: Http2Session;
  readonly #facts: Http2Facts;
  readonly #heads = new RequestHeads();
  readonly #requests = new Set<Http2Request>();
  readonly #onFault: (error: unknown) => void;
  readonly #onClosed: (c: Http2Client) => void;
  #idleSince: number;
  #sweptAt: number;
  /** Since when the rest of a frame, or of a head, is waited for. */
  #amidSince = Number.POSITIVE_INFINITY;
  /** When the client was told to take its next requests elsewhere. */
  #drainingSince = Number.POSITIVE_INFINITY;
  #closing = false;
  /** The connection was ended, and is cut then. */
  #farewell: Farewell | undefined;
  #discarded = 0;
  #gone = false;
  /** Counted among what this process holds. */
  #isHeld = false;

  constructor(
    context: ProxyContext,
    connection: Connection,
    o: {
      readonly tls: boolean;
      /** What the client showed in the handshake, where it was asked to. */
      readonly client?: ClientAnswer | undefined;
      readonly onFault: (error: unknown) => void;
      readonly onClosed: (c: Http2Client) => void;
    },
  ) {
    this.#context = context;
    this.#connection = connection;
    this.#onFault = o.onFault;
    this.#onClosed = o.onClosed;
    this.#idleSince = context.clock.monotonic();
    this.#sweptAt = this.#idleSince;
    this.#facts = { remoteIp: connection.remoteIp, localPort: connection.localPort, tls: o.tls, ...o.client };
    context.metrics.connections++;
    context.metrics.accepted++;
    const { headBytes, headers } = context.wire;
    this.#outlet = new TurnOutlet(connection);
    this.#side = new ServerSide({
      outlet: this.#outlet,
      owner: this,
      // beside its headers a head has four lines of its own
      limits: { bytes: headBytes, lines: headers + 4 },
      maxStreams,
    });
    this.#session = this.#side.session;
    connection.events = this;
    this.#session.start();
  }

  get busy(): boolean {
    return this.#session.streamCount > 0;
  }

  sweep(now: number): void {
    this.#session.passed(now - this.#sweptAt);
    this.#sweptAt = now;
    for (const r of this.#requests) r.sweep(now);
    this.#count();
    this.#awaitRest(now);
    if (!this.busy && now - this.#idleSince > this.#context.timeouts.idle) this.drain();
    if (now - this.#drainingSince > goawayMs) this.#close();
    if (this.#farewell?.isOver(now, this.#outlet.queuedBytes) === true) this.abortConnection();
  }

  /** Half a head, or a frame without its end, is not waited for forever. */
  #awaitRest(now: number): void {
    if (!this.#session.amid || this.busy) this.#amidSince = Number.POSITIVE_INFINITY;
    else if (this.#amidSince === Number.POSITIVE_INFINITY) this.#amidSince = now;
    else if (now - this.#amidSince > this.#context.timeouts.head) this.abortConnection();
  }

  endpointsGone(gone: ReadonlySet<string>): void {
    for (const r of this.#requests) r.endpointsGone(gone);
  }

  /**
   * GOAWAY twice (RFC 9113 section 6.8): the first asks for no more streams and still takes those that are on their way; the
   * second, a while later, closes the door. Streams that are open finish.
   */
  drain(): void {
    if (this.#drainingSince !== Number.POSITIVE_INFINITY || this.#gone) return;
    this.#drainingSince = this.#context.clock.monotonic();
    this.#side.announceEnd();
  }

  endIfIdle(): void {
    if (!this.busy) this.#close();
  }

  abortConnection(): void {
    this.#session.closed();
    this.#connection.abort();
  }

  get queuedBytes(): number {
    return this.#connection.queuedBytes;
  }

  letGo(): void {
    this.abortConnection();
  }

  /** Counts what is left of answers whose streams are over. */
  #count(): void {
    const bytes = this.busy || this.#gone ? 0 : this.#connection.queuedBytes;
    if (bytes < leastHeld && !this.#isHeld) return;
    this.#isHeld = bytes >= leastHeld;
    this.#context.held.set(this, this.#isHeld ? bytes : 0);
  }

  #close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#side.refuseMore();
    if (!this.busy) this.#end();
  }

  /** What was said goes out; a client that does not close then is cut off. */
  #end(): void {
    if (this.#farewell !== undefined) return;
    const { clock, timeouts } = this.#context;
    this.#farewell = new Farewell({ now: clock.monotonic(), left: this.#outlet.queuedBytes, timeouts });
    this.#outlet.end();
  }

  // the connection

  onData(bytes: Buffer): void {
    if (this.#farewell === undefined) this.#session.receive(bytes);
    else {
      this.#discarded += bytes.length;
      if (this.#discarded > mostDiscarded) this.abortConnection();
    }
  }

  onDrain(): void {
    this.#outlet.drained();
    this.#session.drained();
  }

  onEnd(): void {
    this.#close();
  }

  onClose(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#session.closed();
    if (this.#isHeld) this.#count();
    this.#context.metrics.connections--;
    this.#onClosed(this);
  }

  // the session

  onStream(stream: Http2Stream, lines: readonly FieldLine[]): void {
    const head = this.#heads.read(lines);
    const request =
      head === undefined
        ? undefined
        : Http2Request.begin(this.#context, head, {
            stream,
            session: this.#session,
            facts: this.#facts,
            connection: this.#connection,
            onClosed: this.#onRequestClosed,
          });
    if (request === undefined) {
      this.#session.blame(stream, errorCode.protocol);
      return;
    }
    this.#requests.add(request);
    try {
      request.start();
    } catch (error) {
      this.#onFault(error);
      stream.reset(errorCode.internal);
    }
  }

  readonly #onRequestClosed = (request: Http2Request): void => void this.#requests.delete(request);

  onOversized(stream: Http2Stream): void {
    const { writer } = this.#session;
    writer.sendBlock(stream, writer.encoder.fields([":status", "431", "content-length", "0"]), { last: true });
    stream.endedWithHead();
    stream.end(undefined);
    stream.reset(errorCode.none);
  }

  onIdle(): void {
    this.#idleSince = this.#context.clock.monotonic();
    if (this.#closing) this.#end();
  }

  onFailed(): void {
    this.#end();
  }
}
