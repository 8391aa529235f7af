import { connect, type Socket } from "node:net";
import { type Ip, printHostPort } from "../../src/base/ip.ts";
import { encodeMessage, type Message } from "../wire/message.ts";
import { UpstreamError } from "./errors.ts";
import { matchAnswer } from "./match-answer.ts";

interface Waiting {
  readonly query: Message;
  readonly resolve: (m: Message) => void;
  readonly reject: (error: unknown) => void;
}

/** Opens a stream to the upstream, plain or encrypted. */
export type OpenStream = () => Socket;

/** One connection to an upstream, opened when it is first needed, kept for the next questions, several at once. */
export class TcpConnection {
  readonly #where: string;
  readonly #connect: OpenStream;
  /** Milliseconds without traffic after which the connection is closed. */
  readonly #idle: number;
  #socket: Socket | undefined;
  #pending: Buffer = Buffer.alloc(0);
  readonly #waiting = new Map<number, Waiting>();

  constructor(where: string, connect: OpenStream, idle: number) {
    this.#where = where;
    this.#connect = connect;
    this.#idle = idle;
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
    this.#fail(new UpstreamError("closed", this.#where));
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  #open(): Socket {
    if (this.#socket !== undefined && !this.#socket.destroyed && this.#socket.writable) return this.#socket;
    const socket = this.#connect();
    this.#socket = socket;
    this.#pending = Buffer.alloc(0);
    let cause: unknown;
    socket.setTimeout(this.#idle, () => socket.destroy());
    socket.on("error", (error) => {
      cause = error;
    });
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("end", () => socket.destroy());
    socket.on("close", () => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      this.#fail(new UpstreamError("unreachable", this.#where, cause));
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
      if (answer === undefined) waiting.reject(new UpstreamError("bad-answer", this.#where));
      else waiting.resolve(answer);
    }
  }

  #fail(error: UpstreamError): void {
    const waiting = Array.from(this.#waiting.values());
    this.#waiting.clear();
    for (const w of waiting) w.reject(error);
  }
}

/** A connection without encryption, kept for ten idle seconds. */
export function plainConnection(to: { readonly ip: Ip; readonly port: number }): TcpConnection {
  return new TcpConnection(printHostPort(to.ip, to.port), () => connect({ host: to.ip, port: to.port, noDelay: true }), 10_000);
}
