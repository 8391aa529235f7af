/** Many values side by side in one piece of memory. */
interface Block {
  readonly bytes: Uint8Array;
  used: number;
  /** Bytes of values that are still wanted. */
  live: number;
}

/** Where a value stands. */
export interface Place {
  readonly block: Block;
  readonly at: number;
  readonly size: number;
}

const smallest = 8 << 10;
const largest = 256 << 10;
/** So much may be wasted whatever is in use. */
const slack = 256 << 10;

/**
 * Values of a few hundred bytes to a few KiB in blocks: an ArrayBuffer each would cost 350 bytes more and leave holes all over
 * the heap. What is freed is never written to again, since an answer on its way may still read it: a block goes when nobody
 * refers to it any more.
 */
export class ByteArena {
  #current: Block | undefined;
  #adopted: Block | undefined;
  /** Of all blocks that hold something wanted. */
  #used = 0;
  #live = 0;

  put(value: Uint8Array): Place {
    const size = value.length;
    let block = this.#current;
    if (block === undefined || block.bytes.length - block.used < size) {
      block = { bytes: new Uint8Array(Math.max(size, this.#blockSize())), used: 0, live: 0 };
      // A value that fills a block alone leaves the rest of the current one to smaller ones.
      if (block.bytes.length > size) this.#begin(block);
    }
    const at = block.used;
    block.bytes.set(value, at);
    block.used += size;
    block.live += size;
    this.#used += size;
    this.#live += size;
    return { block, at, size };
  }

  /** Takes over a value as it stands among others, which are given one after the other. */
  adopt(value: Uint8Array): Place {
    let block = this.#adopted;
    if (block?.bytes.buffer !== value.buffer) block = { bytes: new Uint8Array(value.buffer), used: 0, live: 0 };
    this.#adopted = block;
    const size = value.length;
    block.used += size;
    block.live += size;
    this.#used += size;
    this.#live += size;
    return { block, at: value.byteOffset, size };
  }

  free({ block, size }: Place): void {
    block.live -= size;
    this.#live -= size;
    if (block !== this.#current) this.#forget(block);
  }

  /** Whether it is time to collect: a fifth of what is held is not wanted. */
  get sparse(): boolean {
    return this.#used - this.#live > Math.max(slack, this.#live / 4);
  }

  /** Moves what stands in the emptier blocks together, so that those blocks can go. `values` are all that are wanted. */
  collect(values: Iterable<{ readonly place: Place; move(place: Place): void }>): void {
    const share = this.#live / this.#used;
    this.#begin(undefined);
    for (const value of values) {
      const { place } = value;
      if (place.block.live > place.block.used * share) continue;
      value.move(this.put(bytesAt(place)));
      this.free(place);
    }
  }

  #begin(block: Block | undefined): void {
    const last = this.#current;
    this.#current = block;
    if (last !== undefined) this.#forget(last);
  }

  /** A block that holds nothing wanted any more. */
  #forget(block: Block): void {
    if (block.live === 0) this.#used -= block.used;
  }

  #blockSize(): number {
    let size = smallest;
    while (size < largest && size < this.#used >> 2) size *= 2;
    return size;
  }
}

/** A value in memory of its own, which nobody has to free. */
export function ownPlace(value: Uint8Array): Place {
  return { block: { bytes: value, used: value.length, live: value.length }, at: 0, size: value.length };
}

export function bytesAt({ block, at, size }: Place): Uint8Array {
  return block.bytes.subarray(at, at + size);
}
