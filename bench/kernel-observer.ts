import { Worker } from "node:worker_threads";

/** The kernel's own notices that a transaction of rules is in force, as another program of the node would get them. */
export class KernelObserver {
  readonly #thread: Worker;
  readonly #seen: BigInt64Array;

  private constructor(thread: Worker, seen: BigInt64Array) {
    this.#thread = thread;
    this.#seen = seen;
  }

  static async start(namespace: string): Promise<KernelObserver> {
    const shared = new SharedArrayBuffer(16);
    const thread = new Worker(new URL("./kernel-observer.worker.ts", import.meta.url), { workerData: { namespace, shared } });
    await new Promise((resolve, reject) => {
      thread.once("message", resolve);
      thread.once("error", reject);
    });
    return new KernelObserver(thread, new BigInt64Array(shared));
  }

  /** When the next transaction is in force, on the scale of `performance.now()`. */
  async next(): Promise<number> {
    const before = Atomics.load(this.#seen, 0);
    // the two clocks are one, with other beginnings
    const beginning = Number(process.hrtime.bigint()) / 1e6 - performance.now();
    await Atomics.waitAsync(this.#seen, 0, before).value;
    return Number(Atomics.load(this.#seen, 1)) / 1e6 - beginning;
  }

  async close(): Promise<void> {
    await this.#thread.terminate();
  }
}
