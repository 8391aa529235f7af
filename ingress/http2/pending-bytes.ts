/** Memory for what has to wait, lent in blocks of one size. */
export interface BlockSource {
  takeBlock(): Buffer;
  giveBlock(block: Buffer): void;
}

/** Shorter ones are not worth a block. */
const leastLent = 4 * 1024;

interface Piece {
  readonly bytes: Buffer;
  /** Absent: the bytes have memory of their own. */
  readonly block?: Buffer;
}

/** Copies of what one stream has to send, in order. */
export class PendingBytes {
  readonly #source: BlockSource;
  readonly #pieces: Piece[] = [];
  /** Of the first piece, sent already. */
  #sent = 0;
  #bytes = 0;

  constructor(source: BlockSource) {
    this.#source = source;
  }

  get bytes(): number {
    return this.#bytes;
  }

  append(bytes: Buffer): void {
    this.#bytes += bytes.length;
    for (let at = 0; at < bytes.length; ) {
      const left = bytes.length - at;
      if (left < leastLent) {
        this.#pieces.push({ bytes: Buffer.from(bytes.subarray(at)) });
        return;
      }
      const block = this.#source.takeBlock();
      const part = bytes.copy(block, 0, at);
      this.#pieces.push({ bytes: block.subarray(0, part), block });
      at += part;
    }
  }

  /** What is next: no longer than a frame may be. */
  first(): Buffer | undefined {
    const first = this.#pieces[0]?.bytes;
    return this.#sent === 0 ? first : first?.subarray(this.#sent);
  }

  /** So many bytes of the first have been written. */
  consume(bytes: number): void {
    const [first] = this.#pieces;
    if (first === undefined) return;
    this.#bytes -= bytes;
    this.#sent += bytes;
    if (this.#sent < first.bytes.length) return;
    this.#pieces.shift();
    this.#sent = 0;
    if (first.block !== undefined) this.#source.giveBlock(first.block);
  }

  clear(): void {
    for (const { block } of this.#pieces.splice(0)) if (block !== undefined) this.#source.giveBlock(block);
    this.#sent = 0;
    this.#bytes = 0;
  }
}
