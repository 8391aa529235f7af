import type { Socket } from "node:net";

/**
 * How many of the bytes are read and done with; `more`: too few to tell; `refused`: the connection is closed. `fresh` are those
 * that came since it was asked last.
 */
export type FirstBytesJudge = (seen: Buffer, fresh: Buffer) => number | "more" | "refused";

/**
 * Looks at the first bytes of a connection and leaves those that are not done with where they were, for who reads next. They
 * have so long all together, not each.
 */
export function readFirstBytes(socket: Socket, withinMs: number, judge: FirstBytesJudge, done: () => void): void {
  let seen = Buffer.alloc(0);
  const refuse = (): void => void socket.destroy();
  const look = (): void => {
    const before = seen.length;
    for (;;) {
      const chunk: unknown = socket.read();
      if (!Buffer.isBuffer(chunk)) break;
      seen = Buffer.concat([seen, chunk]);
    }
    const used = judge(seen, seen.subarray(before));
    if (used === "more") return;
    socket.off("readable", look);
    clearTimeout(timer);
    if (used === "refused") {
      refuse();
      return;
    }
    if (seen.length > used) socket.unshift(seen.subarray(used));
    done();
  };
  const timer = setTimeout(refuse, withinMs).unref();
  socket.once("close", () => clearTimeout(timer));
  socket.on("readable", look);
}
