import { createRequire } from "node:module";

/** So many calls fit. */
export const ringEntries = 64;

// the same numbers on x86-64 and arm64
const systemCalls = { setup: 425, enter: 426, register: 427 } as const;
const IORING_SETUP_SUBMIT_ALL = 1 << 7;
const IORING_ENTER_GETEVENTS = 1;
const IORING_REGISTER_EVENTFD = 4;
const IORING_OP_POLL_ADD = 6;
const IORING_OP_SEND = 26;
const IORING_OP_RECV = 27;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const POLLIN = 1;
const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;
const IORING_OFF_SQES = 0x1000_0000;
const PROT_READ_WRITE = 3;
const MAP_SHARED_POPULATE = 0x8001;
/** struct io_uring_params: where it tells the sizes of the rings, and where in their memory what lies. */
const paramsBytes = 120;
const params = { completions: 4, flags: 8, submissionOffsets: 40, completionOffsets: 80 } as const;
const submissionOffsets = { tail: 4, array: 24 } as const;
const completionOffsets = { head: 0, tail: 4, entries: 20 } as const;
/** Cells of 32 bits of a struct io_uring_sqe and of a struct io_uring_cqe. */
const callCells = 16;
const outcomeCells = 4;
/** Cells of a struct io_uring_sqe; those that are not named stay zero. */
const call = { operation: 0, descriptor: 1, addressLow: 4, addressHigh: 5, length: 6, flags: 7, userData: 8 } as const;
const fourGiB = 2 ** 32;

/** Where in an io_uring's memory, which is shared with the kernel, what lies: cells of 32 bits. */
export interface RingMemory {
  readonly rings: Int32Array;
  readonly calls: Int32Array;
  readonly callsTail: number;
  readonly outcomesHead: number;
  readonly outcomesTail: number;
  readonly outcomes: number;
  readonly outcomesMask: number;
}

/** An io_uring's two ways into the kernel, besides its memory. */
interface RingCalls {
  readonly enter: (submit: number, wait: number) => number;
  /** Where memory lies that is not moved; good for as long as it is referenced. */
  readonly addressOf: (memory: Uint8Array) => bigint;
}

/** Sends to, or receives from, many sockets by one system call. None of it waits: each is over when `make` returns. */
export class IoRing {
  readonly #memory: RingMemory;
  readonly #calls: RingCalls;
  #bytes: Uint8Array | undefined;
  #low = 0;
  #high = 0;

  constructor(memory: RingMemory, calls: RingCalls) {
    this.#memory = memory;
    this.#calls = calls;
  }

  /** The call at that place of the next `make` sends a part of memory that is not moved. */
  send(place: number, descriptor: number, memory: Uint8Array, from: number, to: number): void {
    const at = this.#put(place, memory, from, to);
    const { calls } = this.#memory;
    calls[at + call.operation] = IORING_OP_SEND;
    calls[at + call.descriptor] = descriptor;
    calls[at + call.flags] = MSG_DONTWAIT | MSG_NOSIGNAL;
  }

  /** The call at that place of the next `make` receives into a part of memory that is not moved. */
  receive(place: number, descriptor: number, memory: Uint8Array, from: number, to: number): void {
    const at = this.#put(place, memory, from, to);
    const { calls } = this.#memory;
    calls[at + call.operation] = IORING_OP_RECV;
    calls[at + call.descriptor] = descriptor;
    calls[at + call.flags] = MSG_DONTWAIT;
  }

  #put(place: number, memory: Uint8Array, from: number, to: number): number {
    if (memory !== this.#bytes) this.#lookAt(memory);
    const { calls, rings, callsTail } = this.#memory;
    const at = (((rings[callsTail] ?? 0) + place) & (ringEntries - 1)) * callCells;
    const low = this.#low + from;
    calls[at + call.addressLow] = low;
    calls[at + call.addressHigh] = low < fourGiB ? this.#high : this.#high + 1;
    calls[at + call.length] = to - from;
    calls[at + call.userData] = place;
    return at;
  }

  #lookAt(memory: Uint8Array): void {
    const address = this.#calls.addressOf(memory);
    this.#bytes = memory;
    this.#low = Number(BigInt.asUintN(32, address));
    this.#high = Number(address >> 32n);
  }

  /**
   * Makes the next `count` calls; `outcomes` has what each gave: a number of bytes, or a negative error number. False: something was not
   * made, whose outcome is as it was, and this ring can be used no more.
   */
  make(count: number, outcomes: Int32Array): boolean {
    const { rings, callsTail, outcomesHead, outcomesTail, outcomes: first, outcomesMask } = this.#memory;
    Atomics.store(rings, callsTail, ((rings[callsTail] ?? 0) + count) | 0);
    const made = this.#calls.enter(count, count);
    const tail = Atomics.load(rings, outcomesTail);
    let head = rings[outcomesHead] ?? 0;
    const told = (tail - head) | 0;
    for (; head !== tail; head = (head + 1) | 0) {
      const at = first + (head & outcomesMask) * outcomeCells;
      outcomes[rings[at] ?? 0] = rings[at + 2] ?? 0;
    }
    Atomics.store(rings, outcomesHead, head);
    return made === count && told === count;
  }
}

