import dgram from "node:dgram";
import net from "node:net";
import { type Ip, ipFamily, parseIp } from "../../src/base/ip.ts";
import { printServicePort } from "../model/service-port.ts";
import { type Frontend, isServedBy, type Member } from "../plan/frontend.ts";
import { type Affinity, chooseEndpoint } from "../userspace/choose.ts";
import { admits, type Listener, poolFor, type UserspaceSurroundings } from "../userspace/program.ts";

/** A port below 1024 that may not be bound is served this much higher. */
const unprivilegedShift = 8000;
const connectTimeout = 5_000;
/** As long as the kernel remembers a flow that is answered (nf_conntrack_udp_timeout_stream). */
const udpIdle = 120_000;
const sweepInterval = 30_000;
/** Clients of UDP listeners that are remembered at most, each with a socket. */
const largestFlowCount = 4096;

export interface ListenFailure {
  readonly listener: Listener;
  readonly code: string;
  /** Where it listens instead, when there is such a place. */
  readonly movedTo: number | undefined;
}

export interface UserspaceDeps {
  readonly monotonic: () => number;
  readonly random: () => number;
  readonly isOwn: (ip: Ip) => boolean;
}

interface Open {
  listener: Listener;
  readonly failure: ListenFailure | undefined;
  /** Ends flows that are stale or that nobody uses. */
  sweep(): void;
  close(): void;
}

/** Where a client's connection comes from. */
interface Client {
  readonly ip: Ip;
  readonly port: number;
}

/** The sockets of this process that serve Services. Changing a listener's endpoints touches no connection; removing it lets open ones end by themselves. */
export class UserspaceApplier {
  readonly #deps: UserspaceDeps;
  readonly #open = new Map<string, Open>();
  readonly #affinity = new Map<string, Map<Ip, Affinity>>();
  readonly #connections = new Set<net.Socket>();
  /** Connections and flows by endpoint. */
  readonly #active = new Map<string, number>();
  readonly #sweeping: NodeJS.Timeout;
  #surroundings: UserspaceSurroundings = { nodePortIps: [], podCidrs: [], serviceCidrs: [], localDnsIps: [] };

  constructor(deps: UserspaceDeps) {
    this.#deps = deps;
    this.#sweeping = setInterval(() => this.sweep(), sweepInterval);
    this.#sweeping.unref();
  }

  /** Opens, changes and closes listeners. Never rejects: one that cannot be opened is among `failures`. */
  async apply(change: {
    readonly close: Iterable<string>;
    readonly open: readonly Listener[];
    readonly surroundings: UserspaceSurroundings;
  }): Promise<void> {
    this.#surroundings = change.surroundings;
    for (const id of change.close) {
      this.#open.get(id)?.close();
      this.#open.delete(id);
    }
    await Promise.all(
      change.open.map(async (listener) => {
        const open = this.#open.get(listener.id);
        if (open !== undefined && (open.failure === undefined || open.failure.movedTo !== undefined)) {
          open.listener = listener;
          open.sweep();
        } else this.#open.set(listener.id, await this.#listen(listener));
      }),
    );
  }

