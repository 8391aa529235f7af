import type { Socket } from "node:net";
import { type Clock, systemClock } from "../../src/base/clock.ts";
import type { Running } from "../../src/base/running.ts";
import { NodeLimits } from "../filter/limits.ts";
import { SharedCounts } from "../filter/shared-counts.ts";
import type { RouteDelta, StreamService } from "../route/route.ts";
import { emptyRouteTable, type RouteTable } from "../route/route-table.ts";
import type { Connection, ConnectionFactory, ListenAt, Listening } from "../upstream/connection.ts";
import { EndpointPicker } from "../upstream/endpoint-picker.ts";
import { EndpointUses } from "../upstream/endpoint-uses.ts";
import { Http2Upstreams } from "../upstream/http2-upstreams.ts";
import { netConnections, plainIp } from "../upstream/net-connection.ts";
import { PendingRequests } from "../upstream/pending-requests.ts";
import { chooseTransport, type TransportChoice } from "../upstream/transport.ts";
import { UpstreamPool } from "../upstream/upstream-pool.ts";
import { defaultHeadLimits } from "../upstream/wire/request-parser.ts";
import type { ClientAnswer } from "./client-certificate.ts";
import { ClientConnections } from "./client-connections.ts";
import type { AccessEntry, ProxyContext, ProxyTimeouts } from "./context.ts";
import { CountGossip } from "./count-gossip.ts";
import { selfSignedCertificate } from "./default-certificate.ts";
import { type Changeable, effectiveSettings, poolLimits } from "./effective-settings.ts";
import { processWorld } from "./filter-world.ts";
import { HealthChecks } from "./health-checks.ts";
import { defaultHeldBytes, HeldBytes } from "./held-bytes.ts";
import { Http1Client } from "./http1-client.ts";
import { Http2Client } from "./http2-client.ts";
import { Listeners, type StreamAt } from "./listeners.ts";
import { ProxyMetrics } from "./metrics.ts";
import { OcspStapler } from "./ocsp-stapler.ts";
import { Passthrough, type PassthroughOptions } from "./passthrough.ts";
import { processFigures } from "./process-figures.ts";
import { printProxyHeader } from "./proxy-protocol.ts";
import { RequestIds } from "./request-id.ts";
import { SpanExporter } from "./span-exporter.ts";
import { Subrequests } from "./subrequest.ts";
import type { KeyPair } from "./tls-contexts.ts";
import type { TlsSettings } from "./tls-profile.ts";
import { type DatagramsAt, UdpListener } from "./udp-listener.ts";

export interface IngressServerConfig {
  readonly http: readonly ListenAt[];
  readonly https: readonly ListenAt[];
  /** Where connections and datagrams for ports of Services (StreamService) come in. */
  readonly tcp?: readonly StreamAt[];
  readonly udp?: readonly { readonly port: number; readonly at: DatagramsAt }[];
  /** Connections of clients that this process has at once; 16384 by default, as ingress-nginx. */
  readonly maxConnections?: number;
  /** Bytes that this process holds at once for those who are slow: see HeldBytes. */
  readonly heldBytes?: number;
  /** Shown to clients whose name has no certificate; a self-signed one when absent. */
  readonly defaultCertificate?: KeyPair;
  /** Ranges (`address/bits`) whose X-Forwarded-* headers are believed; none by default. */
  readonly trustedProxies?: readonly string[];
  /** How bytes are moved: see ingress/upstream/transport.ts. By default `auto`. */
  readonly transport?: TransportChoice;
  readonly accessLog?: (entry: AccessEntry) => void;
  /** Where redirects to https lead; by default the port of the https listener at the same place in its list. */
  readonly httpsPort?: number;
  readonly tls?: TlsSettings;
  /** Milliseconds. */
  readonly timeouts?: Partial<ProxyTimeouts>;
}

export interface IngressServerDeps {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Instead of one of the transports. */
  readonly connections?: ConnectionFactory;
  /** Nothing is accepted before it settles: until then clients wait in the listening sockets. */
  readonly listenAfter?: Promise<void>;
  readonly log: (message: string) => void;
}

/** Milliseconds. */
export interface DrainTimes {
  /** What is not done by then is aborted. */
  readonly withinMs: number;
  /** Connections on which nothing is under way have so long to meet their Connection: close; a second by default. */
  readonly idleMs?: number;
}

