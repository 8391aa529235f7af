import type { SendRing } from "./send-ring.ts";
import { TurnText } from "./turn-text.ts";

/** Something that has bytes to send at the end of this turn. */
export interface TurnWriter {
  /** Must not throw. */
  endTurn(): void;
  /** Adds what it has to send to the ring. False: it has to be told of the end of the turn. Calls nobody else. */
  sendBy?(ring: SendRing): boolean;
}

/** Bytes that follow text of the same turn leave with it, up to so many. */
export const joinedBytes = 8 * 1024;

/** Connections that wait for the end of a turn; more than so many are not made to wait. */
const most = 64;

/** So many are worth a call of the ring. */
const fewest = 2;

/**
 * Small writes of one turn of the event loop leave together at its end. Measured with 64 connections of one client thread, in
 * eight alternating pairs: the kernel's part of a request is 8–12 µs so, and 17–22 µs where each write leaves at once.
 */
export class TurnWrites {
  /** For those who have it ready to be written; who adds to it must be among the writers of this turn. */
  readonly text = new TurnText();
  readonly #ring: SendRing | undefined;
  #due: TurnWriter[] = [];
  readonly #end = (): void => this.flush();

  constructor(ring?: SendRing) {
    this.#ring = ring;
  }

  add(writer: TurnWriter): void {
    if (this.#due.length === 0) setImmediate(this.#end);
    this.#due.push(writer);
    if (this.#due.length >= most) this.flush();
  }

  /** Sends what waits for the end of the turn. */
  flush(): void {
    const due = this.#due;
    this.#due = [];
    const ring = this.#ring;
    if (ring === undefined || due.length < fewest) for (const writer of due) writer.endTurn();
    else sendTogether(due, ring);
    // a writer that was told of room may have said something more
    if (this.#due.length === 0) this.text.clear();
  }
}

/** What others do at the end of a turn comes after all is sent that is with the ring: they may close its sockets. */
function sendTogether(due: readonly TurnWriter[], ring: SendRing): void {
  let others: TurnWriter[] | undefined;
  for (const writer of due) {
    if (writer.sendBy?.(ring) === true) continue;
    others ??= [];
    others.push(writer);
  }
  ring.send();
  if (others !== undefined) for (const writer of others) writer.endTurn();
}
