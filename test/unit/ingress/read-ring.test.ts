import { closeSync, openSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { slotBytes, slots } from "../../../ingress/upstream/read-buffer.ts";
import { ReadRing, type RingRead, type RingReader } from "../../../ingress/upstream/read-ring.ts";
import { PollRing } from "../../../src/kernel/io-ring.ts";
import { Readiness } from "../../../src/kernel/readiness.ts";
import { ScriptedKernel } from "./scripted-kernel.ts";

const EBADF = 9;
const EAGAIN = 11;
const EINTR = 4;
const ECONNRESET = 104;
const ECANCELED = 125;
/** linux/eventpoll.h */
const EPOLLIN = 1;
const EPOLLRDHUP = 0x2000;
const EPOLL_CTL_ADD = 1;
const eventCells = process.arch === "x64" ? 3 : 4;

const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

/** A descriptor whose end is all there is to read of it. */
function ended(): number {
  const fd = openSync("/dev/null", "r");
  open.push(() => closeSync(fd));
  return fd;
}

/** Sockets of a kernel that does what the test says: which of them have something new, and what a receive of each gives. */
class Sockets {
  readonly kernel = new ScriptedKernel();
  readonly ring: ReadRing;
  readonly said: string[] = [];
  /** Descriptors that epoll is asked about, by their key. */
  readonly watched = new Map<number, number>();
  /** The event loop is to be woken. */
  awaits = 0;
  canAwait = true;
  readonly wake = { onWake: () => {}, ref: () => {}, unref: () => {} };
  readonly #ready: { readonly descriptor: number; readonly ends: boolean }[] = [];
  #events: Int32Array = new Int32Array(0);
  #asked: Int32Array = new Int32Array(0);

  constructor() {
    this.kernel.base = 0n;
    const calls = {
      addressOf: (memory: Uint8Array): bigint => {
        const cells = new Int32Array(memory.buffer, memory.byteOffset, memory.byteLength / 4);
        if (cells.length > eventCells) this.#events = cells;
        else this.#asked = cells;
        return 0n;
      },
      epoll_ctl: (_: number, what: number, descriptor: number) => this.#control(what, descriptor),
      epoll_wait: (_: number, __: bigint, most: number) => this.#wait(most),
    };
    const poll = new PollRing(
      {
        rings: new Int32Array(4),
        calls: new Int32Array(64 * 16),
        callsTail: 0,
        outcomesHead: 1,
        outcomesTail: 2,
        outcomes: 3,
        outcomesMask: 0,
      },
      { enter: () => (this.canAwait ? ++this.awaits && 1 : 0), addressOf: () => 0n },
    );
    this.ring = new ReadRing(this.kernel.ring, new Readiness(3, poll, calls), {
      wake: this.wake,
      endTurn: () => void this.said.push("turn"),
    });
  }

  #control(what: number, descriptor: number): number {
    if (descriptor < 0) return -1;
    if (what !== EPOLL_CTL_ADD) this.watched.delete(descriptor);
    else this.watched.set(descriptor, this.#asked[eventCells === 3 ? 1 : 2] ?? -1);
    return 0;
  }

  #wait(most: number): number {
    const told = this.#ready.splice(0, most).filter(({ descriptor }) => this.watched.has(descriptor));
    for (const [i, { descriptor, ends }] of told.entries()) {
      this.#events[i * eventCells] = EPOLLIN | (ends ? EPOLLRDHUP : 0);
      this.#events[i * eventCells + (eventCells === 3 ? 1 : 2)] = this.watched.get(descriptor) ?? -1;
    }
    return told.length;
  }

  add(
    name: string,
    descriptor: number,
    o: { readonly onBytes?: () => void } = {},
  ): { reader: RingReader & { isOpen: boolean; wantsBytes: boolean }; read: RingRead } {
    const reader = {
      isOpen: true,
      wantsBytes: true,
      onBytes: (bytes: Buffer) => {
        this.said.push(`${name} ${bytes.length} ${bytes.toString("latin1", 0, 2)}`);
        o.onBytes?.();
      },
      onReadEnd: () => void this.said.push(`${name} end`),
      onReadError: (code: number) => void this.said.push(`${name} error ${code}`),
    };
    const read = this.ring.add(reader, descriptor);
    if (read === undefined) throw new Error(`${name} is not read by the ring`);
    return { reader, read };
  }

  /** These have something new; the event loop goes round until it sleeps. */
  async turn(ready: readonly (number | { readonly ended: number })[]): Promise<readonly string[]> {
    for (const r of ready) this.#ready.push(typeof r === "number" ? { descriptor: r, ends: false } : { descriptor: r.ended, ends: true });
    this.said.length = 0;
    this.wake.onWake();
    for (let i = 0; i < 6; i++) await new Promise((resolve) => setImmediate(resolve));
    return this.said.filter((s) => s !== "turn");
  }

  /** What a receive gives: a text, which is put where it is to be received, or a number. */
  gives(script: Readonly<Record<number, string | number>>): void {
    this.kernel.outcome = (descriptor, bytes, address) => {
      const given = script[descriptor] ?? -EAGAIN;
      return typeof given === "number" ? given : slots.write(given.slice(0, bytes), Number(address), "latin1");
    };
  }
}

