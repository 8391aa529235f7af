import { randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import type { Clock } from "../../src/base/clock.ts";
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
/** Bytes of text in a datagram, well below what a path takes whole. */
const mostText = 1_100;

type Message =
  | {
      readonly from: string;
      readonly counts: readonly (readonly [key: string, windowMs: number, window: number, previous: number, current: number])[];
    }
  /** `answer`: the other is asked to say the same. */
  | { readonly from: string; readonly hello: true; readonly answer: boolean };

interface Door {
  readonly ip: string;
  readonly port: number;
}

interface Peer extends Door {
  heardAt: number;
}

/**
 * Tells the other ingress processes of the cluster what this one has let in, and hears it of them: sealed datagrams that hold
 * whole counts, so that one that is lost, doubled or late does no harm.
 */
export class CountGossip {
  readonly #counts: SharedCounts;
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

  constructor(counts: SharedCounts, deps: { readonly clock: Clock; readonly log: (message: string) => void }) {
    this.#counts = counts;
    this.#clock = deps.clock;
    this.#log = deps.log;
  }

  /** Processes that hear of our counts. */
  get peers(): number {
    return this.#peers.size;
  }

  /** Who the others may be; `undefined`: nobody, each counts for itself. */
  configure(settings: GossipSettings | undefined): void {
    if (JSON.stringify(settings) === JSON.stringify(this.#settings)) return;
    const moved = settings?.self !== this.#settings?.self;
    this.#settings = settings;
    this.#seal = settings === undefined ? undefined : new DatagramSeal(settings.secret, "fairway ingress counts");
    if (moved) this.close();
    if (settings === undefined) return;
    if (moved) this.#open(settings.self, firstPort);
  }

  close(): void {
    this.#life?.abort();
    this.#life = undefined;
    this.#socket?.close();
    this.#socket = undefined;
    this.#peers.clear();
  }

  /** Soon, together with what else is decided in this turn. */
  tellSoon(): void {
    if (this.#urgent || this.#socket === undefined) return;
    this.#urgent = true;
    setImmediate(() => {
      this.#urgent = false;
      this.#tell(this.#counts.news());
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
        for (const [key, peer] of this.#peers) if (now - peer.heardAt > aliveMs) this.#peers.delete(key);
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
    const known = this.#peers.get(key);
    if (known === undefined) this.#peers.set(key, { ...from, heardAt: this.#clock.monotonic() });
    else known.heardAt = this.#clock.monotonic();
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