  /** Ends UDP flows whose endpoint no longer serves, and those that nobody has used for two minutes. */
  sweep(): void {
    for (const open of this.#open.values()) open.sweep();
  }

  /** Connections and UDP flows that an endpoint has through this process. */
  active({ ip, port }: Pick<Member, "ip" | "port">): number {
    return this.#active.get(`${ip} ${port}`) ?? 0;
  }

  failures(): readonly ListenFailure[] {
    return [...this.#open.values()].flatMap((o) => o.failure ?? []);
  }

  /** Ends listeners and connections. */
  close(): void {
    clearInterval(this.#sweeping);
    for (const open of this.#open.values()) open.close();
    this.#open.clear();
    for (const socket of this.#connections) socket.destroy();
  }

  async #listen(listener: Listener): Promise<Open> {
    const bind = listener.protocol === "tcp" ? this.#listenTcp.bind(this) : this.#listenUdp.bind(this);
    try {
      return await bind(listener, listener.port, undefined);
    } catch (error) {
      const code = codeOf(error);
      if (code === "EACCES" && listener.port < 1024) {
        const movedTo = listener.port + unprivilegedShift;
        try {
          return await bind(listener, movedTo, { listener, code, movedTo });
        } catch (again) {
          return {
            listener,
            failure: { listener, code: codeOf(again), movedTo: undefined },
            sweep: () => undefined,
            close: () => undefined,
          };
        }
      }
      return { listener, failure: { listener, code, movedTo: undefined }, sweep: () => undefined, close: () => undefined };
    }
  }

  #listenTcp(listener: Listener, port: number, failure: ListenFailure | undefined): Promise<Open> {
    return new Promise((resolve, reject) => {
      const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) =>
        this.#serve(open.listener.frontend, client),
      );
      const open: Open = { listener, failure, sweep: () => undefined, close: () => server.close() };
      server.once("error", reject);
      server.listen({ host: listener.ip, port, exclusive: true, ipv6Only: ipFamily(listener.ip) === 6 }, () => {
        server.removeListener("error", reject);
        server.on("error", () => undefined); // accept ran out of descriptors: the next connection is tried again
        resolve(open);
      });
    });
  }

  #serve(frontend: Frontend, client: net.Socket): void {
    this.#connections.add(client);
    client.once("close", () => this.#connections.delete(client));
    client.on("error", () => client.destroy());
    const ip = sourceOf(client.remoteAddress);
    const source = ip === undefined ? undefined : { ip, port: client.remotePort ?? 0 };
    const endpoint = source === undefined ? undefined : this.#choose(frontend, source, new Set());
    if (source === undefined || endpoint === undefined) {
      client.resetAndDestroy();
      return;
    }
    this.#forward(frontend, source, client, endpoint, new Set());
  }

  /** Connects to the endpoint; one that refuses is passed over, as long as there is another. */
  #forward(frontend: Frontend, source: Client, client: net.Socket, endpoint: Member, tried: Set<Member>): void {
    tried.add(endpoint);
    const upstream = net.connect({ host: endpoint.ip, port: endpoint.port, allowHalfOpen: true });
    this.#connections.add(upstream);
    const leave = this.#enter(endpoint);
    upstream.once("close", () => {
      this.#connections.delete(upstream);
      leave();
    });
    upstream.setTimeout(connectTimeout, () => upstream.destroy(new Error("no answer to connect")));
    let connected = false;
    upstream.once("connect", () => {
      connected = true;
      upstream.setTimeout(0);
      client.pipe(upstream);
      upstream.pipe(client);
      client.resume();
    });
    // one side gone: what it sent is still delivered to the other, then that one ends too
    client.once("close", () => upstream.destroySoon());
    upstream.on("error", () => {
      upstream.destroy();
      if (connected || client.destroyed) client.destroy();
      else {
        const next = tried.size >= 3 ? undefined : this.#choose(frontend, source, tried);
        if (next === undefined) client.resetAndDestroy();
        else {
          this.#forward(frontend, source, client, next, tried);
        }
      }
    });
    upstream.once("close", () => {
      if (connected) client.destroySoon();
    });
  }

