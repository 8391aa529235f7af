import type { Clock } from "../../src/base/clock.ts";
import type { Connection, ConnectionEvents } from "../upstream/connection.ts";
import { type HeldBytes, type Holder, waitingBytes } from "./held-bytes.ts";

export interface TunnelOptions {
  /** Milliseconds without a byte either way, after which it is closed. */
  readonly idleMs: number;
  readonly clock: Clock;
  readonly held: HeldBytes;
  readonly onClosed: () => void;
}

/** With one side gone, the other may finish what it is told, not more. */
const goneMs = 5_000;

/** Bytes both ways after a switch of protocols; each direction ends by itself. */
export class Tunnel implements Holder {
  readonly #client: Connection;
  readonly #upstream: Connection;
  readonly #options: TunnelOptions;
  #openSides = 2;
  /** Sides that have not taken what they were told. */
  readonly #slow = new Set<Connection>();
  #movedAt: number;

  constructor(client: Connection, upstream: Connection, options: TunnelOptions) {
    this.#client = client;
    this.#upstream = upstream;
    this.#options = options;
    this.#movedAt = options.clock.monotonic();
    client.events = this.#events(client, upstream);
    upstream.events = this.#events(upstream, client);
  }

  /** What either side had said before the switch was known. */
  start(early: {
    readonly fromClient: Buffer | undefined;
    readonly fromUpstream: Buffer | undefined;
    readonly clientEnded: boolean;
  }): void {
    if (early.fromClient !== undefined) this.#upstream.write(early.fromClient);
    if (early.fromUpstream !== undefined) this.#client.write(early.fromUpstream);
    if (early.clientEnded) this.#upstream.end();
    this.#upstream.resume();
    this.#client.resume();
  }

  sweep(now: number): void {
    if (now - this.#movedAt < (this.#openSides === 2 ? this.#options.idleMs : goneMs)) return;
    this.abort();
  }

  letGo(): void {
    this.abort();
  }

  abort(): void {
    this.#client.abort();
    this.#upstream.abort();
  }

  #events(from: Connection, to: Connection): ConnectionEvents {
    return {
      onData: (bytes) => {
        this.#movedAt = this.#options.clock.monotonic();
        if (to.write(bytes)) return;
        from.pause();
        this.#slow.add(to);
        this.#hold();
      },
      onDrain: () => {
        to.resume();
        this.#slow.delete(from);
        this.#hold();
      },
      onEnd: () => to.end(),
      onClose: (error) => {
        if (error !== undefined) to.abort();
        else to.end();
        if (--this.#openSides > 0) return;
        this.#options.held.set(this, 0);
        this.#options.onClosed();
      },
    };
  }

  #hold(): void {
    const bytes = this.#slow.size === 0 ? 0 : waitingBytes + this.#client.queuedBytes + this.#upstream.queuedBytes;
    if (this.#openSides > 0) this.#options.held.set(this, bytes);
  }
}
