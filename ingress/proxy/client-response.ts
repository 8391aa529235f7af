import type { ResponseHead, ResponseOutlet, ResponseSource } from "../filter/response-step.ts";
import type { Forwarding } from "../route/route.ts";
import type { ProxyContext } from "./context.ts";
import type { Downstream, HeadFacts } from "./downstream.ts";

/** A slow-down ends by itself: it holds nothing that would have to be let go. */
const throttleLife = new AbortController().signal;

/** Told before the client's side hears of the end. */
export type OnResponseEnd = (now: number | undefined) => void;

/** The last of a response's way: counts what the client gets, and holds it back to the route's rate. */
export class ClientResponse implements ResponseOutlet {
  /** 0 before the head. */
  status = 0;
  /** Of the body. */
  bytes = 0;
  /** Of the route, once it is known. */
  rate: Forwarding["responseRate"];
  /** Whom room is told to. */
  source: Pick<ResponseSource, "drained">;
  readonly #context: ProxyContext;
  readonly #down: Downstream;
  readonly #onEnd: OnResponseEnd;
  #ended = false;
  #full = false;
  #throttled = false;
  #rateStartedAt: number | undefined;

  constructor(
    context: ProxyContext,
    down: Downstream,
    o: { readonly source: Pick<ResponseSource, "drained">; readonly onEnd: OnResponseEnd },
  ) {
    this.#context = context;
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
    if (!this.#down.body(bytes)) this.#full = true;
    if (this.rate !== undefined) this.#slowDown(this.rate);
    return !this.#full && !this.#throttled;
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
    this.#full = false;
    if (!this.#throttled && !this.#ended) this.source.drained();
  }

  /** Holds the source back until what was sent so far is due. */
  #slowDown(rate: { readonly bytesPerSecond: number; readonly afterBytes: number }): void {
    const counted = this.bytes - rate.afterBytes;
    if (counted <= 0 || this.#throttled) return;
    const { clock } = this.#context;
    const now = clock.monotonic();
    this.#rateStartedAt ??= now;
    const wait = this.#rateStartedAt + (counted / rate.bytesPerSecond) * 1000 - now;
    if (wait < 1) return;
    this.#throttled = true;
    const goOn = (): void => {
      this.#throttled = false;
      if (!this.#ended && !this.#full) this.source.drained();
    };
    void clock.sleep(wait, throttleLife).then(goOn, goOn);
  }
}
