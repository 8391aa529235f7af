import { Worker } from "node:worker_threads";
import { StoreError } from "./errors.ts";
import type { WriterCalls, WriterOp, WriterReply } from "./sqlite-messages.ts";

/** The thread that owns the file; asks are answered in order. */
export class SqliteWriter {
  readonly #file: string;
  readonly #worker: Worker;
  readonly #onGone: (error: StoreError) => void;
  readonly #waiting = new Map<number, { resolve(answer: unknown): void; reject(error: StoreError): void }>();
  #next = 0;
  #gone: StoreError | undefined;

  /** `gone` is called once when the thread has ended: nothing can be read or written any more. */
  constructor(file: string, gone: (error: StoreError) => void) {
    this.#file = file;
    this.#onGone = gone;
    const name = import.meta.url.endsWith(".ts") ? "./sqlite-writer.worker.ts" : "./sqlite-writer.worker.mjs";
    // A small young generation: what went through is let go soon, not only when megabytes have.
    this.#worker = new Worker(new URL(name, import.meta.url), { name: "sqlite-writer", resourceLimits: { maxYoungGenerationSizeMb: 2 } });
    this.#worker.on("message", (reply: WriterReply) => this.#settle(reply));
    this.#worker.on("error", (error) => this.#fail(error));
    this.#worker.on("exit", () => this.#fail(undefined));
  }

  /** What is `moved` is the thread's from then on. */
  ask<K extends WriterOp>(op: K, ask: WriterCalls[K]["ask"], moved: readonly ArrayBuffer[] = []): Promise<WriterCalls[K]["answer"]> {
    if (this.#gone !== undefined) return Promise.reject(this.#gone);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: (answer) => resolve(answer as WriterCalls[K]["answer"]), reject });
      this.#worker.postMessage({ id, op, ask }, [...moved]);
    });
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }

  #settle(reply: WriterReply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (reply.ok) waiting?.resolve(reply.answer);
    else waiting?.reject(new StoreError(reply.code, this.#file, new Error(reply.message)));
  }

  #fail(cause: unknown): void {
    if (this.#gone !== undefined) return;
    this.#gone = new StoreError(cause === undefined ? "closed" : "io", this.#file, cause);
    for (const waiting of this.#waiting.values()) waiting.reject(this.#gone);
    this.#waiting.clear();
    this.#onGone(this.#gone);
  }
}
