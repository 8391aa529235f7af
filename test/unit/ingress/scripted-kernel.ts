import { expect } from "vitest";
import { IoRing } from "../../../src/kernel/io-ring.ts";

/** The kernel's side of a ring: its calls are looked at, and their outcomes are what the test says. */
export class ScriptedKernel {
  readonly made: { descriptor: number; address: bigint; bytes: number }[][] = [];
  /** By the descriptor, and where its memory lies. */
  outcome: (descriptor: number, bytes: number, address: bigint) => number = (_, bytes) => bytes;
  /** So many of a system call's are made. */
  most = 64;
  base = 0x7fff_ffff_f000n;
  /** Near the end of both rings, which go round, and of what their counters hold. */
  readonly #rings = Int32Array.from({ length: 4 + 128 * 4 }, (_, i) => [-4, -3, -3][i] ?? 0);
  readonly #calls = new Int32Array(64 * 16);
  #head = -4;
  readonly ring = new IoRing(
    { rings: this.#rings, calls: this.#calls, callsTail: 0, outcomesHead: 1, outcomesTail: 2, outcomes: 4, outcomesMask: 127 },
    { enter: (submit) => this.#enter(submit), addressOf: () => this.base },
  );

  #enter(submit: number): number {
    expect(((this.#rings[0] ?? 0) - this.#head) | 0).toBe(submit);
    const count = Math.min(submit, this.most);
    this.made.push(Array.from({ length: count }, () => this.#call()));
    return count;
  }

  #call(): { descriptor: number; address: bigint; bytes: number } {
    const at = (this.#head++ & 63) * 16;
    const cell = (n: number): number => this.#calls[at + n] ?? 0;
    const descriptor = cell(1);
    const bytes = cell(6);
    const address = (BigInt(cell(5) >>> 0) << 32n) | BigInt(cell(4) >>> 0);
    const tail = this.#rings[2] ?? 0;
    this.#rings.set([cell(8), 0, this.outcome(descriptor, bytes, address), 0], 4 + (tail & 127) * 4);
    this.#rings[2] = tail + 1;
    return { descriptor, address, bytes };
  }
}
