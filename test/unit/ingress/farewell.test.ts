import { afterEach, expect, test } from "vitest";
import { Farewell } from "../../../ingress/proxy/farewell.ts";
import type { ConnectionFactory } from "../../../ingress/upstream/connection.ts";
import { netConnections } from "../../../ingress/upstream/net-connection.ts";
import { fastClock, get, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

const timeouts = { body: 60, linger: 5 };

test.for<[name: string, left: readonly (readonly [now: number, left: number])[], endsAt: number]>([
  [
    "all is with the kernel: its own end is waited for",
    [
      [4, 0],
      [5, 0],
    ],
    5,
  ],
  [
    "some is left, and none of it goes",
    [
      [0, 9],
      [5, 9],
      [59, 9],
      [60, 9],
    ],
    60,
  ],
  [
    "it goes, slowly",
    [
      [0, 9],
      [59, 8],
      [118, 7],
      [178, 7],
    ],
    178,
  ],
  [
    "it has gone: from then on, its own end",
    [
      [0, 9],
      [59, 0],
      [63, 0],
      [64, 0],
    ],
    64,
  ],
])("%s", ([, looks, endsAt]) => {
  const farewell = new Farewell({ now: 0, left: looks[0]?.[1] ?? 0, timeouts });
  expect(looks.find(([now, left]) => farewell.isOver(now, left))?.[0]).toBe(endsAt);
});

/** Connections of which, as it seems, the client takes one byte at each look, until `stuckAt` are left. */
class SlowlyTaken {
  readonly stuckAt = 5;
  left = 40;
  readonly factory: ConnectionFactory;

  constructor() {
    const real = netConnections((error) => {
      throw error;
    });
    const take = (): number => (this.left > this.stuckAt ? this.left-- : this.left);
    this.factory = {
      ...real,
      listen: (at, accept) => real.listen(at, (c) => accept(Object.defineProperty(c, "queuedBytes", { get: take }))),
    };
  }
}

test.for<[name: string, said: string]>([
  ["HTTP/1, after its last answer", get("/", "Connection: close\r\n") + get()],
  ["HTTP/1, idle for too long", get()],
  ["HTTP/2, idle for too long", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"],
])("who still takes its last answer is not cut off before it stops taking: %s", async ([, said]) => {
  const up = await RawEndpoint.start((r) => r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
  const slow = new SlowlyTaken();
  // a look each half a second of these, of which forty are more than all the times here
  const times = { idle: 2_000, body: 4_000, linger: 1_000 };
  const { ingress, http } = await startLab([up.port], {
    connections: slow.factory,
    clock: fastClock(50),
    config: { timeouts: times, transport: "portable" },
  });
  const c = RawClient.connect(http).send(said);
  open.push(
    () => up.close(),
    () => ingress.close(),
    () => void c.socket.destroy(),
  );
  await c.until((t) => t.length > 0);
  while (!ingress.metrics().includes('_connections{state="active"} 0')) await new Promise((resolve) => setImmediate(resolve));
  expect(slow.left).toBe(slow.stuckAt);
});