export interface IngressServer extends Running {
  /** Swaps the route table; requests under way keep theirs. */
  apply(delta: RouteDelta): void;
  /** Makes the table that `apply` would; the call of what is returned swaps it in. Those calls must come in the same order. */
  prepare(delta: RouteDelta): () => void;
  /** Stops accepting; resolves when the last request has ended, or what was left is aborted. Told again, the shorter times hold. */
  drain(times: DrainTimes): Promise<void>;
  /** 48 random bytes; see TlsSettings. */
  setTicketKeys(keys: Buffer): void;
  readonly addresses: Readonly<Record<"http" | "https" | "tcp" | "udp", readonly Address[]>>;
  /** The text format of Prometheus. */
  metrics(): string;
  readonly revision: number;
}

export interface Address {
  readonly ip: string;
  readonly port: number;
}

const defaultTimeouts: ProxyTimeouts = { head: 60_000, idle: 75_000, body: 60_000, linger: 5_000, grace: 1_000 };
const defaultMaxConnections = 16_384;
const sweepMs = 500;
const drainStepMs = 20;

/** An ingress of this process: listens, routes, proxies. `ready` once all listeners are bound. */
export function startIngressServer(config: IngressServerConfig, deps: Partial<IngressServerDeps> = {}): IngressServer {
  const log = deps.log ?? (() => {});
  return new IngressProcess(config, {
    clock: deps.clock ?? systemClock,
    random: deps.random ?? Math.random,
    ...(deps.connections === undefined ? {} : { connections: deps.connections }),
    ...(deps.listenAfter === undefined ? {} : { listenAfter: deps.listenAfter }),
    log,
  });
}

