import { randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import type { Clock } from "../../src/base/clock.ts";
import type { NodeLimits } from "../filter/limits.ts";
import type { LimitNews } from "../filter/node-limits.ts";
import type { CountEntry, SharedCounts } from "../filter/shared-counts.ts";
import type { GossipSettings } from "../route/route.ts";
import { DatagramSeal } from "./sealed-datagram.ts";

/** Each process of a node takes the first of these that is free. UDP. */
const firstPort = 10_262;
const portCount = 16;
/** How often what has changed is told, at the least. Milliseconds. */
const tellMs = 100;
/** How often processes show that they are there, and how long one counts that has not. Milliseconds. */
const helloMs = 2_000;
const aliveMs = 7_000;
/** Doors knocked at in one turn: a large cluster is not searched all at once. */
const doorsAtOnce = 50;
/** Of each kind in one datagram: names of Ingresses may be long, and the node itself is their whole path. */
const entriesAtOnce = 64;
/** Bytes of text in a datagram, well below what a path takes whole. */
const mostText = 1_100;

type Message =
  | {
      readonly from: string;
      readonly counts: readonly (readonly [key: string, windowMs: number, window: number, previous: number, current: number])[];
    }
  /** `answer`: the other is asked to say the same. */
  /** For the processes of the same node. */
  | { readonly from: string; readonly number: number; readonly limits: LimitNews }
  | { readonly from: string; readonly hello: true; readonly answer: boolean };

interface Door {
  readonly ip: string;
  readonly port: number;
}

interface Peer extends Door {
  readonly id: string;
  heardAt: number;
  /** Of the newest word on limits: those are whole figures, and one that comes late is old. */
  number: number;
}

/**
 * Tells the other ingress processes of the cluster what this one has let in, and hears it of them: sealed datagrams that hold
 * whole counts, so that one that is lost, doubled or late does no harm.
 */
export class CountGossip {
  readonly #counts: SharedCounts;
  readonly #limits: NodeLimits;
  readonly #clock: Clock;
  readonly #log: (message: string) => void;
  readonly #id = randomBytes(6).toString("base64url");
  readonly #peers = new Map<string, Peer>();
  #settings: GossipSettings | undefined;
  #seal: DatagramSeal | undefined;
  #socket: Socket | undefined;
  #port = 0;
  #life: AbortController | undefined;
  #urgent = false;
  #nodePeerCount = 0;
  #number = 0;

  constructor(
    counts: { readonly shared: SharedCounts; readonly limits: NodeLimits },
    deps: { readonly clock: Clock; readonly log: (message: string) => void },
  ) {
    this.#counts = counts.shared;
    this.#limits = counts.limits;
    this.#clock = deps.clock;
    this.#log = deps.log;
  }

  /** Processes that hear of our counts. */
  get peers(): number {
    return this.#peers.size;
  }

  /** Those of this node. */
  get nodePeers(): number {
    return this.#nodePeerCount;
  }

  /** Who the others may be; `undefined`: nobody, each counts for itself. */
  configure(settings: GossipSettings | undefined): void {
    if (JSON.stringify(settings) === JSON.stringify(this.#settings)) return;
    const moved = settings?.self !== this.#settings?.self;
    if (moved) this.close();
    this.#settings = settings;
    this.#seal = settings === undefined ? undefined : new DatagramSeal(settings.secret, "fairway ingress counts");
    if (settings === undefined) return;
    if (moved) this.#open(settings.self, firstPort);
  }

  close(): void {
    this.#life?.abort();
    this.#life = undefined;
    this.#socket?.close();
    this.#socket = undefined;
    for (const [key, peer] of this.#peers) this.#forget(key, peer);
  }

  /** Soon, together with what else is decided in this turn. */
  tellSoon(): void {
    if (this.#urgent || this.#socket === undefined) return;
    this.#urgent = true;
    setImmediate(() => {
      this.#urgent = false;
      this.#tell(this.#counts.news());
      this.#tellNode(this.#limits.news());
    });
  }

  #open(ip: string, port: number): void {
    const socket = createSocket({ type: ip.includes(":") ? "udp6" : "udp4" });
    this.#socket = socket;
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (this.#socket !== socket) return;
      if (error.code === "EADDRINUSE" && port + 1 < firstPort + portCount) {
        socket.close();
        this.#open(ip, port + 1);
      } else this.#log(`counts of limits are not shared with other processes: ${error.message}`);
    });
    socket.on("message", (datagram, from) => this.#hear(datagram, { ip: from.address, port: from.port }));
    socket.bind({ address: ip, port, exclusive: true }, () => {
      if (this.#socket !== socket) return;
      this.#port = port;
      const life = new AbortController();
      this.#life = life;
      // what other processes count must not keep this one from ending
      socket.unref();
      void this.#live(life.signal);
    });
  }

  async #live(signal: AbortSignal): Promise<void> {
    let helloAt = Number.NEGATIVE_INFINITY;
    let doors: Iterator<Door> | undefined;
    while (!signal.aborted) {
      const now = this.#clock.monotonic();
      if (doors === undefined && now - helloAt >= helloMs) {
        helloAt = now;
        for (const [key, peer] of this.#peers) if (now - peer.heardAt > aliveMs) this.#forget(key, peer);
        this.#sayHello(this.#peers.values());
        doors = this.#doors();
        this.#counts.sweep();
      }
      if (doors !== undefined) {
        const some = [...take(doors, doorsAtOnce)];
        this.#sayHello(some);
        if (some.length < doorsAtOnce) doors = undefined;
      }
      if (this.#peers.size > 0) this.#tell(this.#counts.changes());
      if (this.#nodePeerCount > 0) this.#tellNode(this.#limits.changes());
      await this.#clock.sleep(tellMs, signal).catch(() => undefined);
    }
  }

  /** Behind which a process may be that is not known yet. */
  *#doors(): Generator<Door> {
    const { nodes = [], self } = this.#settings ?? {};
    for (const ip of nodes)
      for (let port = firstPort; port < firstPort + portCount; port++)
        if ((ip !== self || port !== this.#port) && !this.#peers.has(doorKey({ ip, port }))) yield { ip, port };
  }

  #sayHello(to: Iterable<Door>): void {
    const datagram = this.#seal?.seal(JSON.stringify({ from: this.#id, hello: true, answer: true } satisfies Message));
    if (datagram !== undefined) for (const door of to) this.#send(datagram, door);
  }

  #tell(entries: readonly CountEntry[], to: Iterable<Door> = this.#peers.values()): void {
    const doors = [...to];
    let counts: (readonly [string, number, number, number, number])[] = [];
    let length = 0;
    const send = (): void => {
      if (counts.length === 0 || this.#seal === undefined) return;
      const datagram = this.#seal.seal(JSON.stringify({ from: this.#id, counts } satisfies Message));
      for (const peer of doors) this.#send(datagram, peer);
      counts = [];
      length = 0;
    };
    for (const { key, windowMs, window, previous, current } of entries) {
      counts.push([key, windowMs, window, previous, current]);
      length += key.length + 40;
      if (length > mostText) send();
    }
    send();
  }

  #tellNode({ taken, inFlight }: LimitNews): void {
    const doors = [...this.#peers.values()].filter((p) => this.#isOfNode(p));
    for (let at = 0; at < Math.max(taken.length, inFlight.length); at += entriesAtOnce) {
      const limits = { taken: taken.slice(at, at + entriesAtOnce), inFlight: inFlight.slice(at, at + entriesAtOnce) };
      const datagram = this.#seal?.seal(JSON.stringify({ from: this.#id, number: this.#number++, limits } satisfies Message));
      if (datagram !== undefined) for (const peer of doors) this.#send(datagram, peer);
    }
  }

  #isOfNode({ ip }: Door): boolean {
    return ip === this.#settings?.self;
  }

  #forget(key: string, peer: Peer): void {
    this.#peers.delete(key);
    if (!this.#isOfNode(peer)) return;
    this.#nodePeerCount--;
    this.#limits.forget(peer.id);
  }

  #meet(key: string, from: Door, id: string): Peer {
    const peer = { ...from, id, heardAt: 0, number: -1 };
    this.#peers.set(key, peer);
    if (this.#isOfNode(from)) this.#nodePeerCount++;
    return peer;
  }

  #send(datagram: Buffer, to: Door): void {
    // nobody there is the usual case; one that is there hears the next
    this.#socket?.send(datagram, to.port, to.ip, () => undefined);
  }

  #hear(datagram: Buffer, from: Door): void {
    const text = this.#seal?.open(datagram);
    if (text === undefined) return;
    // sealed by one of us: its shape is as we make it
    const message = JSON.parse(text) as Message;
    if (message.from === this.#id) return;
    const key = doorKey(from);
    const now = this.#clock.monotonic();
    let known = this.#peers.get(key);
    if (known !== undefined && known.id !== message.from) {
      // another process has its port by now
      this.#forget(key, known);
      known = undefined;
    }
    const peer = known ?? this.#meet(key, from, message.from);
    peer.heardAt = now;
    if ("limits" in message) {
      if (message.number > peer.number) this.#limits.merge(peer.id, message.limits, now);
      peer.number = Math.max(peer.number, message.number);
      return;
    }
    if ("counts" in message) {
      const entries = message.counts.map(([k, windowMs, window, previous, current]) => ({ key: k, windowMs, window, previous, current }));
      this.#counts.merge(message.from, entries);
      return;
    }
    if (message.answer && this.#seal !== undefined)
      this.#send(this.#seal.seal(JSON.stringify({ from: this.#id, hello: true, answer: false } satisfies Message)), from);
    if (known === undefined) this.#tell(this.#counts.all(), [from]);
  }
}

function doorKey({ ip, port }: Door): string {
  return `${ip} ${port}`;
}

function* take<T>(from: Iterator<T>, most: number): Generator<T> {
  for (let i = 0; i < most; i++) {
    const next = from.next();
    if (next.done === true) return;
    yield next.value;
  }
}
