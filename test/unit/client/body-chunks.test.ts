import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import { expect, test } from "vitest";
import { BodyChunks } from "../../../src/client/body-chunks.ts";

const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString();

function opened() {
  const socket = new Socket();
  const response = new IncomingMessage(socket);
  return { response, chunks: new BodyChunks(response) };
}

async function rest(chunks: BodyChunks): Promise<readonly string[]> {
  const seen: string[] = [];
  for await (const chunk of chunks) seen.push(text(chunk));
  return seen;
}

test("what came before anybody asked comes first, then what comes, then the end", async () => {
  const { response, chunks } = opened();
  response.push("a");
  response.push("b");
  expect(text((await chunks.next()).value)).toBe("a");
  const all = rest(chunks);
  await new Promise((resolve) => setImmediate(resolve));
  response.push("c");
  response.push(null);
  expect(await all).toEqual(["b", "c"]);
  expect(await chunks.next()).toEqual({ done: true, value: undefined });
});

test.each([
  { name: "an error", end: (r: IncomingMessage) => r.destroy(new Error("broken off")), want: "broken off" },
  { name: "a connection that closes", end: (r: IncomingMessage) => r.emit("close"), want: "before the answer was whole" },
])("$name is told behind what came", async ({ end, want }) => {
  const { response, chunks } = opened();
  response.push("a");
  expect(text((await chunks.next()).value)).toBe("a");
  const waiting = chunks.next();
  end(response);
  await expect(waiting).rejects.toThrow(want);
});

test("the server is held up while much waits, and no longer than that", async () => {
  const { response, chunks } = opened();
  const piece = Buffer.alloc(100 << 10);
  for (let n = 0; n < 8; n++) response.push(piece);
  await new Promise((resolve) => setImmediate(resolve));
  expect(response.isPaused()).toBe(true);
  let bytes = 0;
  while (bytes < 8 * piece.length) bytes += (await chunks.next()).value?.length ?? 0;
  expect(response.isPaused()).toBe(false);
});

test("who leaves early ends the answer", async () => {
  const { response, chunks } = opened();
  response.push("a");
  for await (const chunk of chunks) {
    expect(text(chunk)).toBe("a");
    break;
  }
  expect(response.destroyed).toBe(true);
});
