import type { Socket } from "node:dgram";
import type { Ip } from "../../src/base/ip.ts";
import { batchSize, type DatagramBatch } from "./datagram-batch.ts";

/** Who gets a datagram. */
export interface DatagramPeer {
  readonly ip: Ip;
  readonly port: number;
  /** As the system writes it, where a batch has read it. */
  readonly address?: Uint8Array;
}

interface LateAnswer {
  readonly bytes: Uint8Array;
  readonly to: DatagramPeer;
}

/** How a socket's answers are sent many at once. */
export interface BatchSending {
  readonly fd: number;
  readonly batch: DatagramBatch;
}

/**
 * Answers that were not known at once, sent together at the end of the turn in which they come: one system call for many, and clients
 * that wait are woken once and not for each. That costs more than all else of sending.
 */
export class LateAnswers {
  readonly #socket: Socket;
  readonly #sending: BatchSending | undefined;
  #waiting: LateAnswer[] = [];

  constructor(socket: Socket, sending: BatchSending | undefined) {
    this.#socket = socket;
    this.#sending = sending;
  }

  add(bytes: Uint8Array, to: DatagramPeer): void {
    if (this.#waiting.push({ bytes, to }) === 1) setImmediate(() => this.end());
  }

  /** Sends what there is. */
  end(): void {
    const answers = this.#waiting;
    this.#waiting = [];
    let queued = 0;
    for (const answer of answers) {
      if (this.#queue(answer, queued)) queued++;
      else this.#socket.send(answer.bytes, answer.to.port, answer.to.ip);
      if (queued === batchSize) queued = this.#send();
    }
    if (queued > 0) this.#send();
  }

  #queue({ bytes, to }: LateAnswer, slot: number): boolean {
    if (this.#sending === undefined || to.address === undefined) return false;
    const { batch } = this.#sending;
    const room = batch.answer(slot);
    if (bytes.length > room.length) return false;
    room.set(bytes);
    batch.setAddress(slot, to.address);
    batch.queue(slot, bytes.length);
    return true;
  }

  #send(): number {
    this.#sending?.batch.send(this.#sending.fd);
    return 0;
  }
}
