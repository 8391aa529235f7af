import type { Socket } from "node:net";
import { createServer as createTlsServer, type Server as TlsServer } from "node:tls";
import { type Clock, systemClock } from "../../src/base/clock.ts";
import type { Running } from "../../src/base/running.ts";
import { normalizeHost } from "../route/request-head.ts";
import type { Pool, RouteDelta } from "../route/route.ts";
import { emptyRouteTable } from "../route/route-table.ts";
import type { Connection, ConnectionFactory, ListenAt, Listening } from "../upstream/connection.ts";
import { EndpointPicker } from "../upstream/endpoint-picker.ts";
import { EndpointUses } from "../upstream/endpoint-uses.ts";
import { Http2Upstreams } from "../upstream/http2-upstreams.ts";
import { listenForSockets, netConnections } from "../upstream/net-connection.ts";
import { chooseTransport, type TransportChoice } from "../upstream/transport.ts";
import { UpstreamPool } from "../upstream/upstream-pool.ts";
import { defaultHeadLimits } from "../upstream/wire/request-parser.ts";
import type { ClientConnection } from "./client-connection.ts";
import { peekClientHello } from "./client-hello.ts";
import type { AccessEntry, ProxyContext, ProxyTimeouts } from "./context.ts";
import { selfSignedCertificate } from "./default-certificate.ts";
import { processWorld } from "./filter-world.ts";
import { Http1Client } from "./http1-client.ts";
import { Http2Client } from "./http2-client.ts";
import { ProxyMetrics } from "./metrics.ts";
import { Passthrough } from "./passthrough.ts";
import { RequestIds } from "./request-id.ts";
import { Subrequests } from "./subrequest.ts";
import { type KeyPair, secureContext, TlsContexts } from "./tls-contexts.ts";

export interface IngressServerConfig {
  readonly http: readonly ListenAt[];
  readonly https: readonly ListenAt[];
  /** Shown to clients whose name has no certificate; a self-signed one when absent. */
  readonly defaultCertificate?: KeyPair;
  /** Ranges (`address/bits`) whose X-Forwarded-* headers are believed; none by default. */
  readonly trustedProxies?: readonly string[];
  /** How bytes are moved: see ingress/upstream/transport.ts. By default `auto`. */
  readonly transport?: TransportChoice;
  readonly accessLog?: (entry: AccessEntry) => void;
  /** Where redirects to https lead; by default the port of the https listener at the same place in its list. */
  readonly httpsPort?: number;
  /** Milliseconds. */
  readonly timeouts?: Partial<ProxyTimeouts>;
}

export interface IngressServerDeps {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Instead of one of the transports. */
  readonly connections?: ConnectionFactory;
  readonly log: (message: string) => void;
}

export interface IngressServer extends Running {
  /** Swaps the route table; requests under way keep theirs. */
  apply(delta: RouteDelta): void;
  /** Stops accepting; resolves when the last request has ended, or aborts what is left after `withinMs` (5 seconds by default). */
  drain(withinMs?: number): Promise<void>;
  readonly addresses: { readonly http: readonly Address[]; readonly https: readonly Address[] };
  /** The text format of Prometheus. */
  metrics(): string;
  readonly revision: number;
}

export interface Address {
  readonly ip: string;
  readonly port: number;
}

const defaultTimeouts: ProxyTimeouts = { head: 60_000, idle: 75_000, body: 60_000, linger: 5_000, grace: 1_000 };
const sweepMs = 500;
const drainStepMs = 20;
const defaultDrainMs = 5_000;

/** An ingress of this process: listens, routes, proxies. `ready` once all listeners are bound. */
export function startIngressServer(config: IngressServerConfig, deps: Partial<IngressServerDeps> = {}): IngressServer {
  const log = deps.log ?? (() => {});
  return new IngressProcess(config, {
    clock: deps.clock ?? systemClock,
    random: deps.random ?? Math.random,
    ...(deps.connections === undefined ? {} : { connections: deps.connections }),
    log,
  });
}

class IngressProcess implements IngressServer {
  readonly ready: Promise<void>;
  readonly #config: IngressServerConfig;
  readonly #deps: IngressServerDeps;
  readonly #context: ProxyContext;
  readonly #clients = new Set<ClientConnection>();
  readonly #handshakes = new Set<Socket>();
  readonly #contexts = new TlsContexts();
  readonly #pair: KeyPair;
  #connections: ConnectionFactory;
  readonly #life = new AbortController();
  #http: readonly Listening[] = [];
  #https: readonly Listening[] = [];
  #tls: TlsServer | undefined;
  readonly #uses = new EndpointUses();
  readonly #subrequests: Subrequests;

