import { constants, performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Peer } from "../upstream/connection.ts";
import { plainIp } from "../upstream/net-connection.ts";
import type { ClientAnswer } from "./client-certificate.ts";
import type { ClientConnection } from "./client-connection.ts";
import type { ProxyContext } from "./context.ts";
import { type Http2Facts, Http2Request } from "./http2-request.ts";

/** No stream has a higher number: all that the client has begun are taken. */
const lastStreamId = 2 ** 31 - 1;
/** A client has heard the first GOAWAY by then, and what it sent before has come. Milliseconds. */
const goawayMs = 1_000;
/** Streams a client may have open at once. */
const maxStreams = 128;

/** A client whose headers are more than may be does not go on so for long: what is refused still has to be unpacked. */
const mostUntold = 500;

interface BegunStream {
  readonly stream: ServerHttp2Stream;
  readonly headers: Readonly<Record<string, unknown>>;
}

/** One client connection that speaks HTTP/2: each stream is an Exchange of its own; upstreams get HTTP/1.1. */
export class Http2Client implements ClientConnection {
  readonly #context: ProxyContext;
  readonly #session: ServerHttp2Session;
  readonly #socket: Socket;
  readonly #requests = new Set<Http2Request>();
  /** Streams that the client has begun in this turn of the event loop, and may have reset in it. */
  #begun: BegunStream[] = [];
  #told = 0;
  #idleSince: number;
  /** When the client was told to take its next requests elsewhere. */
  #drainingSince = Number.POSITIVE_INFINITY;
  #closing = false;

  constructor(
    context: ProxyContext,
    socket: Socket,
    o: {
      /** What the client showed in the handshake, where it was asked to. */
      readonly client?: ClientAnswer | undefined;
      /** For whom a proxy before us says it speaks. */
      readonly peer?: Peer | undefined;
      readonly onFault: (error: unknown) => void;
      readonly onClosed: (c: Http2Client) => void;
    },
  ) {
    this.#context = context;
    this.#socket = socket;
    this.#idleSince = context.clock.monotonic();
    const facts: Http2Facts = {
      remoteIp: o.peer?.ip ?? plainIp(socket.remoteAddress ?? ""),
      localPort: socket.localPort ?? 0,
      tls: socket instanceof TLSSocket,
      ...o.client,
    };
    context.metrics.connections++;
    context.metrics.accepted++;
    const { wire } = context;
    // node:http2 itself bounds reset floods (streamResetBurst), invalid frames, acknowledgements owed and memory
    const session = performServerHandshake(socket, {
      settings: { maxConcurrentStreams: maxStreams, maxHeaderListSize: wire.headBytes, enablePush: false, enableConnectProtocol: true },
      maxHeaderListPairs: wire.headers + 4,
      maxSessionMemory: 4,
      maxSettings: 32,
      maxOutstandingPings: 10,
    });
    this.#session = session;
    const beginAll = (): void => {
      for (const { stream, headers } of this.#begun.splice(0)) {
        if (stream.destroyed) continue;
        try {
          this.#begin(stream, headers, facts);
        } catch (error) {
          o.onFault(error);
          stream.close(constants.NGHTTP2_INTERNAL_ERROR);
        }
      }
    };
    // what is reset as soon as it has begun costs no plan, and no endpoint a connection
    session.on("stream", (stream, headers) => {
      stream.on("error", () => undefined);
      this.#told++;
      if (this.#begun.push({ stream, headers }) === 1) setImmediate(beginAll);
    });
    // what goes wrong ends the session; its streams tell their exchanges
    session.on("error", () => undefined);
    session.on("sessionError", () => undefined);
    let open = true;
    session.on("close", () => {
      if (!open) return;
      open = false;
      for (const r of this.#requests) r.clientGone();
      context.metrics.connections--;
      o.onClosed(this);
    });
  }

  get busy(): boolean {
    return this.#requests.size > 0 || this.#begun.length > 0;
  }

  sweep(now: number): void {
    for (const r of this.#requests) r.sweep(now);
    if (this.#untold() > mostUntold) this.abortConnection();
    if (!this.busy && now - this.#idleSince > this.#context.timeouts.idle) this.drain();
    if (now - this.#drainingSince > goawayMs) this.#close();
  }

  /** Streams whose headers were more than may be: node:http2 resets them without a word, and reads on. */
  #untold(): number {
    const { lastProcStreamID } = this.#session.state;
    return lastProcStreamID === undefined ? 0 : (lastProcStreamID + 1) / 2 - this.#told;
  }

  endpointsGone(gone: ReadonlySet<string>): void {
    for (const r of this.#requests) r.endpointsGone(gone);
  }

  /**
   * GOAWAY twice (RFC 9113 section 6.8): the first asks for no more streams and still takes those that are on their way; the
   * second, a while later, closes the door. Streams that are open finish.
   */
  drain(): void {
    if (this.#drainingSince !== Number.POSITIVE_INFINITY || this.#session.destroyed) return;
    this.#drainingSince = this.#context.clock.monotonic();
    this.#session.goaway(constants.NGHTTP2_NO_ERROR, lastStreamId);
  }

  endIfIdle(): void {
    if (!this.busy) this.#close();
  }

  abortConnection(): void {
    this.#session.destroy();
    this.#socket.destroy();
  }

  #close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#session.close();
  }

  #begin(stream: ServerHttp2Stream, headers: Readonly<Record<string, unknown>>, facts: Http2Facts): void {
    const request = Http2Request.begin(this.#context, stream, headers, facts);
    if (request === undefined) {
      stream.close(constants.NGHTTP2_PROTOCOL_ERROR);
      return;
    }
    this.#requests.add(request);
    stream.on("close", () => {
      this.#requests.delete(request);
      request.clientGone();
      this.#idleSince = this.#context.clock.monotonic();
    });
    request.start();
  }
}
