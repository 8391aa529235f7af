import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { NamedSocket } from "../../../src/daemon/child.ts";
import type { Part } from "../../../src/daemon/daemon-config.ts";
import { type Offer, startHandOver, takeOver } from "../../../src/daemon/hand-over.ts";
import { bindSocket, closeSocket } from "../../../src/kernel/socket.ts";

let runDir: string;
const place = (nodeName = "a", enable: readonly Part[] = ["dns", "ingress"]) => ({ runDir, nodeName, enable });
let sockets: readonly NamedSocket[];
let said: string[];
beforeEach(() => {
  runDir = mkdtempSync(join(tmpdir(), "fairway-hand-"));
  const bound = (name: string, type: "tcp" | "udp"): NamedSocket => ({ ...bindSocket({ ip: "127.0.0.1", port: 0, type }), name });
  sockets = [bound("http", "tcp"), bound("dns", "udp"), bound("service-port", "tcp")];
  said = [];
});
afterEach(() => {
  for (const s of sockets) closeSocket(s);
  rmSync(runDir, { recursive: true });
});

const ticketKeys = Buffer.alloc(48, 3);
const running = async (offer = async (): Promise<Offer> => ({ sockets, ticketKeys })) => {
  const door = startHandOver(place(), { offer, gone: () => void said.push("gone"), keep: () => void said.push("keep") });
  await door.ready;
  return door;
};
const until = async (done: () => boolean): Promise<void> => {
  while (!done()) await new Promise((resolve) => setImmediate(resolve));
};
const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const client = connect(port, "127.0.0.1", () => {
      client.destroy();
      resolve(true);
    });
    client.on("error", () => resolve(false));
  });

test("where none runs, only its socket is left, or one that does something else, there is nothing to take over", async () => {
  const door = await running();
  expect(await takeOver(place("b"))).toBeUndefined();
  expect(await takeOver(place("a", ["dns"]))).toBeUndefined();
  await door.close();
  expect(await takeOver(place())).toBeUndefined();
  await (await running()).close();
  expect(await takeOver(place())).toBeUndefined();
});

test("what is asked for by name and address is taken; the rest is closed; the one before hears when to go", async () => {
  const door = await running();
  const taken = await takeOver(place());
  const [http, , port] = sockets as [NamedSocket, NamedSocket, NamedSocket];
  expect(taken?.ticketKeys).toEqual(ticketKeys);
  expect(taken?.take({ ...http, name: "https" })).toBeUndefined();
  const mine = taken?.take(http);
  expect(mine).toEqual({ ...http, fd: expect.any(Number) });
  expect(taken?.take(http)).toBeUndefined();
  const ports = taken?.takeAll("service-port") ?? [];
  expect(ports).toEqual([{ ...port, fd: expect.any(Number) }]);
  expect(said).toEqual([]);
  taken?.serving();
  await until(() => said.length > 0);
  await door.close();
  expect(said).toEqual(["gone"]);
  for (const s of sockets.slice(0, 1)) closeSocket(s);
  expect(await accepts(http.port)).toBe(true);
  for (const s of [...ports, ...(mine === undefined ? [] : [mine])]) closeSocket(s);
  expect(await accepts(http.port)).toBe(false);
  sockets = sockets.slice(1);
  expect(readdirSync(runDir)).toEqual([]);
});

test("one that ends before it serves leaves all with the one before, who may then be asked again", async () => {
  const door = await running();
  (await takeOver(place()))?.close();
  await until(() => said.length > 0);
  expect(said).toEqual(["keep"]);
  (await takeOver(place()))?.serving();
  await until(() => said.length > 1);
  expect(said).toEqual(["keep", "gone"]);
  await door.close();
});

test("refused: a second one at once, and where the sockets cannot be had", async () => {
  const door = await running();
  const first = await takeOver(place());
  await expect(takeOver(place())).rejects.toThrow("another daemon takes over");
  first?.close();
  await until(() => said.length > 0);
  await door.close();
  const broken = await running(() => Promise.reject(new Error("no")));
  await expect(takeOver(place())).rejects.toThrow(`${runDir}: no`);
  await until(() => said.length > 1);
  expect(said).toEqual(["keep", "keep"]);
  await broken.close();
});
