import { once } from "node:events";
import { afterEach, describe, expect, test } from "vitest";
import { openDatagramBatch } from "../../../dns/server/datagram-batch.ts";
import { type BatchSending, LateAnswers } from "../../../dns/server/late-answers.ts";
import { bindSocket } from "../../../src/kernel/socket.ts";
import { createUdpSocket } from "../../../src/kernel/udp-socket.ts";

const owned: (() => void)[] = [];
afterEach(() => {
  for (const end of owned.splice(0)) end();
});

async function openClient() {
  const socket = createUdpSocket("127.0.0.1");
  owned.push(() => socket.close());
  const came: Buffer[] = [];
  const waiting: (() => void)[] = [];
  socket.on("message", (bytes) => {
    came.push(bytes);
    for (const look of waiting) look();
  });
  const opened = once(socket, "listening");
  socket.bind(0, "127.0.0.1");
  await opened;
  const { port } = socket.address();
  const address = Uint8Array.from([2, 0, port >> 8, port & 255, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  /** Resolves when so many have come. */
  const all = (count: number): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (came.length >= count) resolve();
      };
      waiting.push(look);
      look();
    });
  return { came, all, to: { ip: "127.0.0.1", port, address } };
}

async function openSender(isBatched: boolean): Promise<LateAnswers> {
  const socket = createUdpSocket("127.0.0.1");
  owned.push(() => socket.close());
  const batch = isBatched ? openDatagramBatch() : undefined;
  let sending: BatchSending | undefined;
  const opened = once(socket, "listening");
  if (batch === undefined) socket.bind(0, "127.0.0.1");
  else {
    const { fd } = bindSocket({ ip: "127.0.0.1", port: 0, type: "udp" });
    sending = { fd, batch };
    socket.bind({ fd });
  }
  await opened;
  return new LateAnswers(socket, sending);
}

describe.each([
  ["in batches, where this machine can", true],
  ["by node alone", false],
] as const)("answers that come late are sent %s", (_, isBatched) => {
  test("each to its own client, with its bytes, whatever their number and size", async () => {
    const late = await openSender(isBatched);
    const clients = [await openClient(), await openClient()];
    const sizes = [...Array.from({ length: 150 }, (_s, i) => 12 + i), 4096, 4097, 9000];
    for (const [i, size] of sizes.entries()) {
      const { to } = clients[i % 2]!;
      // where only node has read the query, the system's address is not known
      late.add(new Uint8Array(size).fill(i), i % 5 === 0 ? { ip: to.ip, port: to.port } : to);
    }
    await Promise.all(clients.map((c, i) => c.all(Math.ceil((sizes.length - i) / 2))));
    const got = clients.map(({ came }) => came.map((b) => `${b.length} × ${b[0]}`).sort());
    const want = clients.map((_c, own) => sizes.flatMap((size, i) => (i % 2 === own ? [`${size} × ${i & 255}`] : [])).sort());
    expect(got).toEqual(want);
    expect(clients.every(({ came }) => came.every((b) => b.every((byte) => byte === b[0])))).toBe(true);
  });

  test("at once when their socket is about to be closed", async () => {
    const late = await openSender(isBatched);
    const client = await openClient();
    late.add(Uint8Array.of(1, 2, 3), client.to);
    late.end();
    for (const end of owned.splice(0, 1)) end();
    await client.all(1);
    expect(client.came.map((b) => [...b])).toEqual([[1, 2, 3]]);
  });
});
