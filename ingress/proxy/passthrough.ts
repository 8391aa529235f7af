import type { Pool } from "../route/route.ts";
import type { Connection, ConnectionFactory } from "../upstream/connection.ts";
import { endpointKey, type Picked } from "../upstream/endpoint-picker.ts";
import type { ClientConnection } from "./client-connection.ts";
import type { ProxyContext } from "./context.ts";
import { Tunnel } from "./tunnel.ts";

/** As nginx's stream module: a connection on which nothing moves for so long is closed, where the cluster says nothing else. */
const idleSeconds = 600;
const connectMs = 5_000;
const maxTries = 3;

export interface PassthroughOptions {
  readonly pool: Pool;
  readonly connections: ConnectionFactory;
  /** What the endpoint hears before the client's own words. */
  readonly preamble?: Buffer;
  readonly onClosed: (c: Passthrough) => void;
}

/** A connection that goes to an endpoint unopened: TLS by its server name, or whatever comes to a port of a Service. */
export class Passthrough implements ClientConnection {
  readonly #context: ProxyContext;
  readonly #client: Connection;
  readonly #pool: Pool;
  readonly #connections: ConnectionFactory;
  readonly #onClosed: (c: Passthrough) => void;
  readonly #preamble: Buffer | undefined;
  readonly #early: Buffer[] = [];
  #tried: ReadonlySet<string> = new Set();
  #picked: Picked | undefined;
  #upstream: Connection | undefined;
  #tunnel: Tunnel | undefined;
  #deadline = 0;
  #closed = false;

  constructor(context: ProxyContext, client: Connection, o: PassthroughOptions) {
    this.#context = context;
    this.#client = client;
    this.#pool = o.pool;
    this.#connections = o.connections;
    this.#preamble = o.preamble;
    this.#onClosed = o.onClosed;
    context.metrics.connections++;
    context.metrics.accepted++;
    client.events = {
      onData: (bytes) => void this.#early.push(Buffer.from(bytes)),
      onDrain: () => undefined,
      onEnd: () => undefined,
      onClose: () => this.#end(),
    };
    client.pause();
    this.#connect();
  }

  get busy(): boolean {
    return !this.#closed;
  }

  sweep(now: number): void {
    if (this.#tunnel !== undefined) this.#tunnel.sweep(now);
    else if (now >= this.#deadline) this.#upstream?.abort();
  }

  endpointsGone(gone: ReadonlySet<string>): void {
    if (this.#tunnel === undefined && this.#picked !== undefined && gone.has(endpointKey(this.#picked.endpoint))) this.#upstream?.abort();
  }

  drain(): void {
    // what is inside cannot be told to end
  }

  endIfIdle(): void {
    // it cannot be known to be idle
  }

  abortConnection(): void {
    if (this.#tunnel === undefined) this.#client.abort();
    else this.#tunnel.abort();
  }

  #connect(): void {
    const now = this.#context.clock.monotonic();
    const picked =
      this.#tried.size >= maxTries
        ? undefined
        : this.#context.picker.pick(this.#pool, { balance: "round_robin", tried: this.#tried, now, random: this.#context.random() });
    if (picked === undefined) {
      this.#client.reset();
      return;
    }
    this.#picked = picked;
    this.#tried = new Set(this.#tried).add(endpointKey(picked.endpoint));
    this.#deadline = now + connectMs;
    const failed = (): void => {
      if (this.#closed) return;
      this.#context.picker.failed(picked, this.#context.clock.monotonic());
      this.#connect();
    };
    const upstream: Connection = this.#connections.connect(
      picked.plain,
      { onData: () => undefined, onDrain: () => undefined, onEnd: () => undefined, onClose: failed },
      () => this.#connected(upstream),
    );
    this.#upstream = upstream;
  }

  #connected(upstream: Connection): void {
    if (this.#closed) {
      upstream.abort();
      return;
    }
    if (this.#preamble !== undefined) upstream.write(this.#preamble);
    const { table, clock, held } = this.#context;
    const idleMs = (table.settings.streamIdleSeconds ?? idleSeconds) * 1000;
    this.#tunnel = new Tunnel(this.#client, upstream, { idleMs, clock, held, onClosed: () => this.#end() });
    this.#tunnel.start({ fromClient: Buffer.concat(this.#early.splice(0)), fromUpstream: undefined, clientEnded: false });
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#tunnel === undefined) this.#upstream?.abort();
    this.#context.metrics.connections--;
    this.#onClosed(this);
  }
}