  constructor(config: IngressServerConfig, deps: IngressServerDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#pair = config.defaultCertificate ?? selfSignedCertificate(deps.clock.now());
    this.#connections = deps.connections ?? netConnections(this.#onFault);
    this.#subrequests = new Subrequests({
      endpointOf: (id) => {
        const pool = this.#context.table.pools.get(id);
        const options = { balance: "round_robin", tried: new Set<string>(), now: deps.clock.monotonic(), random: deps.random() } as const;
        return pool === undefined ? undefined : this.#context.picker.pick(pool, options)?.endpoint;
      },
    });
    this.#context = {
      table: emptyRouteTable,
      draining: false,
      httpsPortBeside: () => config.httpsPort ?? 443,
      pool: new UpstreamPool(this.#connections),
      http2: new Http2Upstreams(),
      picker: new EndpointPicker(),
      subrequests: this.#subrequests,
      world: processWorld({ ...deps, subrequests: this.#subrequests }),
      clock: deps.clock,
      random: deps.random,
      requestIds: new RequestIds(deps.random),
      trustedProxies: config.trustedProxies ?? [],
      wire: { ...defaultHeadLimits, heldBytes: 64 * 1024, requestsPerConnection: 100_000 },
      timeouts: { ...defaultTimeouts, ...config.timeouts },
      metrics: new ProxyMetrics(),
      accessLog: config.accessLog,
    };
    this.ready = this.#start();
    // a failed start is the caller's to see, through `ready`
    this.ready.catch(() => {});
  }

  get addresses(): IngressServer["addresses"] {
    return { http: this.#http.map((l) => l.address()), https: this.#https.map((l) => l.address()) };
  }

  get revision(): number {
    return this.#context.table.revision;
  }

  apply(delta: RouteDelta): void {
    const before = this.#context.table.pools;
    this.#context.table = this.#context.table.with(delta);
    const after = this.#context.table.pools;
    const touched = new Set([...(delta.full ? before.keys() : []), ...delta.pools.deletes, ...delta.pools.upserts.map((p) => p.id)]);
    const gone = [...touched].flatMap((id) => this.#uses.replace(before.get(id), after.get(id))).filter((key) => !this.#uses.has(key));
    this.#context.picker.forget(
      gone,
      [...touched].filter((id) => !after.has(id)),
    );
    if (gone.length === 0) return;
    this.#sweepPool();
    const left = new Set(gone);
    for (const client of this.#clients) client.endpointsGone(left);
  }

  metrics(): string {
    return this.#context.metrics.print(this.revision);
  }

  async drain(withinMs = defaultDrainMs): Promise<void> {
    this.#context.draining = true;
    for (const l of [...this.#http, ...this.#https]) await l.close();
    for (const client of this.#clients) client.drain();
    const { clock } = this.#deps;
    const start = clock.monotonic();
    const until = async (ms: number, done: () => boolean): Promise<void> => {
      while (!done() && clock.monotonic() - start < ms) await clock.sleep(drainStepMs, this.#life.signal).catch(() => {});
    };
    const grace = Math.min(withinMs, this.#context.timeouts.grace);
    await until(grace, () => this.#clients.size === 0);
    await until(withinMs, () => ![...this.#clients].some((c) => c.busy));
    for (const client of this.#clients) client.endIfIdle();
    const farewell = clock.monotonic() - start + grace / 2;
    await until(farewell, () => this.#clients.size === 0);
    await this.close();
  }

  async close(): Promise<void> {
    this.#context.draining = true;
    this.#life.abort();
    await this.ready.catch(() => {});
    for (const l of [...this.#http, ...this.#https]) await l.close();
    for (const socket of this.#handshakes) socket.destroy();
    for (const client of this.#clients) client.abortConnection();
    this.#context.pool.close();
    this.#context.http2.close();
    this.#subrequests.close();
  }

  async #start(): Promise<void> {
    const { http, https, transport } = this.#config;
    if (this.#deps.connections === undefined) {
      this.#connections = (await chooseTransport(transport ?? "auto", this.#pair, this.#onFault)).connections;
      this.#context.pool = new UpstreamPool(this.#connections);
    }
    if (this.#life.signal.aborted) return;
    if (https.length > 0) this.#tls = this.#makeTls();
    this.#http = http.map((at) => this.#connections.listen(at, (c) => this.#accept(c, false)));
    this.#https = https.map((at) => listenForSockets(at, (socket) => this.#handshake(socket)));
    await Promise.all([...this.#http, ...this.#https].map((l) => l.ready));
    this.#context.httpsPortBeside = this.#portPairs();
    void this.#sweepForLife();
  }

  /** The n-th http listener and the n-th https listener belong together. */
  #portPairs(): (httpPort: number) => number {
    const https = this.#https.map((l) => l.address().port);
    const pairs = new Map(this.#http.map((l, i) => [l.address().port, https[i] ?? https[0] ?? 443]));
    return (port) => this.#config.httpsPort ?? pairs.get(port) ?? https[0] ?? 443;
  }

  #makeTls(): TlsServer {
    const pair = this.#pair;
    const fallback = secureContext(pair);
    const server = createTlsServer({
      cert: pair.certificate,
      key: pair.key,
      minVersion: "TLSv1.2",
      ALPNProtocols: ["h2", "http/1.1"],
      handshakeTimeout: this.#context.timeouts.head,
      SNICallback: (name, done) => {
        try {
          done(null, this.#contexts.contextFor(this.#context.table, name) ?? fallback);
        } catch (e) {
          this.#deps.log(`certificate for ${name} cannot be used: ${e instanceof Error ? e.message : String(e)}`);
          done(null, fallback);
        }
      },
    });
    server.on("secureConnection", (socket) => {
      if (socket.alpnProtocol === "h2") this.#acceptHttp2(socket);
      else this.#accept(this.#connections.adopt(socket), true);
    });
    server.on("tlsClientError", (_error, socket) => socket.destroy());
    return server;
  }

  #handshake(socket: Socket): void {
    this.#handshakes.add(socket);
    // a TLS connection has no half that lives on: who ends it in the middle of a handshake has gone
    socket.allowHalfOpen = false;
    socket.once("close", () => this.#handshakes.delete(socket));
    // a client that breaks off its handshake is told of by tlsClientError
    socket.on("error", () => undefined);
    if (!this.#context.table.hasPassthrough) {
      this.#tls?.emit("connection", socket);
      return;
    }
    peekClientHello(socket, this.#context.timeouts.head, (hello) => {
      const name = hello?.serverName;
      const pool = name === undefined ? undefined : this.#context.table.passthrough(normalizeHost(name));
      if (pool === undefined) this.#tls?.emit("connection", socket);
      else this.#passThrough(socket, pool);
    });
  }

  #passThrough(socket: Socket, pool: Pool): void {
    this.#handshakes.delete(socket);
    socket.allowHalfOpen = true;
    const connections = this.#connections;
    const client = connections.adopt(socket);
    this.#clients.add(new Passthrough(this.#context, client, { pool, connections, onClosed: (c) => void this.#clients.delete(c) }));
  }

  #accept(connection: Connection, tls: boolean): void {
    const onClosed = (c: Http1Client): void => void this.#clients.delete(c);
    const onHttp2 = (socket: Socket): void => this.#acceptHttp2(socket);
    // over TLS the handshake has settled which protocol is spoken
    this.#clients.add(new Http1Client(this.#context, connection, tls ? { tls, onClosed } : { tls, onClosed, onHttp2 }));
  }

  #acceptHttp2(socket: Socket): void {
    this.#clients.add(new Http2Client(this.#context, socket, { onFault: this.#onFault, onClosed: (c) => void this.#clients.delete(c) }));
  }

  readonly #onFault = (error: unknown): void => this.#deps.log(printFault(error));

  /** One coarse timer for all connections, instead of several for each request. */
  async #sweepForLife(): Promise<void> {
    const { clock } = this.#deps;
    const { signal } = this.#life;
    while (!signal.aborted) {
      await clock.sleep(sweepMs, signal).catch(() => {});
      const now = clock.monotonic();
      for (const client of this.#clients) {
        try {
          client.sweep(now);
        } catch (error) {
          this.#onFault(error);
          client.abortConnection();
        }
      }
      this.#sweepPool();
    }
  }

  #sweepPool(): void {
    const now = this.#deps.clock.monotonic();
    const isWanted = (key: string): boolean => {
      const [, ip = "", port = ""] = key.split(" ");
      return this.#uses.has(`${ip} ${port}`);
    };
    this.#context.pool.sweep(now, isWanted);
    this.#context.http2.sweep(now, isWanted);
  }
}

function printFault(error: unknown): string {
  return `a connection was closed for a fault of the proxy: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}