/** The number of a descriptor that nobody has: who reads it otherwise than by the ring gets an error. */
const nobody = 1_000_100;

test.for<[name: string, script: Readonly<Record<number, string | number>>, said: readonly string[], watched: readonly number[]]>([
  ["short reads, each of its own", { 7: "ab", 8: "cde", 9: "f" }, ["7 2 ab", "8 3 cd", "9 1 f"], [7, 8, 9]],
  ["nothing there after all", { 7: "ab", 8: -EAGAIN, 9: -EINTR }, ["7 2 ab"], [7, 8, 9]],
  ["an end", { 7: 0, 8: "cd" }, ["7 end", "8 2 cd"], [8, 9]],
  [
    "errors: a reset, and a call that was cancelled",
    { 7: -ECONNRESET, 8: -ECANCELED, 9: "f" },
    [`7 error -104`, "8 error -125", "9 1 f"],
    [9],
  ],
])("what came on many is read by one call: %s", async ([, script, said, watched]) => {
  const sockets = new Sockets();
  for (const fd of [7, 8, 9]) sockets.add(`${fd}`, fd);
  await sockets.turn([]);
  sockets.gives(script);
  expect(await sockets.turn([7, 8, 9])).toEqual(said);
  expect(sockets.kernel.made.map((calls) => calls.map((c) => [c.descriptor, Number(c.address), c.bytes]))).toEqual([
    [7, 8, 9].map((fd, i) => [fd, i * slotBytes, slotBytes]),
  ]);
  expect([...sockets.watched.keys()]).toEqual(watched);
});

test.for<[name: string, given: string | number, ready: (fd: number) => number | { readonly ended: number }, said: readonly string[]]>([
  ["a slot that is full has more behind it", "x".repeat(slotBytes), (fd) => fd, [`a ${slotBytes} xx`, "a end"]],
  ["an end that was told of with the last bytes", "bye", (fd) => ({ ended: fd }), ["a 3 by", "a end"]],
  ["a short read says that there is no more", "hi", (fd) => fd, ["a 2 hi"]],
])("what is behind what was read is read without being told of: %s", async ([, given, ready, said]) => {
  const sockets = new Sockets();
  const fd = ended();
  sockets.add("a", fd);
  await sockets.turn([]);
  sockets.gives({ [fd]: given });
  expect(await sockets.turn([ready(fd)])).toEqual(said);
});

