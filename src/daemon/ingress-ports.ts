import type { Ip } from "../base/ip.ts";
import { type BoundSocket, bindSocket, closeSocket } from "../kernel/socket.ts";
import type { Log } from "../observe/log.ts";
import type { NamedSocket } from "./child.ts";

/** A port that leads to a Service as it is (ConfigMaps tcp-services and udp-services). */
export interface ServicePort {
  readonly protocol: "tcp" | "udp";
  readonly port: number;
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
  readonly #sockets = new Map<string, NamedSocket>();

  constructor(ips: readonly Ip[], log: Log, kernel: { readonly bind: typeof bindSocket; readonly close: typeof closeSocket } = defaults) {
    this.#ips = ips;
    this.#log = log;
    this.#bind = kernel.bind;
    this.#close = kernel.close;
  }

  /** Takes sockets that an earlier daemon has bound. */
  adopt(sockets: readonly NamedSocket[]): void {
    for (const socket of sockets) this.#sockets.set(keyOf(socket.type, socket), socket);
  }

  get all(): readonly NamedSocket[] {
    return [...this.#sockets.values()];
  }

  /** For an ingress process. Datagrams are for the first alone: a client's must all come to one that knows it. */
  socketsFor(process: number): readonly NamedSocket[] {
    return [...this.#sockets.values()].filter((s) => s.type === "tcp" || process === 0);
  }

  /**
   * Binds what is new; a port that cannot be had is told of, and left out. What is no longer wanted is in `left`: to be
   * released once no process is started with it any more. `changed`: processes must be started with other sockets.
   */
  change(ports: readonly ServicePort[]): { readonly changed: boolean; readonly left: readonly NamedSocket[] } {
    const wanted = new Map<string, { readonly ip: Ip; readonly port: number; readonly type: "tcp" | "udp" }>();
    for (const ip of this.#ips)
      for (const { protocol, port } of ports) wanted.set(keyOf(protocol, { ip, port }), { ip, port, type: protocol });
    const left: NamedSocket[] = [];
    for (const [key, socket] of this.#sockets) {
      if (wanted.has(key)) continue;
      this.#sockets.delete(key);
      left.push(socket);
    }
    let changed = left.length > 0;
    for (const [key, at] of wanted) {
      if (this.#sockets.has(key)) continue;
      try {
        this.#sockets.set(key, { ...this.#bind({ ...at, freeBind: true }), name: servicePortSocket });
        changed = true;
      } catch (error) {
        this.#log("error", `ingress: a port of a Service: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
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

const defaults = { bind: bindSocket, close: closeSocket };
