import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openPassedSockets, PassError, passSockets } from "../../../src/kernel/passed-sockets.ts";
import { type BoundSocket, bindSocket, closeSocket } from "../../../src/kernel/socket.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "fairway-passed-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

test("a listening socket that was handed over serves on after its first owner has closed it", async () => {
  const path = join(folder, "take");
  const taker = openPassedSockets(path);
  const own = bindSocket({ ip: "127.0.0.1", port: 0, type: "tcp" });
  passSockets(path, [{ ...own, name: "http" } as BoundSocket]);
  closeSocket(own);
  const [taken, ...more] = taker.take<BoundSocket & { readonly name: string }>();
  expect(more).toEqual([]);
  expect(taken).toEqual({ ...own, name: "http", fd: expect.any(Number) });
  taker.close();
  const server = createServer((socket) => socket.end("here"));
  await new Promise<void>((resolve) => server.listen({ fd: taken?.fd ?? -1 }, resolve));
  const text = await new Promise<string>((resolve, reject) => {
    connect(own.port, "127.0.0.1")
      .on("data", (b) => resolve(b.toString()))
      .on("error", reject);
  });
  expect(text).toBe("here");
  await new Promise((resolve) => server.close(resolve));
});

test("more than one message takes", () => {
  const path = join(folder, "take");
  const taker = openPassedSockets(path);
  const own = bindSocket({ ip: "127.0.0.1", port: 0, type: "udp" });
  passSockets(
    path,
    Array.from({ length: 250 }, (_, n) => ({ fd: own.fd, n })),
  );
  const taken = taker.take<{ readonly n: number }>();
  expect(taken.map((t) => t.n)).toEqual(Array.from({ length: 250 }, (_, n) => n));
  expect(new Set(taken.map((t) => t.fd)).size).toBe(250);
  expect(taker.take()).toEqual([]);
  for (const { fd } of taken) closeSocket({ ...own, fd });
  closeSocket(own);
  taker.close();
  expect(readdirSync(folder)).toEqual([]);
});

test("where nobody waits, it says so", () => {
  const path = join(folder, "nobody");
  expect(() => passSockets(path, [])).toThrow(PassError);
  expect(() => passSockets(path, [])).toThrow(`nobody waits at ${path}: ENOENT`);
});
