import { createRequire } from "node:module";

/** So many calls fit. */
export const ringEntries = 64;

// the same numbers on x86-64 and arm64
const systemCalls = { setup: 425, enter: 426 } as const;
const IORING_SETUP_SUBMIT_ALL = 1 << 7;
const IORING_ENTER_GETEVENTS = 1;
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

/** Where in an io_uring's memory, which is shared with the kernel, what lies: cells of 32 bits. */
interface RingMemory {
  readonly rings: Int32Array;
  readonly calls: Int32Array;
  readonly callsTail: number;
  readonly outcomesHead: number;
  readonly outcomesTail: number;
  readonly outcomes: number;
  readonly outcomesMask: number;
}

/** Makes many system calls by one. Only such as never wait: each is over when `make` returns. */
export class IoRing {
  /** Room for the next calls, callCells each. */
  readonly calls: Int32Array;
  /** Where memory lies that is not moved; good for as long as it is referenced. */
  readonly addressOf: (memory: Uint8Array) => bigint;
  readonly #memory: RingMemory;
  readonly #enter: (submit: number, wait: number) => number;

  constructor(memory: RingMemory, enter: (submit: number, wait: number) => number, addressOf: (memory: Uint8Array) => bigint) {
    this.calls = memory.calls;
    this.addressOf = addressOf;
    this.#memory = memory;
    this.#enter = enter;
  }

  /** Where in `calls` the one is so many places behind those that were made. */
  cellOf(place: number): number {
    const { rings, callsTail } = this.#memory;
    return (((rings[callsTail] ?? 0) + place) & (ringEntries - 1)) * callCells;
  }

  /** Makes the next `count` calls; the outcome of each goes where its user data says. False: something was not made, and nothing can be any more. */
  make(count: number, outcomes: Int32Array): boolean {
    const { rings, callsTail, outcomesHead, outcomesTail, outcomes: first, outcomesMask } = this.#memory;
    Atomics.store(rings, callsTail, ((rings[callsTail] ?? 0) + count) | 0);
    const made = this.#enter(count, count);
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

/** Undefined where there is no io_uring, or none for this process: another system, a filter of system calls, `kernel.io_uring_disabled`. */
export function openIoRing(): IoRing | undefined {
  if (process.platform !== "linux" || (process.arch !== "x64" && process.arch !== "arm64")) return undefined;
  try {
    const koffi = createRequire(import.meta.url)("koffi") as typeof import("koffi");
    const lib = koffi.load("libc.so.6");
    const setup = lib.func("int64_t syscall(int64_t, uint32_t, _Inout_ uint8_t *)");
    const enter = lib.func("int64_t syscall(int64_t, int, uint32_t, uint32_t, uint32_t, uintptr_t, size_t)");
    const map = lib.func("void *mmap(uintptr_t, size_t, int, int, int, int64_t)");
    const layout = Buffer.alloc(paramsBytes);
    layout.writeUInt32LE(IORING_SETUP_SUBMIT_ALL, params.flags);
    const descriptor = Number(setup(systemCalls.setup, ringEntries, layout));
    if (descriptor < 0) return undefined;
    const mapped = (bytes: number, offset: number): Int32Array =>
      new Int32Array(koffi.view(map(0, bytes, PROT_READ_WRITE, MAP_SHARED_POPULATE, descriptor, offset), bytes));
    return new IoRing(
      memoryOf(layout, mapped),
      (submit, wait) => Number(enter(systemCalls.enter, descriptor, submit, wait, IORING_ENTER_GETEVENTS, 0, 0)),
      (memory) => BigInt(koffi.address(memory)),
    );
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