class IngressProcess implements IngressServer {
  readonly ready: Promise<void>;
  readonly #config: IngressServerConfig;
  readonly #deps: IngressServerDeps;
  readonly #context: ProxyContext;
  readonly #clients = new ClientConnections((error) => this.#onFault(error));
  readonly #pair: KeyPair;
  #connections: ConnectionFactory;
  readonly #life = new AbortController();
  #ticketKeys: Buffer | undefined;
  #listeners: Listeners | undefined;
  #udp: readonly UdpListener[] = [];
  readonly #started: Changeable;
  #draining: Promise<void> | undefined;
  #endAt = Number.POSITIVE_INFINITY;
  #idleEndAt = Number.POSITIVE_INFINITY;
  readonly #uses = new EndpointUses();
  readonly #subrequests: Subrequests;
  readonly #gossip: CountGossip;
  readonly #health: HealthChecks;
  readonly #spans: SpanExporter;
  #changedAt = 0;
  /** What is prepared last, and may not be in force yet. */
  #prepared = emptyRouteTable;

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
    const shared: SharedCounts = new SharedCounts({
      time: () => deps.clock.now(),
      peers: () => this.#gossip.peers,
      onUrgent: () => this.#gossip.tellSoon(),
    });
    const limits: NodeLimits = new NodeLimits({ peers: () => this.#gossip.nodePeers, onUrgent: () => this.#gossip.tellSoon() });
    this.#gossip = new CountGossip({ shared, limits }, deps);
    const metrics = new ProxyMetrics();
    this.#spans = new SpanExporter({
      clock: deps.clock,
      subrequests: this.#subrequests,
      log: deps.log,
      counts: metrics.spans,
      settings: () => this.#context.table.settings.tracing,
    });
    this.#started = {
      trustedProxies: config.trustedProxies ?? [],
      wire: { ...defaultHeadLimits, heldBytes: 64 * 1024, requestsPerConnection: 100_000 },
      timeouts: { ...defaultTimeouts, ...config.timeouts },
    };
    this.#context = {
      ...this.#started,
      table: emptyRouteTable,
      draining: false,
      buffering: 0,
      spools: { bytes: 0 },
      httpsPortBeside: () => config.httpsPort ?? 443,
      pool: new UpstreamPool(this.#connections),
      http2: new Http2Upstreams(this.#connections),
      picker: new EndpointPicker(),
      pending: new PendingRequests(),
      held: new HeldBytes(config.heldBytes ?? defaultHeldBytes),
      subrequests: this.#subrequests,
      world: processWorld({ ...deps, subrequests: this.#subrequests, limits, shared }),
      clock: deps.clock,
      random: deps.random,
      requestIds: new RequestIds(deps.random),
      metrics,
      spans: this.#spans,
      accessLog: config.accessLog,
    };
    this.#health = new HealthChecks(this.#context);
    this.ready = this.#start();
    // a failed start is the caller's to see, through `ready`
    this.ready.catch(() => {});
  }

  get addresses(): IngressServer["addresses"] {
    const { http = [], https = [], tcp = [] } = this.#listeners ?? {};
    const at = (all: readonly Listening[]): readonly Address[] => all.map((l) => l.address());
    return { http: at(http), https: at(https), tcp: at(tcp), udp: this.#udp.map((u) => u.address) };
  }

  get revision(): number {
    return this.#context.table.revision;
  }

  apply(delta: RouteDelta): void {
    this.prepare(delta)();
  }

  prepare(delta: RouteDelta): () => void {
    const next = this.#prepared.with(delta);
    this.#prepared = next;
    return () => this.#swap(next, delta);
  }

  #swap(next: RouteTable, delta: RouteDelta): void {
    if (delta.zone !== undefined) this.#context.picker.moveTo(delta.zone);
    if (delta.gossip !== undefined) this.#gossip.configure(delta.gossip === "none" ? undefined : delta.gossip);
    this.#changedAt = this.#deps.clock.now();
    const before = this.#context.table.pools;
    this.#context.table = next;
    if (delta.settings !== undefined) {
      Object.assign(this.#context, effectiveSettings(this.#started, delta.settings));
      this.#context.pool.limit(poolLimits(delta.settings));
      this.#context.held.limit(delta.settings.heldBytes ?? this.#config.heldBytes ?? defaultHeldBytes);
    }
    const after = this.#context.table.pools;
    const touched = new Set([...(delta.full ? before.keys() : []), ...delta.pools.deletes, ...delta.pools.upserts.map((p) => p.id)]);
    const gone = [...touched].flatMap((id) => this.#uses.replace(before.get(id), after.get(id))).filter((key) => !this.#uses.has(key));
    this.#context.picker.forget(
      gone,
      [...touched].filter((id) => !after.has(id)),
    );
    for (const id of touched) this.#context.pending.roomIn(id);
    if (gone.length === 0) return;
    this.#sweepPool();
    const left = new Set(gone);
    this.#clients.endpointsGone(left);
    for (const udp of this.#udp) udp.endpointsGone(left);
  }

  metrics(): string {
    return this.#context.metrics.print({
      table: this.#context.table,
      limitPeers: this.#gossip.peers,
      pending: this.#context.pending.count,
      held: this.#context.held,
      busy: this.#clients.busy,
      changedAt: this.#changedAt,
      process: processFigures(this.#deps.clock.now()),
    });
  }

  drain(times: DrainTimes): Promise<void> {
    const now = this.#deps.clock.monotonic();
    const { drainSeconds } = this.#context.table.settings;
    const withinMs = drainSeconds === undefined ? times.withinMs : Math.min(times.withinMs, drainSeconds * 1000);
    this.#endAt = Math.min(this.#endAt, now + withinMs);
    this.#idleEndAt = Math.min(this.#idleEndAt, this.#endAt, now + (times.idleMs ?? this.#context.timeouts.grace));
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  setTicketKeys(keys: Buffer): void {
    this.#ticketKeys = keys;
    this.#listeners?.setTicketKeys(keys);
  }

  async #drain(): Promise<void> {
    this.#context.draining = true;
    await this.ready.catch(() => {});
    await this.#listeners?.stop();
    this.#clients.drain();
    void this.#endUdp();
    const { clock } = this.#deps;
    const until = async (end: () => number, done: () => boolean): Promise<void> => {
      while (!this.#life.signal.aborted && !done() && clock.monotonic() < end())
        await clock.sleep(drainStepMs, this.#life.signal).catch(() => {});
    };
    const shakingHands = (): boolean => (this.#listeners?.waiting ?? 0) > 0;
    await until(
      () => this.#idleEndAt,
      () => this.#clients.count === 0 && !shakingHands(),
    );
    await until(
      () => this.#endAt,
      () => this.#clients.busy === 0 && !shakingHands(),
    );
    this.#clients.endIdle();
    const farewell = clock.monotonic() + this.#context.timeouts.grace / 2;
    await until(
      () => farewell,
      () => this.#clients.count === 0,
    );
    await this.close();
  }

  /** Another process reads from the same sockets by now; answers to what came here may still be on their way. */
  async #endUdp(): Promise<void> {
    await this.#deps.clock.sleep(this.#context.timeouts.grace, this.#life.signal).catch(() => {});
    await Promise.all(this.#udp.map((u) => u.close()));
  }

  async close(): Promise<void> {
    this.#context.draining = true;
    this.#life.abort();
    await this.ready.catch(() => {});
    await this.#listeners?.close();
    await Promise.all(this.#udp.map((u) => u.close()));
    this.#clients.abort();
    this.#context.pool.close();
    this.#context.http2.close();
    await this.#spans.close();
    this.#subrequests.close();
    this.#gossip.close();
    this.#health.close();
  }

  async #start(): Promise<void> {
    const { transport } = this.#config;
    if (this.#deps.connections === undefined) {
      this.#connections = (await chooseTransport(transport ?? "auto", this.#pair, this.#onFault)).connections;
      this.#context.pool = new UpstreamPool(this.#connections, poolLimits(this.#context.table.settings));
      this.#context.http2 = new Http2Upstreams(this.#connections);
    }
    await Promise.race([this.#deps.listenAfter, untilAborted(this.#life.signal)]);
    if (this.#life.signal.aborted) return;
    this.#listeners = this.#listen();
    this.#udp = (this.#config.udp ?? []).map(({ port, at }) => {
      const { clock, random } = this.#deps;
      return new UdpListener({ port, at, table: () => this.#context.table, picker: this.#context.picker, clock, random });
    });
    await Promise.all([this.#listeners.ready, ...this.#udp.map((u) => u.ready)]);
    this.#context.httpsPortBeside = this.#portPairs();
    void this.#sweepForLife();
  }

  /** The n-th http listener and the n-th https listener belong together. */
  #portPairs(): (httpPort: number) => number {
    const https = this.addresses.https.map((a) => a.port);
    const pairs = new Map(this.addresses.http.map((a, i) => [a.port, https[i] ?? https[0] ?? 443]));
    return (port) => this.#config.httpsPort ?? pairs.get(port) ?? https[0] ?? 443;
  }

  #listen(): Listeners {
    const { http, https, tcp = [], tls } = this.#config;
    const ticketKeys = this.#ticketKeys ?? tls?.ticketKeys;
    const connections = this.#connections;
    return new Listeners({
      http,
      https,
      tcp,
      table: () => this.#context.table,
      pair: this.#pair,
      hasRoom: () => this.#hasRoom(),
      greetingMs: () => this.#context.timeouts.head,
      settings: { ...tls, ...(ticketKeys === undefined ? {} : { ticketKeys }) },
      log: this.#deps.log,
      stapler: new OcspStapler({ clock: this.#deps.clock, subrequests: this.#subrequests, log: this.#deps.log }),
      connections,
      onPlain: (connection) => this.#accept(connection, { tls: false }),
      onSecure: (connection, protocol, client) => {
        if (protocol === "h2") this.#acceptHttp2(connection, { tls: true, client });
        else this.#accept(connection, { tls: true, client });
      },
      onTunnel: (socket, pool, peer, service) => {
        const client = connections.adopt(socket, peer);
        const { onClosed } = this.#clients;
        const preamble = preambleFor(service, socket, client);
        this.#clients.add(new Passthrough(this.#context, client, { pool, connections, ...preamble, onClosed }));
      },
    });
  }

  #accept(connection: Connection, o: ConnectionOrigin): void {
    const { onClosed } = this.#clients;
    const onHttp2 = (bytes: Buffer): void => this.#acceptHttp2(connection, o).onData(bytes);
    const { tls, client } = o;
    // over TLS the handshake has settled which protocol is spoken
    this.#clients.add(new Http1Client(this.#context, connection, tls ? { tls, client, onClosed } : { tls, client, onClosed, onHttp2 }));
  }

  #acceptHttp2(connection: Connection, o: ConnectionOrigin): Http2Client {
    const { onClosed } = this.#clients;
    const client = new Http2Client(this.#context, connection, { ...o, onFault: this.#onFault, onClosed });
    this.#clients.add(client);
    return client;
  }

  /** At the limit idle connections make room; where all are busy, the new one is closed. */
  #hasRoom(): boolean {
    const limit = this.#config.maxConnections ?? defaultMaxConnections;
    return this.#clients.count + (this.#listeners?.waiting ?? 0) < limit || this.#clients.makeRoom();
  }

  readonly #onFault = (error: unknown): void => this.#deps.log(printFault(error));

  /** One coarse timer for all connections, instead of several for each request. */
  async #sweepForLife(): Promise<void> {
    const { clock } = this.#deps;
    const { signal } = this.#life;
    while (!signal.aborted) {
      await clock.sleep(sweepMs, signal).catch(() => {});
      const now = clock.monotonic();
      this.#clients.sweep(now);
      for (const udp of this.#udp) udp.sweep(now);
      this.#health.sweep(now);
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

/** What is known of a client beyond its connection. */
interface ConnectionOrigin {
  readonly tls: boolean;
  readonly client?: ClientAnswer | undefined;
}

function preambleFor(service: StreamService | undefined, socket: Socket, client: Connection): Pick<PassthroughOptions, "preamble"> {
  if (service?.sendProxyProtocol === undefined) return {};
  const source = { ip: client.remoteIp, port: client.remotePort };
  const destination = { ip: plainIp(socket.localAddress ?? ""), port: client.localPort };
  return { preamble: printProxyHeader(service.sendProxyProtocol, { source, destination }) };
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
    if (signal.aborted) resolve();
  });
}

function printFault(error: unknown): string {
  return `a connection was closed for a fault of the proxy: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}
