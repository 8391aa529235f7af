import type { ByteOutlet } from "../http2/frame-writer.ts";
import type { Connection } from "./connection.ts";
import { giveBlock, takeBlock } from "./lent-memory.ts";
import { joinedBytes, type TurnWriter, TurnWrites } from "./turn-writes.ts";
import { writeLatin1 } from "./wire/latin1.ts";

/** What a session says in one turn of usual size. */
const memoryBytes = 32 * 1024;
const mostSpare = 64;

/** Memory that nobody writes from. */
const spare: Buffer[] = [];
const turn = new TurnWrites();

/**
 * What a session of HTTP/2 says in one turn of the event loop leaves as one write, whatever other connections say in between: its
 * streams answer as their endpoints do, a few bytes each. Long bytes are not copied, and leave at once, with what was said before.
 */
export class TurnOutlet implements ByteOutlet, TurnWriter {
  readonly #connection: Connection;
  #memory: Buffer | undefined;
  /** Of the memory: said, and not yet given to the connection. */
  #from = 0;
  #to = 0;
  #corks = 0;
  #room = true;
  #due = false;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  takeBlock(): Buffer {
    return takeBlock();
  }

  giveBlock(block: Buffer): void {
    giveBlock(block);
  }

  get queuedBytes(): number {
    return this.#connection.queuedBytes + this.#to - this.#from;
  }

  /** Short bytes are copied; those of more than `joinedBytes` must live until the call returns, or until uncork. */
  write(data: Buffer | string): boolean {
    if (data.length > joinedBytes && typeof data !== "string") {
      this.#flush();
      this.#room = this.#connection.write(data);
      return this.#room;
    }
    if (data.length > memoryBytes) return this.#writeLong(data);
    const memory = this.#memoryFor(data.length);
    if (typeof data === "string") writeLatin1(data, memory, this.#to);
    else memory.set(data, this.#to);
    this.#to += data.length;
    if (!this.#due) {
      this.#due = true;
      turn.add(this);
    }
    return this.#room;
  }

  #writeLong(data: Buffer | string): boolean {
    this.#flush();
    this.#room = this.#connection.write(typeof data === "string" ? Buffer.from(data, "latin1") : data);
    return this.#room;
  }

  #memoryFor(bytes: number): Buffer {
    if (this.#memory !== undefined && bytes <= memoryBytes - this.#to) return this.#memory;
    this.#flush();
    this.#release();
    this.#memory = spare.pop() ?? Buffer.allocUnsafeSlow(memoryBytes);
    return this.#memory;
  }

  cork(): void {
    if (this.#corks++ > 0) return;
    this.#flush();
    this.#connection.cork();
  }

  uncork(): void {
    if (--this.#corks > 0) return;
    this.#flush();
    this.#connection.uncork();
  }

  /** The connection has room again. */
  drained(): void {
    this.#room = true;
  }

  endTurn(): void {
    this.#due = false;
    this.#flush();
    this.#release();
  }

  #flush(): void {
    if (this.#memory === undefined || this.#to === this.#from) return;
    const said = this.#memory.subarray(this.#from, this.#to);
    this.#from = this.#to;
    this.#room = this.#connection.write(said);
  }

  /** A write that is under way may still read from it. */
  #release(): void {
    const memory = this.#memory;
    this.#memory = undefined;
    this.#from = 0;
    this.#to = 0;
    if (memory !== undefined && this.#corks === 0 && this.#connection.queuedBytes === 0 && spare.length < mostSpare) spare.push(memory);
  }

  /** What was said goes before the end. */
  end(): void {
    this.endTurn();
    this.#connection.end();
  }
}
