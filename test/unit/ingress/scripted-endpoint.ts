import type { Connection, ConnectionEvents, ConnectionFactory } from "../../../ingress/upstream/connection.ts";
import { Http2Upstreams } from "../../../ingress/upstream/http2-upstreams.ts";
import type { UpstreamChannel, UpstreamHead } from "../../../ingress/upstream/upstream-channel.ts";
import type { PendingConnect } from "../../../ingress/upstream/upstream-pool.ts";
import { type BodyFraming, noBody } from "../../../ingress/upstream/wire/body-framing.ts";
import { frame, type HeardFrame, http2Preface, literal, readFrames, frameType as T } from "./http2-frames.ts";

export const endStream = 1;
export const endHeaders = 4;

/** The error codes of RFC 9113 section 7 that are asked for. */
export const code = { none: 0, protocol: 1, flow: 3, closed: 5, size: 6, refused: 7, cancel: 8, compression: 9, calm: 11 } as const;

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value, 0);
  return bytes;
}

export function settings(...entries: readonly (readonly [id: number, value: number])[]): Buffer {
  return frame(T.settings, 0, 0, Buffer.concat(entries.map(([id, value]) => Buffer.concat([u32(id).subarray(2), u32(value)]))));
}

/** A head of an answer, or trailers: HEADERS with these fields as they are. */
export function head(stream: number, flags: number, ...fields: readonly (readonly [name: string, value: string])[]): Buffer {
  return frame(T.headers, flags, stream, Buffer.concat(fields.map(([name, value]) => literal(name, value))));
}

export function data(stream: number, flags: number, text: string): Buffer {
  return frame(T.data, flags, stream, Buffer.from(text, "latin1"));
}

export function reset(stream: number, why: number): Buffer {
  return frame(T.reset, 0, stream, u32(why));
}

export function goaway(last: number, why: number = code.none): Buffer {
  return frame(T.goaway, 0, 0, Buffer.concat([u32(last), u32(why)]));
}

/** A connection to an endpoint that is a script: what was said to it, and what it says. */
export class ScriptedConnection implements Connection {
  events: ConnectionEvents;
  readonly remoteIp = "127.0.0.1";
  readonly remotePort = 80;
  readonly localPort = 1;
  readonly unsent = false;
  queuedBytes = 0;
  /** Was ended here. */
  ended = false;
  aborted = false;
  #said: Buffer = Buffer.alloc(0);
  readonly #onReady: () => void;

  constructor(events: ConnectionEvents, onReady: () => void) {
    this.events = events;
    this.#onReady = onReady;
  }

  /** It is there. */
  ready(): this {
    this.#onReady();
    return this;
  }

  write(bytes: Buffer | string): boolean {
    this.#said = Buffer.concat([this.#said, typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes]);
    return true;
  }

  /** The frames that were said, once the turn has ended, behind the preface. */
  async said(): Promise<readonly HeardFrame[]> {
    await new Promise((resolve) => setImmediate(resolve));
    if (!this.#said.subarray(0, http2Preface.length).equals(http2Preface)) throw new Error("no preface");
    return readFrames(this.#said.subarray(http2Preface.length)).frames;
  }

  /** The endpoint says this, all in one read or in pieces of so many bytes, from memory that is used again. */
  hear(bytes: Buffer, sizes: readonly number[] = [bytes.length]): this {
    const memory = Buffer.alloc(Math.max(1, ...sizes));
    for (let at = 0, i = 0; at < bytes.length; i++) {
      const size = bytes.copy(memory, 0, at, at + (sizes[i % sizes.length] ?? 1));
      this.events.onData(memory.subarray(0, size));
      memory.fill(0xaa);
      at += size;
    }
    return this;
  }

  cork(): void {}
  uncork(): void {}
  pause(): void {}
  resume(): void {}

  end(): void {
    this.ended = true;
  }

  finish(): void {
    this.end();
  }

  abort(): void {
    if (this.aborted) return;
    this.aborted = true;
    this.events.onClose(undefined);
  }

  reset(): void {
    this.abort();
  }
}

const address = { ip: "127.0.0.1", port: 80, tls: false };

/** One endpoint behind the product's HTTP/2, without a socket or a clock. */
export class ScriptedEndpoint {
  readonly connections: ScriptedConnection[] = [];
  readonly upstreams: Http2Upstreams;
  #now = 0;

  constructor() {
    const factory: ConnectionFactory = {
      connect: (_to, events, onReady) => {
        const connection = new ScriptedConnection(events, onReady);
        this.connections.push(connection);
        return connection;
      },
      listen: () => {
        throw new Error("nobody listens here");
      },
      adopt: () => {
        throw new Error("there is no socket here");
      },
    };
    this.upstreams = new Http2Upstreams(factory);
  }

  connection(nth = 0): ScriptedConnection {
    const connection = this.connections[nth];
    if (connection === undefined) throw new Error(`there is no connection ${nth}`);
    return connection;
  }

  /** Begins a request as soon as there is room for it. */
  ask(method = "GET", framing: BodyFraming = noBody): AskedEndpoint {
    return new AskedEndpoint(this.upstreams, { method, framing, now: this.#now });
  }

  passed(milliseconds: number, o: { readonly wanted?: boolean } = {}): void {
    this.#now += milliseconds;
    this.upstreams.sweep(this.#now, () => o.wanted ?? true);
  }
}

/** One request, and all that became of it. */
export class AskedEndpoint {
  /** In order; the parts of one body as one. */
  readonly told: string[] = [];
  channel: UpstreamChannel | undefined;
  /** Told to wait after each part of the body. */
  reader: (() => void) | undefined;
  drains = 0;
  readonly pending: PendingConnect;

  constructor(upstreams: Http2Upstreams, o: { readonly method: string; readonly framing: BodyFraming; readonly now: number }) {
    const asked: UpstreamHead = {
      method: o.method,
      switching: false,
      framing: o.framing,
      text: () => "",
      fields: () => [":method", o.method, ":path", "/", ":authority", "a.test"],
    };
    this.pending = upstreams.open(address, o.now, {
      onReady: (channel) => {
        this.channel = channel;
        channel.begin(asked, {
          onInformational: (r) => this.told.push(`hint ${r.status}`),
          onHead: (r) => this.told.push(`head ${r.status}`),
          onBody: (bytes) => {
            const before = this.told.at(-1);
            if (before?.startsWith("body ") === true) this.told[this.told.length - 1] = before + bytes.toString("latin1");
            else this.told.push(`body ${bytes.toString("latin1")}`);
            this.reader?.();
          },
          onTrailers: (text) => this.told.push(`trailers ${text}`),
          onBatchEnd: () => {},
          onComplete: () => this.told.push("complete"),
          onSwitched: () => this.told.push("switched"),
          onFailure: (failure) => this.told.push(`failed: ${failure}`),
          onDrain: () => this.drains++,
        });
      },
      onError: () => this.told.push("failed: connect"),
    });
  }
}
