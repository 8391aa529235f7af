import type { ResponseHead, ResponseOutlet, ResponseSource } from "../filter/response-step.ts";
import type { Downstream, HeadFacts } from "./downstream.ts";

/** Told before the client's side hears of the end. */
export type OnResponseEnd = (now: number | undefined) => void;

/** The last of a response's way: counts what the client gets. */
export class ClientResponse implements ResponseOutlet {
  /** 0 before the head. */
  status = 0;
  /** Of the body. */
  bytes = 0;
  /** Whom room is told to. */
  source: Pick<ResponseSource, "drained">;
  readonly #down: Downstream;
  readonly #onEnd: OnResponseEnd;
  #ended = false;

  constructor(down: Downstream, o: { readonly source: Pick<ResponseSource, "drained">; readonly onEnd: OnResponseEnd }) {
    this.#down = down;
    this.source = o.source;
    this.#onEnd = o.onEnd;
  }

  head(head: ResponseHead): void {
    if (this.#ended) return;
    this.status = head.status;
    this.#down.head(head);
  }

  /** True when the client's side takes headers as lines: see headLines. */
  get takesLines(): boolean {
    return this.#down.headLines !== undefined;
  }

  headLines(head: HeadFacts, lines: string): void {
    if (this.#ended) return;
    this.status = head.status;
    this.#down.headLines?.(head, lines);
  }

  body(bytes: Buffer): boolean {
    if (this.#ended) return true;
    this.bytes += bytes.length;
    return this.#down.body(bytes);
  }

  flush(): void {
    if (!this.#ended) this.#down.flush();
  }

  complete(trailers: string, now: number): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd(now);
    this.#down.complete(trailers, now);
  }

  abort(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd(undefined);
    this.#down.abort();
  }

  /** The client is gone, or speaks another protocol now: nothing more is sent. */
  close(): void {
    this.#ended = true;
  }

  /** The client has room again. */
  drained(): void {
    if (!this.#ended) this.source.drained();
  }
}
