import type { Duplex } from "node:stream";

/** No frame is larger: a full state is sent as many deltas. Bytes. */
const maxFrame = 64 << 20;

/** A message as one frame: 4 bytes of length (big endian), then JSON. */
export function encodeFrame(message: unknown): Uint8Array {
  const body = Buffer.from(JSON.stringify(message));
  const head = Buffer.allocUnsafe(4);
  head.writeUInt32BE(body.length);
  return Buffer.concat([head, body]);
}

/** Calls `onMessage` for each whole frame that arrives; destroys the stream when a length is out of bounds. */
export function readFrames(stream: Duplex, onMessage: (message: unknown) => void): void {
  let chunks: Buffer[] = [];
  let have = 0;
  let want = -1;
  stream.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    have += chunk.length;
    for (;;) {
      if (want < 0) {
        if (have < 4) return;
        const all = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
        want = all.readUInt32BE();
        if (want > maxFrame) {
          stream.destroy(new Error(`frame of ${want} bytes`));
          return;
        }
        chunks = [all.subarray(4)];
        have -= 4;
      }
      if (have < want) return;
      const all = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
      const body = all.subarray(0, want);
      chunks = [all.subarray(want)];
      have -= want;
      want = -1;
      onMessage(JSON.parse(body.toString()));
    }
  });
}
