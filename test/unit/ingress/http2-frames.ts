import { connect, type Socket } from "node:net";

/** Frames by hand: RFC 9113 section 4.1. */
export const http2Preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export { frameType } from "../../../ingress/http2/frames.ts";

export function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A header as a literal without indexing, without Huffman (RFC 7541 section 6.2.2); both shorter than 127 bytes. */
export function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)]);
}

/** GET / of a.test over http; `over` takes the place of what has the same name, and comes after it when it is new. */
export function requestFields(over: readonly (readonly [name: string, value: string])[] = []): Buffer {
  const usual: [string, string][] = [
    [":method", "GET"],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", "a.test"],
  ];
  const replaced = usual.map(([name, value]) => [name, over.find(([n]) => n === name)?.[1] ?? value] as const);
  const added = over.filter(([name]) => !usual.some(([n]) => n === name));
  return Buffer.concat([...replaced, ...added].map(([name, value]) => literal(name, value)));
}

export interface HeardFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** The whole frames of these bytes, and what follows them. */
export function readFrames(bytes: Buffer): { readonly frames: readonly HeardFrame[]; readonly rest: Buffer } {
  const frames: HeardFrame[] = [];
  let rest = bytes;
  for (;;) {
    const length = rest.length < 9 ? Number.POSITIVE_INFINITY : rest.readUIntBE(0, 3);
    if (rest.length < 9 + length) return { frames, rest };
    const [type = 0, flags = 0] = rest.subarray(3, 5);
    frames.push({ type, flags, stream: rest.readUInt32BE(5) & 0x7fff_ffff, payload: rest.subarray(9, 9 + length) });
    rest = rest.subarray(9 + length);
  }
}

/** A client that sends frames as they are given, and hears them one by one. */
export class FrameClient {
  readonly socket: Socket;
  readonly heard: HeardFrame[] = [];
  closed = false;
  #bytes: Buffer = Buffer.alloc(0);
  #wake: (() => void)[] = [];

  constructor(port: number) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.on("error", () => undefined);
    this.socket.on("data", (bytes: Buffer) => this.#read(bytes));
    this.socket.on("close", () => {
      this.closed = true;
      this.#tell();
    });
  }

  send(...frames: readonly Buffer[]): this {
    this.socket.write(Buffer.concat(frames));
    return this;
  }

  /** The first frame heard, of now or later, that passes; undefined once the connection is closed without one. */
  async until(test: (f: HeardFrame) => boolean): Promise<HeardFrame | undefined> {
    for (;;) {
      const found = this.heard.find(test);
      if (found !== undefined || this.closed) return found;
      await new Promise<void>((resolve) => void this.#wake.push(resolve));
    }
  }

  #read(bytes: Buffer): void {
    const { frames, rest } = readFrames(Buffer.concat([this.#bytes, bytes]));
    this.heard.push(...frames);
    this.#bytes = rest;
    this.#tell();
  }

  #tell(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