test("more than are told of at a time: the others have their turn, and no call is larger than the ring", async () => {
  const sockets = new Sockets();
  const all = Array.from({ length: 150 }, (_, i) => 100 + i);
  for (const fd of all) sockets.add(`${fd}`, fd);
  await sockets.turn([]);
  sockets.gives(Object.fromEntries(all.map((fd) => [fd, "x"])));
  expect(await sockets.turn(all)).toEqual(all.map((fd) => `${fd} 1 x`));
  expect(sockets.kernel.made.map((calls) => calls.length)).toEqual([64, 64, 22]);
});

test("calls that were not made, as where outcomes have no room: what they should have read is read otherwise, and the ring is used no more", async () => {
  const sockets = new Sockets();
  const fd = ended();
  sockets.add("a", 7);
  sockets.add("b", fd);
  sockets.add("c", nobody);
  await sockets.turn([]);
  sockets.gives({ 7: "ab", [fd]: "never", [nobody]: "never" });
  sockets.kernel.most = 1;
  const said = await sockets.turn([7, fd, nobody]);
  expect(said.slice(0, 1)).toEqual(["a 2 ab"]);
  expect(said.filter((s) => !s.startsWith("a "))).toEqual(["b end", `c error -${EBADF}`]);
  expect(sockets.kernel.made).toHaveLength(1);
});

test("who wants nothing is left out until it is watched again", async () => {
  const sockets = new Sockets();
  const { reader, read } = sockets.add("a", 7);
  await sockets.turn([]);
  sockets.gives({ 7: "ab" });
  reader.wantsBytes = false;
  expect(await sockets.turn([7])).toEqual([]);
  expect([[...sockets.watched.keys()], sockets.kernel.made]).toEqual([[], []]);
  reader.wantsBytes = true;
  sockets.ring.watch(read);
  expect(await sockets.turn([7])).toEqual(["a 2 ab"]);
});

test("one that is closed by what was read before in the same turn is asked for nothing more, and its number is not touched", async () => {
  const sockets = new Sockets();
  const fd = ended();
  const b = sockets.add("b", fd);
  const full = "x".repeat(slotBytes);
  sockets.add("a", 7, {
    onBytes: () => {
      b.reader.isOpen = false;
      sockets.ring.forget(b.read);
      sockets.ring.forget(b.read);
    },
  });
  await sockets.turn([]);
  sockets.gives({ [fd]: full, 7: "ab" });
  // b is to be read again, and is closed before that
  expect(await sockets.turn([fd, 7])).toEqual([`b ${slotBytes} xx`, "a 2 ab"]);
  expect(sockets.watched.has(fd)).toBe(true);
  // its place is another's, who hears of its own socket only
  sockets.watched.delete(fd);
  sockets.add("c", 9);
  sockets.add("d", 10);
  sockets.gives({ 9: "cd", 10: "ef" });
  expect(await sockets.turn([fd, 9, 10])).toEqual(["c 2 cd", "d 2 ef"]);
});

test("what is to be said leaves before a turn's reads; the loop sleeps when nothing is to be read, and looks by itself where it cannot be woken", async () => {
  const sockets = new Sockets();
  sockets.add("a", 7);
  await sockets.turn([]);
  const slept = sockets.awaits;
  expect(slept).toBeGreaterThan(0);
  sockets.gives({ 7: "ab" });
  await sockets.turn([7]);
  expect(sockets.said.slice(0, 2)).toEqual(["turn", "a 2 ab"]);
  expect(sockets.awaits).toBe(slept + 1);
  sockets.canAwait = false;
  await sockets.turn([]);
  expect(sockets.said.length).toBeGreaterThan(2);
  sockets.canAwait = true;
  await sockets.turn([]);
});

test("a descriptor that cannot be waited for is not read by the ring", () => {
  const sockets = new Sockets();
  const reader: RingReader = { isOpen: true, wantsBytes: true, onBytes: () => {}, onReadEnd: () => {}, onReadError: () => {} };
  expect(sockets.ring.add(reader, -1)).toBeUndefined();
  expect(sockets.watched.size).toBe(0);
});
