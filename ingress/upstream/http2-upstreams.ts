import { type ClientHttp2Session, connect, constants } from "node:http2";
import { connect as netConnect } from "node:net";
import type { Duplex } from "node:stream";
import type { UpstreamAddress } from "./connection.ts";
import { Http2Channel } from "./http2-channel.ts";
import type { UpstreamChannel } from "./upstream-channel.ts";
import { addressKey, type PendingConnect } from "./upstream-pool.ts";
import { connectTls } from "./upstream-tls.ts";

/** Streams opened on one session before another is made, whatever the endpoint would allow. */
const maxStreams = 100;
/** A session without a stream is closed after so many milliseconds, as idle connections of HTTP/1 are. */
const idleMs = 60_000;

/** Sessions of HTTP/2 to endpoints: many requests on one connection, by prior knowledge or ALPN. */
export class Http2Upstreams {
  readonly #sessions = new Map<string, Session[]>();
  #closed = false;

  get sessionCount(): number {
    let count = 0;
    for (const list of this.#sessions.values()) count += list.length;
    return count;
  }

  /** A stream's place on a session. Either callback comes once, later or at once; neither after cancel. */
  open(
    address: UpstreamAddress,
    now: number,
    o: { readonly onReady: (c: UpstreamChannel) => void; readonly onError: (detail: string) => void },
  ): PendingConnect {
    const key = `h2 ${addressKey(address)}`;
    const list = this.#sessions.get(key) ?? [];
    let session = list.find((s) => s.hasRoom);
    if (session === undefined) {
      session = new Session(address, (s) => this.#forget(key, s));
      list.push(session);
      this.#sessions.set(key, list);
    }
    return session.wait(o, now);
  }

  /** Closes what has no stream and rested too long; endpoints that are no longer wanted get no new stream. */
  sweep(now: number, isWanted: (key: string) => boolean): void {
    for (const [key, list] of this.#sessions)
      for (const s of [...list]) if (!isWanted(key.slice(3)) || s.restedSince(now) > idleMs) s.finish();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const list of this.#sessions.values()) for (const s of [...list]) s.destroy();
  }

  #forget(key: string, session: Session): void {
    const list = this.#sessions.get(key)?.filter((s) => s !== session) ?? [];
    if (list.length === 0) this.#sessions.delete(key);
    else this.#sessions.set(key, list);
  }
}

interface Waiter {
  readonly onReady: (c: UpstreamChannel) => void;
  readonly onError: (detail: string) => void;
}

class Session {
  readonly #session: ClientHttp2Session;
  readonly #waiters = new Set<Waiter>();
  readonly #scheme: "http" | "https";
  #connected = false;
  #finished = false;
  #streams = 0;
  #usedAt = 0;

  constructor(address: UpstreamAddress, onGone: (s: Session) => void) {
    this.#scheme = address.tls ? "https" : "http";
    this.#session = connect("http://upstream", {
      createConnection: () => socketTo(address),
      settings: { enablePush: false, maxHeaderListSize: 64 * 1024 },
      maxHeaderListPairs: 260,
      maxSessionMemory: 16,
    });
    let fault: Error | undefined;
    this.#session.on("connect", () => {
      this.#connected = true;
      const waiting = [...this.#waiters];
      this.#waiters.clear();
      for (const w of waiting) w.onReady(this.#channel());
    });
    this.#session.on("error", (e: Error) => {
      fault = e;
    });
    this.#session.on("goaway", () => {
      this.#finished = true;
      onGone(this);
    });
    this.#session.on("close", () => {
      this.#finished = true;
      onGone(this);
      const waiting = [...this.#waiters];
      this.#waiters.clear();
      for (const w of waiting) w.onError(fault?.message ?? "the endpoint closed the connection");
    });
  }

  get hasRoom(): boolean {
    if (this.#finished || this.#session.closed || this.#session.destroyed) return false;
    const allowed = this.#connected ? (this.#session.remoteSettings.maxConcurrentStreams ?? maxStreams) : maxStreams;
    return this.#streams + this.#waiters.size < Math.min(maxStreams, allowed);
  }

  wait(waiter: Waiter, now: number): PendingConnect {
    this.#usedAt = now;
    if (this.#connected) {
      waiter.onReady(this.#channel());
      return { cancel: () => undefined };
    }
    this.#waiters.add(waiter);
    return { cancel: () => void this.#waiters.delete(waiter) };
  }

  restedSince(now: number): number {
    return this.#streams > 0 || this.#waiters.size > 0 ? 0 : now - this.#usedAt;
  }

  /** No new streams; those that are open end in peace. */
  finish(): void {
    if (this.#finished && !this.#session.destroyed) return;
    this.#finished = true;
    this.#session.close();
  }

  destroy(): void {
    this.#session.destroy(undefined, constants.NGHTTP2_CANCEL);
  }

  #channel(): UpstreamChannel {
    this.#streams++;
    return new Http2Channel(this.#session, this.#scheme, () => {
      this.#streams--;
    });
  }
}

function socketTo(address: UpstreamAddress): Duplex {
  return address.tls ? connectTls(address, ["h2"]) : netConnect({ host: address.ip, port: address.port, noDelay: true });
}
