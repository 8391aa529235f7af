import { headerValue } from "../route/request-head.ts";

/** Ids made at once: one conversion to text for all of them. */
const batch = 64;
const idBytes = 16;

/** Gives ids of 32 hex digits, as nginx makes them. `random` is in [0, 1). */
export class RequestIds {
  readonly #random: () => number;
  readonly #bytes = Buffer.alloc(batch * idBytes);
  #text = "";
  #at = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** The client's own id, if it is a sane one, else a new one. */
  of(fields: readonly string[]): string {
    const given = headerValue(fields, "x-request-id");
    if (given !== undefined && /^[!-~]{1,128}$/.test(given)) return given;
    return this.next();
  }

  next(): string {
    if (this.#at >= this.#text.length) this.#refill();
    this.#at += 2 * idBytes;
    return this.#text.slice(this.#at - 2 * idBytes, this.#at);
  }

  #refill(): void {
    for (let i = 0; i < this.#bytes.length; i += 4) this.#bytes.writeUInt32LE(Math.floor(this.#random() * 0x1_0000_0000), i);
    this.#text = this.#bytes.toString("hex");
    this.#at = 0;
  }
}
