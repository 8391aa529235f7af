import { expect, test } from "vitest";
import { SendRing } from "../../../ingress/upstream/send-ring.ts";
import { ScriptedKernel } from "./scripted-kernel.ts";

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
