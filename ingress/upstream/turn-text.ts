import { writeLatin1 } from "./wire/latin1.ts";

/** Where so much is written, its connections are made to send first. */
const bytes = 64 * 1024;

/**
 * What connections say in one turn of the event loop, one after the other in one piece of memory: what a connection says in several
 * parts, such as a head and a short body, leaves as one write that no string has to be joined for.
 */
export class TurnText {
  #memory = Buffer.allocUnsafeSlow(bytes);
  #end = 0;
  #handedOver = false;

  /** Stays where it is until the turn is over. */
  get memory(): Uint8Array {
    return this.#memory;
  }

  /** Where what is added next begins. */
  get end(): number {
    return this.#end;
  }

  /** Text is latin1. False: there is no room for it. */
  add(data: Buffer | string): boolean {
    if (data.length > bytes - this.#end) return false;
    if (typeof data === "string") writeLatin1(data, this.#memory, this.#end);
    else this.#memory.set(data, this.#end);
    this.#end += data.length;
    return true;
  }

  /** Valid until the next turn. */
  view(from: number, to: number): Buffer {
    return this.#memory.subarray(from, to);
  }

  text(from: number, to: number): string {
    return this.#memory.toString("latin1", from, to);
  }

  /** A write that is still under way reads from it: the next turn gets fresh memory. */
  handOver(): void {
    this.#handedOver = true;
  }

  /** Everything has left. */
  clear(): void {
    if (this.#handedOver) this.#memory = Buffer.allocUnsafeSlow(bytes);
    this.#handedOver = false;
    this.#end = 0;
  }
}
