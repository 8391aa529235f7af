/** As long as a frame of HTTP/2 may be. */
const blockBytes = 16 * 1024;
/** Blocks that wait for their next use: 4 MiB. */
const mostSpare = 256;

const spare: Buffer[] = [];
const lent = new WeakSet<ArrayBufferLike>();

/** Memory for bytes that have to wait; fresh memory for each would keep the collector busy. */
export function takeBlock(): Buffer {
  const block = spare.pop();
  if (block !== undefined) return block;
  const fresh = Buffer.allocUnsafeSlow(blockBytes);
  lent.add(fresh.buffer);
  return fresh;
}

/** Its bytes were written, or nobody wants them. */
export function giveBlock(block: Buffer): void {
  if (spare.length < mostSpare) spare.push(block);
}

/** What stands there may be something else soon. */
export function isLent(memory: ArrayBufferLike): boolean {
  return lent.has(memory);
}
