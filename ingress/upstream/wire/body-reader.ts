import type { BodyFraming } from "./body-framing.ts";
import { ChunkDecoder, type ChunkSink } from "./chunk-decoder.ts";

/** Reads one body off its connection, as long as its framing says. */
export class BodyReader {
  readonly #sink: ChunkSink;
  readonly #chunks: ChunkDecoder | undefined;
  #remaining: number;

  constructor(framing: BodyFraming, sink: ChunkSink) {
    this.#sink = sink;
    this.#chunks = framing.kind === "chunked" ? new ChunkDecoder() : undefined;
    this.#remaining = framing.kind === "length" ? framing.bytes : 0;
  }

  get done(): boolean {
    return this.#chunks === undefined ? this.#remaining === 0 : this.#chunks.done;
  }

  /** How many bytes were used: fewer than given only once done. A text is a fault: the stream cannot go on. */
  push(bytes: Buffer): number | string {
    if (this.#chunks !== undefined) return this.#chunks.push(bytes, this.#sink);
    const used = Math.min(this.#remaining, bytes.length);
    this.#remaining -= used;
    this.#sink.onBody(used === bytes.length ? bytes : bytes.subarray(0, used));
    return used;
  }
}
