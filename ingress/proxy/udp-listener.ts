import { createSocket, type Socket } from "node:dgram";
import type { Clock } from "../../src/base/clock.ts";
import type { Running } from "../../src/base/running.ts";
import type { RouteTable } from "../route/route-table.ts";
import type { Peer as Address } from "../upstream/connection.ts";
import { type EndpointPicker, endpointKey, type Picked } from "../upstream/endpoint-picker.ts";

/** A bound socket of another process, or an address of its own. */
export type DatagramsAt = Address | { readonly fd: number; readonly family: 4 | 6 };

export interface UdpListenerOptions {
  /** As StreamService has it. */
  readonly port: number;
  readonly at: DatagramsAt;
  readonly table: () => RouteTable;
  readonly picker: EndpointPicker;
  readonly clock: Clock;
  readonly random: () => number;
}

/** A flow on which nothing moves for so long is forgotten, where the cluster says nothing else. */
const idleSeconds = 60;
/** Each flow has a socket of its own; above so many, the one that was quiet longest makes room. */
const maxFlows = 8_192;
/** Datagrams of a new flow that wait for its socket. */
const maxEarly = 16;

/** The datagrams one client sends, and the endpoint that answers them. */
interface Flow {
  readonly picked: Picked;
  readonly socket: Socket;
  /** Until the socket is connected. */
  early: Buffer[] | undefined;
  usedAt: number;
}

/** Datagrams of one port, to the endpoints of a Service: a client stays with its endpoint for as long as it is heard of. */
export class UdpListener implements Running {
  readonly ready: Promise<void>;
  readonly #o: UdpListenerOptions;
  readonly #socket: Socket;
  /** By the client's address and port; who was heard of last stands last. */
  readonly #flows = new Map<string, Flow>();
  #closed = false;

  constructor(o: UdpListenerOptions) {
    this.#o = o;
    const six = "fd" in o.at ? o.at.family === 6 : o.at.ip.includes(":");
    this.#socket = createSocket({ type: six ? "udp6" : "udp4", ipv6Only: six });
    this.#socket.on("message", (data, from) => this.#received(data, { ip: from.address, port: from.port }));
    this.ready = new Promise((resolve, reject) => {
      this.#socket.once("error", reject);
      this.#socket.once("listening", () => {
        this.#socket.off("error", reject);
        // a datagram that could not be sent or read is lost, which may happen to each
        this.#socket.on("error", () => undefined);
        resolve();
      });
    });
    this.#socket.bind("fd" in o.at ? { fd: o.at.fd } : { address: o.at.ip, port: o.at.port });
  }

  get address(): Address {
    const { address, port } = this.#socket.address();
    return { ip: address, port };
  }

  get flows(): number {
    return this.#flows.size;
  }

  sweep(now: number): void {
    const idleMs = (this.#o.table().settings.streamIdleSeconds ?? idleSeconds) * 1000;
    for (const [client, flow] of this.#flows) {
      if (now - flow.usedAt < idleMs) return;
      this.#forget(client, flow);
    }
  }

  /** Their clients' next datagrams go to others. */
  endpointsGone(gone: ReadonlySet<string>): void {
    for (const [client, flow] of this.#flows) if (gone.has(endpointKey(flow.picked.endpoint))) this.#forget(client, flow);
  }

  close(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#closed = true;
    for (const [client, flow] of this.#flows) this.#forget(client, flow);
    return new Promise((resolve) => this.#socket.close(() => resolve()));
  }

  #received(data: Buffer, from: Address): void {
    const client = `${from.ip} ${from.port}`;
    const flow = this.#flows.get(client) ?? this.#begin(client, from);
    if (flow === undefined) return;
    flow.usedAt = this.#o.clock.monotonic();
    this.#flows.delete(client);
    this.#flows.set(client, flow);
    if (flow.early === undefined) flow.socket.send(data);
    else if (flow.early.length < maxEarly) flow.early.push(data);
  }

  #begin(client: string, from: Address): Flow | undefined {
    const table = this.#o.table();
    const service = table.streams.get(`udp ${this.#o.port}`);
    const pool = service === undefined ? undefined : table.pools.get(service.pool);
    if (pool === undefined) return undefined;
    const { picker, clock, random } = this.#o;
    const now = clock.monotonic();
    const picked = picker.pick(pool, { balance: "round_robin", tried: new Set<string>(), now, random: random() });
    if (picked === undefined) return undefined;
    const { ip, port } = picked.endpoint;
    const socket = createSocket(ip.includes(":") ? "udp6" : "udp4");
    const flow: Flow = { picked, socket, early: [], usedAt: now };
    socket.on("message", (data) => {
      flow.usedAt = clock.monotonic();
      if (!this.#closed) this.#socket.send(data, from.port, from.ip);
    });
    // nobody listens there (ICMP): the client's next datagram goes to another endpoint
    socket.on("error", () => {
      picker.failed(picked, clock.monotonic());
      this.#forget(client, flow);
    });
    socket.connect(port, ip, () => {
      for (const data of flow.early ?? []) socket.send(data);
      flow.early = undefined;
    });
    if (this.#flows.size >= maxFlows) this.#forgetQuietest();
    return flow;
  }

  #forgetQuietest(): void {
    for (const [client, flow] of this.#flows) {
      this.#forget(client, flow);
      return;
    }
  }

  #forget(client: string, flow: Flow): void {
    if (this.#flows.get(client) === flow) this.#flows.delete(client);
    try {
      flow.socket.close();
    } catch {
      // closed already
    }
  }
}
