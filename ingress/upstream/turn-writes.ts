import { TurnText } from "./turn-text.ts";

/** Something that has bytes to send at the end of this turn. */
export interface TurnWriter {
  /** Must not throw. */
  endTurn(): void;
}

/** Bytes that follow text of the same turn leave with it, up to so many. */
export const joinedBytes = 8 * 1024;

/** Connections that wait for the end of a turn; more than so many are not made to wait. */
const most = 64;

/**
 * Small writes of one turn of the event loop leave together at its end. Measured with 64 connections of one client thread, in
 * eight alternating pairs: the kernel's part of a request is 8–12 µs so, and 17–22 µs where each write leaves at once.
 */
export class TurnWrites {
  /** For those who have it ready to be written; who adds to it must be among the writers of this turn. */
  readonly text = new TurnText();
  #due: TurnWriter[] = [];
  readonly #end = (): void => this.#flush();

  add(writer: TurnWriter): void {
    if (this.#due.length === 0) setImmediate(this.#end);
    this.#due.push(writer);
    if (this.#due.length >= most) this.#flush();
  }

  #flush(): void {
    const due = this.#due;
    this.#due = [];
    for (const writer of due) writer.endTurn();
    // a writer that was told of room may have said something more
    if (this.#due.length === 0) this.text.clear();
  }
}
