import { constants, performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { ClientConnection } from "./client-connection.ts";
import type { ProxyContext } from "./context.ts";
import { type Http2Facts, Http2Request } from "./http2-request.ts";

/** Streams a client may have open at once. */
const maxStreams = 128;

/** One client connection that speaks HTTP/2: each stream is an Exchange of its own; upstreams get HTTP/1.1. */
export class Http2Client implements ClientConnection {
  readonly #context: ProxyContext;
  readonly #session: ServerHttp2Session;
  readonly #socket: Socket;
  readonly #requests = new Set<Http2Request>();
  #idleSince: number;
  #closing = false;

  constructor(
    context: ProxyContext,
    socket: Socket,
    o: { readonly onFault: (error: unknown) => void; readonly onClosed: (c: Http2Client) => void },
  ) {
    this.#context = context;
    this.#socket = socket;
    this.#idleSince = context.clock.monotonic();
    const facts: Http2Facts = {
      remoteIp: socket.remoteAddress?.replace(/^::ffff:(?=.*\.)/, "") ?? "",
      localPort: socket.localPort ?? 0,
      tls: socket instanceof TLSSocket,
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
    session.on("stream", (stream, headers) => {
      try {
        this.#begin(stream, headers, facts);
      } catch (error) {
        o.onFault(error);
        stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      }
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
    return this.#requests.size > 0;
  }

  sweep(now: number): void {
    for (const r of this.#requests) r.sweep(now);
    if (!this.busy && now - this.#idleSince > this.#context.timeouts.idle) this.drain();
  }

  endpointsGone(gone: ReadonlySet<string>): void {
    for (const r of this.#requests) r.endpointsGone(gone);
  }

  /** GOAWAY: streams that are open finish, no new ones. */
  drain(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#session.close();
  }

  endIfIdle(): void {
    if (!this.busy) this.drain();
  }

  abortConnection(): void {
    this.#session.destroy();
    this.#socket.destroy();
  }

  #begin(stream: ServerHttp2Stream, headers: Readonly<Record<string, unknown>>, facts: Http2Facts): void {
    stream.on("error", () => undefined);
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