/** Tells the event loop, once for each time it is asked, that a descriptor can be read. */
export class PollRing {
  readonly #memory: RingMemory;
  readonly #calls: RingCalls;

  constructor(memory: RingMemory, calls: RingCalls) {
    this.#memory = memory;
    this.#calls = calls;
  }

  /** The eventfd of the ring counts when it can be read, now or later. False: it cannot be asked. */
  await(descriptor: number): boolean {
    const { calls, rings, callsTail, outcomesHead, outcomesTail } = this.#memory;
    Atomics.store(rings, outcomesHead, Atomics.load(rings, outcomesTail));
    const next = rings[callsTail] ?? 0;
    const at = (next & (ringEntries - 1)) * callCells;
    calls[at + call.operation] = IORING_OP_POLL_ADD;
    calls[at + call.descriptor] = descriptor;
    calls[at + call.flags] = POLLIN;
    Atomics.store(rings, callsTail, (next + 1) | 0);
    if (this.#calls.enter(1, 0) === 1) return true;
    Atomics.store(rings, callsTail, next);
    return false;
  }
}

/** Undefined where there is no io_uring, or none for this process: another system, a filter of system calls, `kernel.io_uring_disabled`. */
export function openIoRing(): IoRing | undefined {
  const ring = openRing();
  return ring === undefined ? undefined : new IoRing(ring.memory, ring);
}

/** With its eventfd, which does not wait. */
export function openPollRing(): { readonly ring: PollRing; readonly eventfd: number } | undefined {
  const ring = openRing();
  const eventfd = ring?.openEventfd() ?? -1;
  return ring === undefined || eventfd < 0 ? undefined : { ring: new PollRing(ring.memory, ring), eventfd };
}

interface OpenRing extends RingCalls {
  readonly memory: RingMemory;
  /** -1: there is none. */
  readonly openEventfd: () => number;
}

function openRing(): OpenRing | undefined {
  if (process.platform !== "linux" || (process.arch !== "x64" && process.arch !== "arm64")) return undefined;
  try {
    const koffi = createRequire(import.meta.url)("koffi") as typeof import("koffi");
    const lib = koffi.load("libc.so.6");
    const setup = lib.func("int64_t syscall(int64_t, uint32_t, _Inout_ uint8_t *)");
    const enter = lib.func("int64_t syscall(int64_t, int, uint32_t, uint32_t, uint32_t, uintptr_t, size_t)");
    const register = lib.func("int64_t syscall(int64_t, int, uint32_t, const uint8_t *, uint32_t)");
    const eventfd = lib.func("int eventfd(uint32_t, int)");
    const map = lib.func("void *mmap(uintptr_t, size_t, int, int, int, int64_t)");
    const layout = Buffer.alloc(paramsBytes);
    layout.writeUInt32LE(IORING_SETUP_SUBMIT_ALL, params.flags);
    const descriptor = Number(setup(systemCalls.setup, ringEntries, layout));
    if (descriptor < 0) return undefined;
    const mapped = (bytes: number, offset: number): Int32Array =>
      new Int32Array(koffi.view(map(0, bytes, PROT_READ_WRITE, MAP_SHARED_POPULATE, descriptor, offset), bytes));
    return {
      memory: memoryOf(layout, mapped),
      enter: (submit, wait) => Number(enter(systemCalls.enter, descriptor, submit, wait, IORING_ENTER_GETEVENTS, 0, 0)),
      addressOf: (memory) => BigInt(koffi.address(memory)),
      openEventfd: () => {
        const opened = Number(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
        const argument = new Uint8Array(Int32Array.of(opened).buffer);
        return Number(register(systemCalls.register, descriptor, IORING_REGISTER_EVENTFD, argument, 1)) === 0 ? opened : -1;
      },
    };
  } catch {
    return undefined;
  }
}

function memoryOf(layout: Buffer, mapped: (bytes: number, offset: number) => Int32Array): RingMemory {
  const submission = (offset: number): number => layout.readUInt32LE(params.submissionOffsets + offset);
  const completion = (offset: number): number => layout.readUInt32LE(params.completionOffsets + offset);
  const completions = layout.readUInt32LE(params.completions);
  const array = submission(submissionOffsets.array);
  const bytes = Math.max(array + ringEntries * 4, completion(completionOffsets.entries) + completions * outcomeCells * 4);
  const rings = mapped(bytes, 0);
  // a call's number is its place
  for (let i = 0; i < ringEntries; i++) rings[array / 4 + i] = i;
  return {
    rings,
    calls: mapped(ringEntries * callCells * 4, IORING_OFF_SQES),
    callsTail: submission(submissionOffsets.tail) / 4,
    outcomesHead: completion(completionOffsets.head) / 4,
    outcomesTail: completion(completionOffsets.tail) / 4,
    outcomes: completion(completionOffsets.entries) / 4,
    outcomesMask: completions - 1,
  };
}
