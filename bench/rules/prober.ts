import { cpus } from "node:os";
import { Worker } from "node:worker_threads";
import type { Namespaces } from "./namespaces.ts";
import type { ProbeAnswer, ProbeRequest } from "./prober.worker.ts";

export const servicePort = 8080;
/** The two addresses that probed Services have in turn. */
export const listeners = ["11.255.0.1", "11.255.0.2"] as const;

/** Connections from the client, as a network sees the rules. */
export class Prober {
  readonly #thread: Worker;
  readonly #waiting = new Map<number, (answer: ProbeAnswer) => void>();
  #next = 1;
  readonly ready: Promise<unknown>;

  constructor(namespaces: Namespaces) {
    const workerData = { namespaces, listeners, port: servicePort, core: cpus().length - 1 };
    this.#thread = new Worker(new URL("./prober.worker.ts", import.meta.url), { workerData });
    this.ready = new Promise((resolve, reject) => {
      this.#waiting.set(0, resolve);
      this.#thread.once("error", reject);
    });
    this.#thread.on("message", (answer: ProbeAnswer) => {
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
  }

  /** When (CLOCK_MONOTONIC, ms) a connection to the address first came to the listener; undefined where it never did. */
  async until(ip: string, listener: 0 | 1, giveUpMs: number): Promise<number | undefined> {
    return (await this.#ask({ until: { ip, listener, giveUpMs } })).at;
  }

  /** What a new connection costs, in microseconds; each address in turn. */
  async connect(ips: readonly string[], count: number): Promise<ProbeAnswer> {
    const answer = await this.#ask({ connect: { ips, port: servicePort, count } });
    if (answer.at === undefined) throw new Error("a connection was not answered");
    return answer;
  }

  #ask(request: Omit<ProbeRequest, "id">): Promise<ProbeAnswer> {
    const id = this.#next++;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#thread.postMessage({ id, ...request });
    });
  }

  async close(): Promise<void> {
    await this.#thread.terminate();
  }
}

export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
