import { type Ip, printHostPort } from "../base/ip.ts";
import { findListener } from "../kernel/listener.ts";
import { type BoundSocket, bindSocket, closeSocket } from "../kernel/socket.ts";
import type { Log } from "../observe/log.ts";
import type { ObjectRef, Problem } from "../snapshot/problem.ts";
import type { NamedSocket } from "./child.ts";

/** A port that leads to a Service as it is (ConfigMaps tcp-services and udp-services). */
export interface ServicePort {
  readonly protocol: "tcp" | "udp";
  readonly port: number;
  /** Whose `data[port]` asks for it. */
  readonly object: ObjectRef;
}

/** A port that the supervisor could not bind. */
export interface RefusedPort {
  readonly wanted: ServicePort;
  /** Where, what the kernel said, and who has the port. */
  readonly why: string;
}

/** What the supervisor answers when it has done so; the whole list each time. */
export interface RefusedPortsMessage {
  readonly type: "refused-ports";
  readonly refused: readonly RefusedPort[];
}

export function isRefusedPorts(message: unknown): message is RefusedPortsMessage {
  return typeof message === "object" && message !== null && "type" in message && message.type === "refused-ports";
}

/** Each on the ConfigMap that asks for the port. What one node's kernel refuses is that node's to tell. */
export function refusalProblems(refused: readonly RefusedPort[], nodeName: string): readonly Problem[] {
  return refused.map(({ wanted, why }) => ({
    object: wanted.object,
    field: `data[${wanted.port}]`,
    reason: "PortUnavailable",
    message: `node ${nodeName} does not serve ${wanted.protocol.toUpperCase()} port ${wanted.port}: ${why}; it is tried again until it is free`,
  }));
}

/** What the agent tells its supervisor when these ports have changed. */
export interface IngressPortsMessage {
  readonly type: "ingress-ports";
  readonly ports: readonly ServicePort[];
}

/** The name of their sockets, as an ingress process finds them. */
export const servicePortSocket = "service-port";

export function isIngressPorts(message: unknown): message is IngressPortsMessage {
  return typeof message === "object" && message !== null && "type" in message && message.type === "ingress-ports";
}

/** The sockets at ports of Services, on each address of the ingress. */
export class IngressPorts {
  readonly #ips: readonly Ip[];
  readonly #log: Log;
  readonly #bind: (o: Parameters<typeof bindSocket>[0]) => BoundSocket;
  readonly #close: (socket: BoundSocket) => void;
  readonly #who: typeof findListener;
  readonly #sockets = new Map<string, NamedSocket>();
  #refused: readonly RefusedPort[] = [];

  constructor(ips: readonly Ip[], log: Log, kernel: typeof defaults = defaults) {
    this.#ips = ips;
    this.#log = log;
    this.#bind = kernel.bind;
    this.#close = kernel.close;
    this.#who = kernel.who;
  }

  /** What could not be bound, of the last change. */
  get refused(): readonly RefusedPort[] {
    return this.#refused;
  }

  /** Takes sockets that an earlier daemon has bound. */
  adopt(sockets: readonly NamedSocket[]): void {
    for (const socket of sockets) this.#sockets.set(keyOf(socket.type, socket), socket);
  }

  get all(): readonly NamedSocket[] {
    return [...this.#sockets.values()];
  }

  #whyNot(at: { readonly ip: Ip; readonly port: number; readonly type: "tcp" | "udp" }, error: unknown): string {
    const who = this.#who(at);
    if (who?.pid === process.pid)
      return `${at.type} ${printHostPort(at.ip, at.port)} is this daemon's own (http and https of the ingress, DNS, metrics); choose another port`;
    const has = who === undefined ? "" : `; process ${who.pid} has it: ${who.command}`;
    return `${error instanceof Error ? error.message : String(error)}${has}`;
  }

  /** For an ingress process. Datagrams are for the first alone: a client's must all come to one that knows it. */
  socketsFor(process: number): readonly NamedSocket[] {
    return [...this.#sockets.values()].filter((s) => s.type === "tcp" || process === 0);
  }

  /**
   * Binds what is new; a port that cannot be had is left out, and is in `refused`. What is no longer wanted is in `left`: to be
   * released once no process is started with it any more. `changed`: processes must be started with other sockets.
   */
  change(ports: readonly ServicePort[]): { readonly changed: boolean; readonly left: readonly NamedSocket[] } {
    const wanted = new Map<string, { readonly ip: Ip; readonly port: ServicePort }>();
    for (const ip of this.#ips) for (const port of ports) wanted.set(keyOf(port.protocol, { ip, port: port.port }), { ip, port });
    const refused: RefusedPort[] = [];
    const left: NamedSocket[] = [];
    for (const [key, socket] of this.#sockets) {
      if (wanted.has(key)) continue;
      this.#sockets.delete(key);
      left.push(socket);
    }
    let changed = left.length > 0;
    for (const [key, { ip, port }] of wanted) {
      if (this.#sockets.has(key)) continue;
      const at = { ip, port: port.port, type: port.protocol };
      try {
        this.#sockets.set(key, { ...this.#bind({ ...at, freeBind: true }), name: servicePortSocket });
        changed = true;
      } catch (error) {
        refused.push({ wanted: port, why: this.#whyNot(at, error) });
      }
    }
    const before = new Set(this.#refused.map((r) => r.why));
    for (const { why } of refused) if (!before.has(why)) this.#log("error", `ingress: a port of a Service: ${why}`);
    this.#refused = refused;
    return { changed, left };
  }

  release(left: readonly NamedSocket[]): void {
    for (const socket of left) this.#close(socket);
  }

  close(): void {
    this.release(this.all);
    this.#sockets.clear();
  }
}

function keyOf(protocol: "tcp" | "udp", { ip, port }: { readonly ip: Ip; readonly port: number }): string {
  return `${protocol} ${ip} ${port}`;
}

const defaults = { bind: bindSocket, close: closeSocket, who: findListener };
