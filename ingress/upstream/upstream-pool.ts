import type { Connection, ConnectionFactory, UpstreamAddress } from "./connection.ts";
import { type ConnectionKeeper, UpstreamConnection } from "./upstream-connection.ts";
import { termsKey } from "./upstream-tls.ts";

export interface PoolLimits {
  /** Idle connections kept, all endpoints together. */
  readonly idle: number;
  readonly idleMs: number;
}

/** As ingress-nginx: 320 connections, 60 seconds. */
export const defaultPoolLimits: PoolLimits = { idle: 320, idleMs: 60_000 };

/**
 * After an endpoint said what nobody asked for, connections to it serve one request each for so long: over one that it has
 * answered on, such bytes may come when the next request has left already, and nothing tells them from its answer.
 */
const distrustMs = 600_000;

export interface PendingConnect {
  cancel(): void;
}

/** Idle connections by endpoint, the freshest first, and the making of new ones. */
export class UpstreamPool implements ConnectionKeeper {
  readonly #factory: ConnectionFactory;
  #limits: PoolLimits;
  readonly #idle = new Map<string, UpstreamConnection[]>();
  #idleCount = 0;
  /** Endpoints that are not trusted, until when; the time is of the next sweep after they were found out. */
  readonly #distrusted = new Map<string, number>();
  #closed = false;

  constructor(factory: ConnectionFactory, limits: PoolLimits = defaultPoolLimits) {
    this.#factory = factory;
    this.#limits = limits;
  }

  /** Counts from the next connection that comes to rest on. */
  limit(limits: PoolLimits): void {
    this.#limits = limits;
  }

  get idleCount(): number {
    return this.#idleCount;
  }

  /** An idle connection that has rested less than `youngerThan` milliseconds. */
  take(address: UpstreamAddress, now: number, youngerThan: number): UpstreamConnection | undefined {
    const list = this.#idle.get(addressKey(address));
    const last = list?.at(-1);
    if (list === undefined || last === undefined || now - last.idleSince > Math.min(youngerThan, this.#restMs(last))) return undefined;
    list.pop();
    this.#idleCount--;
    return last;
  }

  /** A new connection. Either callback comes once, later; neither after cancel. */
  connect(address: UpstreamAddress, onReady: (c: UpstreamConnection) => void, onError: (detail: string) => void): PendingConnect {
    const key = addressKey(address);
    let settled = false;
    const fail = (error: Error | undefined): void => {
      if (settled) return;
      settled = true;
      onError(error?.message ?? "the endpoint closed the connection");
    };
    const connection: Connection = this.#factory.connect(
      address,
      { onData: () => connection.abort(), onDrain: () => {}, onEnd: () => fail(undefined), onClose: fail },
      () => {
        if (settled) return;
        settled = true;
        onReady(new UpstreamConnection(key, connection, this));
      },
    );
    return {
      cancel: () => {
        settled = true;
        connection.abort();
      },
    };
  }

  /** Takes back a connection whose response is complete; closes it when it cannot serve another. */
  release(c: UpstreamConnection, now: number): void {
    if (!c.reusable || this.#closed || this.#distrusted.has(c.key) || this.#idleCount >= this.#limits.idle || this.#restMs(c) <= 0) {
      c.abort();
      return;
    }
    c.idleSince = now;
    c.resume();
    const list = this.#idle.get(c.key);
    if (list === undefined) this.#idle.set(c.key, [c]);
    else list.push(c);
    this.#idleCount++;
  }

  /** Closes what has rested too long, and what leads to endpoints that are no longer wanted. */
  sweep(now: number, isWanted: (key: string) => boolean): void {
    for (const [key, until] of this.#distrusted) {
      if (until === Number.POSITIVE_INFINITY) this.#distrusted.set(key, now + distrustMs);
      else if (now >= until || !isWanted(key)) this.#distrusted.delete(key);
    }
    for (const [key, list] of this.#idle) {
      const wanted = isWanted(key);
      const kept = list.filter((c) => wanted && now - c.idleSince <= this.#restMs(c));
      if (kept.length === list.length) continue;
      for (const c of list) if (!kept.includes(c)) c.abort();
      this.#idleCount -= list.length - kept.length;
      if (kept.length === 0) this.#idle.delete(key);
      else this.#idle.set(key, kept);
    }
  }

  close(): void {
    this.#closed = true;
    for (const list of this.#idle.values()) for (const c of list) c.abort();
    this.#idle.clear();
    this.#idleCount = 0;
  }

  /** A second less than the server's own patience, so that a request does not meet its farewell. */
  #restMs(c: UpstreamConnection): number {
    return c.idleSeconds === undefined ? this.#limits.idleMs : Math.min(this.#limits.idleMs, (c.idleSeconds - 1) * 1000);
  }

  onUnasked(c: UpstreamConnection): void {
    this.#distrusted.set(c.key, Number.POSITIVE_INFINITY);
    for (const idle of this.#idle.get(c.key) ?? []) {
      idle.abort();
      this.#idleCount--;
    }
    this.#idle.delete(c.key);
  }

  onIdleEnd(c: UpstreamConnection): void {
    const list = this.#idle.get(c.key);
    const at = list?.indexOf(c) ?? -1;
    if (list === undefined || at < 0) return;
    list.splice(at, 1);
    this.#idleCount--;
    if (list.length === 0) this.#idle.delete(c.key);
  }
}

/** Addresses without TLS are values that callers keep: each is spelt out once. */
const keys = new WeakMap<UpstreamAddress, string>();

/** One pool of connections an address and a kind of connection. */
export function addressKey(a: UpstreamAddress): string {
  if (a.tls) return printKey(a);
  let key = keys.get(a);
  if (key === undefined) {
    key = printKey(a);
    keys.set(a, key);
  }
  return key;
}

function printKey(a: UpstreamAddress): string {
  if (!a.tls) return `tcp ${a.ip} ${a.port}`;
  const terms = a.tlsOptions === undefined ? "" : ` ${a.expectedName ?? ""} ${termsKey(a.tlsOptions)}`;
  return `tls ${a.ip} ${a.port} ${a.serverName ?? ""}${terms}`;
}
