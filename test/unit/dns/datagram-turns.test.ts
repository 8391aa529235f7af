import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { afterEach, expect, test } from "vitest";
import { DatagramTurns } from "../../../dns/server/datagram-turns.ts";
import { InFlight } from "../../../dns/server/in-flight.ts";

const owned: Socket[] = [];
afterEach(() => {
  for (const socket of owned.splice(0)) socket.close();
});

/** A socket whose datagrams come from here, and what was taken of them: each turn as the clients' ports and the first bytes. */
function startTurns(): {
  readonly come: (...bytes: readonly number[]) => void;
  readonly taken: readonly (readonly (readonly [port: number | undefined, byte: number | undefined])[])[];
  readonly turns: DatagramTurns;
} {
  const socket = createSocket("udp4");
  owned.push(socket);
  const taken: (readonly (readonly [number | undefined, number | undefined])[])[] = [];
  const turns = new DatagramTurns(socket, (datagrams, peers, count) => {
    taken.push(Array.from({ length: count }, (_, i) => [peers[i]?.port, datagrams[i]?.[0]] as const));
  });
  const come = (...bytes: readonly number[]): void => {
    for (const byte of bytes) {
      const from: RemoteInfo = { address: "127.0.0.1", family: "IPv4", port: 1000 + byte, size: 1 };
      socket.emit("message", Buffer.of(byte), from);
    }
  };
  return { come, taken, turns };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("datagrams of a turn are taken together at its end, with those who sent them", async () => {
  const { come, taken } = startTurns();
  come(1, 2, 3);
  expect(taken).toEqual([]);
  await turn();
  const first = [
    [1001, 1],
    [1002, 2],
    [1003, 3],
  ];
  expect(taken).toEqual([first]);
  come(4);
  await turn();
  await turn();
  expect(taken).toEqual([first, [[1004, 4]]]);
});

test("no more wait than a turn reads at most, and none when they are asked for before", async () => {
  const { come, taken, turns } = startTurns();
  come(...Array.from({ length: 40 }, (_, i) => i));
  expect(taken.map((t) => t.length)).toEqual([32]);
  turns.end();
  turns.end();
  expect(taken.map((t) => t.length)).toEqual([32, 8]);
  expect(taken.flat().map(([, byte]) => byte)).toEqual(Array.from({ length: 40 }, (_, i) => i));
  await turn();
  expect(taken.length).toBe(2);
});

test("a server that ends waits for what was read and asked only then", async () => {
  const inFlight = new InFlight();
  const open: (() => void)[] = [];
  const engine = inFlight.watch({
    warm: () => {},
    now: () => undefined,
    transfer: () => undefined,
    later: () => new Promise((resolve) => open.push(() => resolve(undefined))),
    series: () => Promise.resolve([]),
  });
  const read = [1, 2];
  const asked: Promise<unknown>[] = [];
  let isIdle = false;
  const idle = inFlight
    .idle(60_000, () => {
      for (const byte of read.splice(0)) asked.push(engine.later(Uint8Array.of(byte), "10.0.0.1", "udp"));
    })
    .then(() => (isIdle = true));
  for (let i = 0; i < 20; i++) await turn();
  expect(open.length).toBe(2);
  expect(isIdle).toBe(false);
  for (const answer of open) answer();
  await idle;
  expect((await Promise.all(asked)).length).toBe(2);
});
