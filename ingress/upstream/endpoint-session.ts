import { type ClientOwner, ClientSide } from "../http2/client-side.ts";
import { ResponseHeads } from "../http2/response-head.ts";
import type { Http2Stream, StreamOwner } from "../http2/stream.ts";
import type { Connection, ConnectionEvents, ConnectionFactory, UpstreamAddress } from "./connection.ts";
import { type ChannelHost, Http2Channel } from "./http2-channel.ts";
import { TurnOutlet } from "./turn-outlet.ts";

/** Streams open at once on one connection, whatever the endpoint would allow. */
export const maxStreams = 100;
/** A connection without a stream is closed after so many milliseconds, as idle connections of HTTP/1 are. */
const idleMs = 60_000;
/** An endpoint that was told of the end has so long to close its side. Milliseconds. */
const lingerMs = 5_000;
/** Who says nothing for so long, and has let a request wait for its answer until it was given up, may not be there any more. Milliseconds. */
const silentMs = 10_000;

/** Of the head of an answer, as of one of HTTP/1.1; beside its headers it has a status. */
const headLimits = { bytes: 64 * 1024, lines: 257 };

const h2: readonly string[] = ["h2"];

/** Told of what becomes of a session. */
export interface SessionKeeper {
  /** It is connected, or the endpoint has said how many streams it takes. */
  onRoom(session: EndpointSession): void;
  /** It takes no more streams; those that are open finish. */
  onLeaving(session: EndpointSession, detail: string): void;
  /** Its connection is closed. */
  onGone(session: EndpointSession): void;
}

/** One connection of HTTP/2 to an endpoint. */
export class EndpointSession implements ConnectionEvents, ClientOwner, ChannelHost {
  readonly heads = new ResponseHeads();
  readonly scheme: "http" | "https";
  readonly #keeper: SessionKeeper;
  readonly #connection: Connection;
  readonly #outlet: TurnOutlet;
  readonly #side: ClientSide;
  #connected = false;
  #leaving = false;
  #gone = false;
  /** Channels that were told something in this read. */
  #touched: Http2Channel[] = [];
  #isReading = false;
  #heard = false;
  #unanswered = false;
  // times are of sweeps
  #sweptAt: number;
  #heardAt: number;
  #idleSince: number;
  #cutAt = Number.POSITIVE_INFINITY;

  constructor(factory: ConnectionFactory, address: UpstreamAddress, o: { readonly keeper: SessionKeeper; readonly now: number }) {
    this.scheme = address.tls ? "https" : "http";
    this.#keeper = o.keeper;
    this.#sweptAt = o.now;
    this.#heardAt = o.now;
    this.#idleSince = o.now;
    const to = address.tls ? { ...address, protocols: h2 } : address;
    this.#connection = factory.connect(to, this, () => this.#onConnected());
    this.#outlet = new TurnOutlet(this.#connection);
    this.#side = new ClientSide({ outlet: this.#outlet, owner: this, limits: headLimits });
  }

  /** Streams that can be begun now. */
  get room(): number {
    if (!this.#connected || this.#leaving) return 0;
    return Math.min(this.#side.room, maxStreams - this.#side.session.streamCount);
  }

  /** The endpoint has not said yet how many streams it takes. */
  get isNew(): boolean {
    return !this.#leaving && !this.#side.session.settled;
  }

  /** Streams that the endpoint takes at once, as far as it has said. */
  get takes(): number {
    return this.#side.session.settled ? Math.min(maxStreams, this.#side.session.peer.maxStreams) : maxStreams;
  }

  get leaving(): boolean {
    return this.#leaving || this.#side.leaving;
  }

  get streamCount(): number {
    return this.#side.session.streamCount;
  }

  #onConnected(): void {
    this.#connected = true;
    this.#side.session.start();
    this.#keeper.onRoom(this);
  }

  /** What is idle for too long, or silent while something is waited for, gets no more streams. */
  sweep(now: number): void {
    this.#side.session.passed(now - this.#sweptAt);
    this.#sweptAt = now;
    if (this.#heard || this.streamCount === 0) this.#heardAt = now;
    if (this.streamCount > 0) this.#idleSince = now;
    this.#heard = false;
    if (now - this.#idleSince > idleMs || (this.#unanswered && now - this.#heardAt > silentMs)) this.finish();
    if (now >= this.#cutAt) this.destroy();
    else if (this.#leaving && this.streamCount === 0 && this.#cutAt === Number.POSITIVE_INFINITY) this.#end();
  }

  /** No new streams; those that are open end in peace. */
  finish(): void {
    if (this.#leaving) return;
    if (this.#connected) this.#side.leave();
    this.#leave("the connection is given up");
  }

  destroy(): void {
    this.#lose("the connection is given up");
    this.#connection.abort();
  }

  #leave(detail: string): void {
    if (this.#leaving) return;
    this.#leaving = true;
    this.#keeper.onLeaving(this, detail);
    if (this.streamCount === 0) this.#end();
  }

  /** Says what is to be said, and no more. */
  #end(): void {
    if (this.#cutAt !== Number.POSITIVE_INFINITY || this.#gone) return;
    this.#cutAt = this.#sweptAt + lingerMs;
    this.#outlet.end();
  }

  // channels

  channel(): Http2Channel {
    return new Http2Channel(this);
  }

  begin(fields: readonly string[], o: { readonly owner: StreamOwner; readonly last: boolean }): Http2Stream | undefined {
    return this.room > 0 ? this.#side.begin(fields, o) : undefined;
  }

  touched(channel: Http2Channel): void {
    if (this.#isReading && this.#touched.at(-1) !== channel) this.#touched.push(channel);
  }

  onUnanswered(): void {
    this.#unanswered = true;
  }

  // the connection

  onData(bytes: Buffer): void {
    this.#heard = true;
    this.#unanswered = false;
    this.#isReading = true;
    this.#side.session.receive(bytes);
    this.#isReading = false;
    const touched = this.#touched;
    if (touched.length === 0) return;
    this.#touched = [];
    for (const channel of touched) channel.batchEnd();
  }

  onDrain(): void {
    this.#outlet.drained();
    this.#side.session.drained();
  }

  onEnd(): void {
    this.#lose("the endpoint closed the connection");
    this.#end();
  }

  onClose(error: Error | undefined): void {
    if (this.#gone) return;
    this.#lose(error?.message ?? "the endpoint closed the connection");
    this.#gone = true;
    this.#keeper.onGone(this);
  }

  #lose(detail: string): void {
    this.#leaving = true;
    this.#side.session.closed();
    this.#keeper.onLeaving(this, detail);
  }

  // the session

  onRoom(): void {
    this.#keeper.onRoom(this);
  }

  onLeaving(): void {
    this.#leave("the endpoint takes no more requests");
  }

  onIdle(): void {
    if (this.#leaving) this.#end();
  }

  onFailed(): void {
    this.#lose("the endpoint broke the rules of HTTP/2");
    this.#end();
  }
}
