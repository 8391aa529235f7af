import type { BodyFraming } from "../upstream/wire/body-framing.ts";
import type { BodySpool } from "./body-spool.ts";

/** Bytes of a request body kept until the response begins, so that it can be sent to another endpoint. */
const maxReplayBytes = 64 * 1024;

/** Stands for a body of which nothing has come: replaced, never added to. */
const noBuffers: Buffer[] = [];

/** What has come of the body of a request, and as much of it as may be sent again. */
export class RequestBody {
  /** True once the whole request has been read. */
  done: boolean;
  bytes = 0;
  /** Lines, each with its CRLF; those that may go on. */
  trailers = "";
  /** Bytes; more than so many are not kept. */
  mostKept = maxReplayBytes;
  /** Set: what is above that waits on a disk, until an endpoint is there. */
  spool: BodySpool | undefined;
  readonly #framing: BodyFraming;
  #kept: Buffer[] | undefined = noBuffers;
  #keptBytes = 0;

  constructor(framing: BodyFraming) {
    this.#framing = framing;
    this.done = framing.kind === "none" || (framing.kind === "length" && framing.bytes === 0);
  }

  /** Counts bytes as they come; gives the status that refuses them. `limit` 0: none. */
  count(bytes: number, limit: number): 400 | 413 | undefined {
    this.bytes += bytes;
    if (limit > 0 && this.bytes > limit) return 413;
    // more than announced would be read as the next request by the endpoint
    return this.#framing.kind === "length" && this.bytes > this.#framing.bytes ? 400 : undefined;
  }

  /** Keeps a copy; once `sent` elsewhere, what grows too long is kept no more. */
  keep(bytes: Buffer, sent: boolean): void {
    if (this.#kept === undefined) return;
    if (this.spool !== undefined && !sent && (this.spool.size > 0 || this.#keptBytes + bytes.length > this.mostKept)) {
      this.spool.append(Buffer.from(bytes));
      return;
    }
    if (sent && this.#keptBytes + bytes.length > this.mostKept) {
      this.forget();
      return;
    }
    if (this.#kept === noBuffers) this.#kept = [];
    this.#kept.push(Buffer.from(bytes));
    this.#keptBytes += bytes.length;
  }

  /** True when the body ended where it was announced to. */
  end(): boolean {
    if (this.#framing.kind === "length" && this.bytes < this.#framing.bytes) return false;
    this.done = true;
    return true;
  }

  /** Of what is kept. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** No more than this is kept before an endpoint is there to take it. */
  get full(): boolean {
    return this.#keptBytes >= this.mostKept;
  }

  /** All that has come and does not wait on a disk; undefined when it is no longer there. */
  get kept(): readonly Buffer[] | undefined {
    return this.#kept;
  }

  /** All that has come, where it is in memory. */
  get inMemory(): readonly Buffer[] | undefined {
    return this.spool !== undefined && this.spool.size > 0 ? undefined : this.#kept;
  }

  /** It will not be sent again. */
  forget(): void {
    this.#kept = undefined;
    this.#keptBytes = 0;
  }
}
