import { connect, type Socket } from "node:net";
import { printHostPort } from "../../src/base/ip.ts";
import { encodeMessage, type Message } from "../wire/message.ts";
import { UpstreamError } from "./errors.ts";
import { matchAnswer } from "./match-answer.ts";
import type { UpstreamAddress } from "./upstream.ts";

interface Waiting {
  readonly query: Message;
  readonly resolve: (m: Message) => void;
  readonly reject: (error: unknown) => void;
}

const idleTimeout = 10_000;

/** One connection to an upstream, opened when it is first needed, kept for the next questions, several at once. */
export class TcpConnection {
  readonly #to: UpstreamAddress;
  #socket: Socket | undefined;
  #pending: Buffer = Buffer.alloc(0);
  readonly #waiting = new Map<number, Waiting>();

  constructor(to: UpstreamAddress) {
    this.#to = to;
  }

  /** The id is changed where another question with the same one is on its way. */
  exchange(query: Message, signal: AbortSignal): Promise<Message> {
    if (signal.aborted) return Promise.reject(signal.reason);
    let id = query.id;
    while (this.#waiting.has(id)) id = (id + 1) & 0xffff;
    const sent = { ...query, id };
    return new Promise<Message>((resolve, reject) => {
      const stop = (): void => {
        this.#waiting.delete(id);
        reject(signal.reason);
      };
      signal.addEventListener("abort", stop, { once: true });
      const done = (): void => signal.removeEventListener("abort", stop);
      this.#waiting.set(id, {
        query: sent,
        resolve: (m) => {
          done();
          resolve({ ...m, id: query.id });
        },
        reject: (error) => {
          done();
          reject(error);
        },
      });
      const bytes = encodeMessage(sent);
      const framed = Buffer.allocUnsafe(2 + bytes.length);
      framed.writeUInt16BE(bytes.length);
      framed.set(bytes, 2);
      this.#open().write(framed);
    });
  }

  close(): void {
    this.#fail(new UpstreamError("closed", printHostPort(this.#to.ip, this.#to.port)));
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  #open(): Socket {
    if (this.#socket !== undefined && !this.#socket.destroyed && this.#socket.writable) return this.#socket;
    const socket = connect({ host: this.#to.ip, port: this.#to.port, noDelay: true });
    this.#socket = socket;
    this.#pending = Buffer.alloc(0);
    let cause: unknown;
    socket.setTimeout(idleTimeout, () => socket.destroy());
    socket.on("error", (error) => {
      cause = error;
    });
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("end", () => socket.destroy());
    socket.on("close", () => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      this.#fail(new UpstreamError("unreachable", printHostPort(this.#to.ip, this.#to.port), cause));
    });
    return socket;
  }

  #read(chunk: Buffer): void {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    while (this.#pending.length >= 2) {
      const length = this.#pending.readUInt16BE();
      if (this.#pending.length < 2 + length) return;
      const bytes = this.#pending.subarray(2, 2 + length);
      this.#pending = this.#pending.subarray(2 + length);
      const id = length < 2 ? -1 : bytes.readUInt16BE();
      const waiting = this.#waiting.get(id);
      if (waiting === undefined) continue;
      const answer = matchAnswer(waiting.query, bytes);
      this.#waiting.delete(id);
      if (answer === undefined) waiting.reject(new UpstreamError("bad-answer", printHostPort(this.#to.ip, this.#to.port)));
      else waiting.resolve(answer);
    }
  }

  #fail(error: UpstreamError): void {
    const waiting = Array.from(this.#waiting.values());
    this.#waiting.clear();
    for (const w of waiting) w.reject(error);
  }
}
