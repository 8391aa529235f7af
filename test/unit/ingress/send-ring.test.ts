import { expect, test } from "vitest";
import { SendRing } from "../../../ingress/upstream/send-ring.ts";
import { IoRing } from "../../../src/kernel/io-ring.ts";

/** The kernel's side of a ring: its calls are looked at, and their outcomes are what the test says. */
class ScriptedKernel {
  readonly made: { descriptor: number; address: bigint; bytes: number }[][] = [];
  /** By the descriptor. */
  outcome: (descriptor: number, bytes: number) => number = (_, bytes) => bytes;
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
    const tail = this.#rings[2] ?? 0;
    this.#rings.set([cell(8), 0, this.outcome(descriptor, bytes), 0], 4 + (tail & 127) * 4);
    this.#rings[2] = tail + 1;
    return { descriptor, address: (BigInt(cell(5) >>> 0) << 32n) | BigInt(cell(4) >>> 0), bytes };
  }
}

function senders(): { readonly took: [string, number][]; readonly of: (name: string) => { sent(bytes: number): void } } {
  const took: [string, number][] = [];
  return { took, of: (name) => ({ sent: (bytes) => void took.push([name, bytes]) }) };
}

test("all that was added leaves by one call, and each hears of its own", () => {
  const kernel = new ScriptedKernel();
  const sends = new SendRing(kernel.ring);
  const memory = Buffer.alloc(8_192);
  const { took, of } = senders();
  kernel.outcome = (descriptor, bytes) => ({ 7: bytes, 8: 3, 9: -11, 10: -32 })[descriptor] ?? 0;
  for (const [i, descriptor] of [7, 8, 9, 10].entries())
    expect(sends.add(of(`of ${descriptor}`), descriptor, memory, i * 1_500, i * 1_500 + 100)).toBe(true);
  sends.send();
  // the memory lies across a border of 4 GiB
  expect(kernel.made).toEqual([
    [7, 8, 9, 10].map((descriptor, i) => ({ descriptor, address: kernel.base + BigInt(i * 1_500), bytes: 100 })),
  ]);
  expect(took).toEqual([
    ["of 7", 100],
    ["of 8", 3],
    ["of 9", 0],
    ["of 10", 0],
  ]);
  sends.send();
  expect(kernel.made.length).toBe(1);
});

test("memory of the next turn has its own address", () => {
  const kernel = new ScriptedKernel();
  const sends = new SendRing(kernel.ring);
  const { of } = senders();
  sends.add(of("a"), 7, Buffer.alloc(10), 2, 5);
  sends.send();
  kernel.base = 0x1234_5678n;
  sends.add(of("b"), 7, Buffer.alloc(10), 2, 5);
  sends.send();
  expect(kernel.made.map(([call]) => call?.address)).toEqual([0x7fff_ffff_f002n, 0x1234_567an]);
});

test("no more are taken than fit, and none by a ring that has failed: what it did not send is told as not sent", () => {
  const kernel = new ScriptedKernel();
  const sends = new SendRing(kernel.ring);
  const memory = Buffer.alloc(100);
  const { took, of } = senders();
  const taken = Array.from({ length: 70 }, (_, i) => sends.add(of(`${i}`), i, memory, 0, 10));
  expect(taken.filter(Boolean).length).toBe(64);
  kernel.most = 40;
  sends.send();
  expect(took.map(([, bytes]) => bytes)).toEqual(Array.from({ length: 64 }, (_, i) => (i < 40 ? 10 : 0)));
  expect(sends.add(of("late"), 1, memory, 0, 10)).toBe(false);
});
