import { openReadRing, type ReadRing } from "./read-ring.ts";
import { openSendRing } from "./send-ring.ts";
import { TurnWrites } from "./turn-writes.ts";

/** What many sockets say, and what is said to them, in one turn passes by one system call each. */
export interface Rings {
  readonly writes: TurnWrites;
  readonly reads: ReadRing;
}

let opened: Rings | "none" | undefined;

/** Those of this thread; undefined where there is no io_uring for this process. */
export function rings(): Rings | undefined {
  opened ??= open() ?? "none";
  return opened === "none" ? undefined : opened;
}

function open(): Rings | undefined {
  const send = openSendRing();
  if (send === undefined) return undefined;
  const writes = new TurnWrites(send);
  const reads = openReadRing(() => writes.flush());
  return reads === undefined ? undefined : { writes, reads };
}
