import { expect, test } from "vitest";
import { SendRing } from "../../../ingress/upstream/send-ring.ts";

/** A ring whose calls are looked at, and whose outcomes are what the test says. */
class ScriptedRing {
  readonly calls = new Int32Array(64 * 16);
  readonly made: { descriptor: number; address: bigint; bytes: number }[][] = [];
  /** By the descriptor. */
  outcome: (descriptor: number, bytes: number) => number = (_, bytes) => bytes;
  works = true;
  base = 0x7fff_ffff_f000n;
  #tail = 60;

  cellOf(place: number): number {
    return ((this.#tail + place) % 64) * 16;
  }
  make(count: number, outcomes: Int32Array): boolean {
    const all = Array.from({ length: count }, (_, i) => {
      const at = this.cellOf(i);
      const cell = (n: number): number => this.calls[at + n] ?? 0;
      const call = {
        descriptor: cell(1),
        address: (BigInt(cell(5) >>> 0) << 32n) | BigInt(cell(4) >>> 0),
        bytes: cell(6),
      };
      if (this.works) outcomes[cell(8)] = this.outcome(call.descriptor, call.bytes);
      return call;
    });
    this.#tail += count;
    this.made.push(all);
    return this.works;
  }
  addressOf(): bigint {
    return this.base;
  }
}

function senders(): { readonly took: [string, number][]; readonly of: (name: string) => { sent(bytes: number): void } } {
  const took: [string, number][] = [];
  return { took, of: (name) => ({ sent: (bytes) => void took.push([name, bytes]) }) };
}

test("all that was added leaves by one call, and each hears of its own", () => {
  const ring = new ScriptedRing();
  const sends = new SendRing(ring);
  const memory = Buffer.alloc(8_192);
  const { took, of } = senders();
  ring.outcome = (descriptor, bytes) => ({ 7: bytes, 8: 3, 9: -11, 10: -32 })[descriptor] ?? 0;
  for (const [i, descriptor] of [7, 8, 9, 10].entries())
    expect(sends.add(of(`of ${descriptor}`), descriptor, memory, i * 1_500, i * 1_500 + 100)).toBe(true);
  sends.send();
  // the memory lies across a border of 4 GiB
  expect(ring.made).toEqual([[7, 8, 9, 10].map((descriptor, i) => ({ descriptor, address: ring.base + BigInt(i * 1_500), bytes: 100 }))]);
  expect(took).toEqual([
    ["of 7", 100],
    ["of 8", 3],
    ["of 9", 0],
    ["of 10", 0],
  ]);
  sends.send();
  expect(ring.made.length).toBe(1);
});

test("memory of the next turn has its own address", () => {
  const ring = new ScriptedRing();
  const sends = new SendRing(ring);
  const { of } = senders();
  sends.add(of("a"), 7, Buffer.alloc(10), 2, 5);
  sends.send();
  ring.base = 0x1234_5678n;
  sends.add(of("b"), 7, Buffer.alloc(10), 2, 5);
  sends.send();
  expect(ring.made.map(([call]) => call?.address)).toEqual([0x7fff_ffff_f002n, 0x1234_567an]);
});

test("no more are taken than fit, and none by a ring that has failed: nothing was sent by it", () => {
  const ring = new ScriptedRing();
  const sends = new SendRing(ring);
  const memory = Buffer.alloc(100);
  const { took, of } = senders();
  const taken = Array.from({ length: 70 }, (_, i) => sends.add(of(`${i}`), i, memory, 0, 10));
  expect(taken.filter(Boolean).length).toBe(64);
  ring.works = false;
  sends.send();
  expect(took.length).toBe(64);
  expect(took.every(([, bytes]) => bytes === 0)).toBe(true);
  expect(sends.add(of("late"), 1, memory, 0, 10)).toBe(false);
});