  #listenUdp(listener: Listener, port: number, failure: ListenFailure | undefined): Promise<Open> {
    return new Promise((resolve, reject) => {
      const six = ipFamily(listener.ip) === 6;
      const socket = dgram.createSocket({ type: six ? "udp6" : "udp4", ipv6Only: six });
      const flows = new Map<string, UdpFlow>();
      const isStale = (flow: UdpFlow): boolean => {
        const { frontend } = open.listener;
        const { action } = frontend;
        return action.kind !== "balance" || !admits(frontend, flow.source) || !isServedBy(action, flow.endpoint);
      };
      const end = (id: string, flow: UdpFlow): void => {
        flow.close();
        flows.delete(id);
      };
      const open: Open = {
        listener,
        failure,
        sweep: () => {
          const now = this.#deps.monotonic();
          for (const [id, flow] of flows) if (isStale(flow) || now - flow.lastUsed > udpIdle) end(id, flow);
        },
        close: () => {
          for (const [id, flow] of flows) end(id, flow);
          socket.close();
        },
      };
      socket.once("error", reject);
      socket.on("message", (data, from) => {
        const id = `${from.address} ${from.port}`;
        const now = this.#deps.monotonic();
        let flow = flows.get(id);
        // a flow to an endpoint that no longer serves is stale: the next packet goes to one that does
        if (flow !== undefined && isStale(flow)) {
          end(id, flow);
          flow = undefined;
        }
        if (flow === undefined) {
          const source = sourceOf(from.address);
          const endpoint =
            source === undefined ? undefined : this.#choose(open.listener.frontend, { ip: source, port: from.port }, new Set());
          if (source === undefined || endpoint === undefined) return;
          const [oldest] = flows;
          if (oldest !== undefined && flows.size >= largestFlowCount) end(...oldest);
          flow = openFlow(
            { source, endpoint, lastUsed: now },
            (answer) => socket.send(answer, from.port, from.address),
            this.#enter(endpoint),
          );
          flows.set(id, flow);
        } else if (now - flow.lastUsed > 1000) {
          // those used last are last
          flows.delete(id);
          flows.set(id, flow);
        }
        flow.lastUsed = now;
        flow.send(data);
      });
      socket.bind({ address: listener.ip, port, exclusive: true }, () => {
        socket.removeListener("error", reject);
        socket.on("error", () => undefined); // an answer to a client that is gone
        resolve(open);
      });
    });
  }

  #choose(frontend: Frontend, { ip, port }: Client, tried: ReadonlySet<Member>): Member | undefined {
    const pool = poolFor(frontend, ip, this.#surroundings, this.#deps.isOwn);
    if (pool === undefined) return undefined;
    const left = tried.size === 0 ? pool : { ...pool, members: pool.members.filter((m) => !tried.has(m)) };
    const endpoint = chooseEndpoint(left, {
      source: ip,
      sourcePort: port,
      remembered: this.#affinity.get(ownerOf(frontend))?.get(ip),
      now: this.#deps.monotonic(),
      random: this.#deps.random(),
      active: (member) => this.active(member),
    });
    if (endpoint !== undefined) this.#remember(frontend, ip, endpoint);
    return endpoint;
  }

  /** Counts a connection of an endpoint until what is returned is called. */
  #enter(endpoint: Member): () => void {
    const key = `${endpoint.ip} ${endpoint.port}`;
    const add = (n: number): void => {
      const count = (this.#active.get(key) ?? 0) + n;
      if (count === 0) this.#active.delete(key);
      else this.#active.set(key, count);
    };
    add(1);
    return () => add(-1);
  }

  #remember(frontend: Frontend, source: Ip, endpoint: Member): void {
    const seconds = frontend.action.kind === "balance" ? frontend.action.affinitySeconds : undefined;
    const owner = ownerOf(frontend);
    if (seconds === undefined) {
      this.#affinity.delete(owner);
      return;
    }
    let clients = this.#affinity.get(owner);
    if (clients === undefined) {
      clients = new Map();
      this.#affinity.set(owner, clients);
    }
    const now = this.#deps.monotonic();
    clients.delete(source);
    clients.set(source, { endpoint, until: now + seconds * 1000 });
    // the oldest are first
    for (const [client, { until }] of clients) {
      if (until > now && clients.size <= 65_536) break;
      clients.delete(client);
    }
  }
}

interface UdpFlow {
  readonly source: Ip;
  readonly endpoint: Member;
  lastUsed: number;
  send(data: Buffer): void;
  close(): void;
}

function openFlow(of: Pick<UdpFlow, "source" | "endpoint" | "lastUsed">, answer: (data: Buffer) => void, leave: () => void): UdpFlow {
  const { endpoint } = of;
  const socket = dgram.createSocket(ipFamily(endpoint.ip) === 6 ? "udp6" : "udp4");
  let closed = false;
  socket.on("message", answer);
  socket.on("error", () => undefined); // refused by an endpoint that is not there yet: UDP clients try again
  const connected = new Promise<void>((resolve) => socket.connect(endpoint.port, endpoint.ip, () => resolve()));
  socket.unref();
  return {
    ...of,
    send: (data) => {
      void connected.then(() => {
        if (!closed) socket.send(data);
      });
    },
    close: () => {
      if (closed) return;
      closed = true;
      socket.close();
      leave();
    },
  };
}

function ownerOf(frontend: Frontend): string {
  return `${printServicePort(frontend.owner)}/${frontend.protocol}/${frontend.family}`;
}

function sourceOf(address: string | undefined): Ip | undefined {
  return address === undefined ? undefined : parseIp(address.replace(/^::ffff:(?=[0-9.]+$)/, "").replace(/%.*$/, ""));
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
