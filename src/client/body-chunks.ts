import type { IncomingMessage } from "node:http";

/** So much waits here at most before the server is held up. Bytes. */
const enough = 256 << 10;

interface Waiting {
  readonly resolve: (chunk: IteratorResult<Uint8Array, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

const done = { done: true, value: undefined } as const;

/**
 * A response's bytes as they come, to one reader. A chunk is given to whoever waits for it in the turn in which it was read; by the
 * stream's own iterator it would come some turns of promises later, and for a watch that is most of the way.
 */
export class BodyChunks implements AsyncIterableIterator<Uint8Array, undefined> {
  readonly #response: IncomingMessage;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #waiting: Waiting | undefined;
  #end: { readonly error: unknown } | undefined;

  constructor(response: IncomingMessage) {
    this.#response = response;
    response.on("data", (chunk: Uint8Array) => this.#take(chunk));
    response.on("end", () => this.#ended(undefined));
    response.on("error", (error) => this.#ended(error));
    // after one of the two this changes nothing
    response.on("close", () => this.#ended(new Error("the connection was closed before the answer was whole")));
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array, undefined>> {
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) {
      this.#bytes -= chunk.length;
      if (this.#bytes < enough && this.#response.isPaused()) this.#response.resume();
      return Promise.resolve({ done: false, value: chunk });
    }
    if (this.#end === undefined) return new Promise((resolve, reject) => (this.#waiting = { resolve, reject }));
    const { error } = this.#end;
    this.#end = { error: undefined };
    return error === undefined ? Promise.resolve(done) : Promise.reject(error as Error);
  }

  /** Who leaves early wants no more of it. */
  return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#response.destroy();
    return Promise.resolve(done);
  }

  #take(chunk: Uint8Array): void {
    const waiting = this.#waiting;
    if (waiting !== undefined) {
      this.#waiting = undefined;
      waiting.resolve({ done: false, value: chunk });
      return;
    }
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes >= enough) this.#response.pause();
  }

  #ended(error: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) return;
    if (error === undefined) waiting.resolve(done);
    else waiting.reject(error);
  }
}
