import net from "node:net";
import { afterEach, expect, test } from "vitest";
import { findListener, parseListenerInodes, parseListeningSockets, readListeningSockets } from "../../../src/kernel/listener.ts";

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

const tcp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0000000000000000 100 0 0 10 0
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12 1 0000000000000000 100 0 0 10 0
   2: 0100007F:192B 0100007F:C000 01 00000000:00000000 00:00000000 00000000     0        0 13 1 0000000000000000 100 0 0 10 0
`;
const tcp6 = `   0: 00000000000000000000000000000000:192B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21 1 0
   1: B80D0120000000000000000001000000:192B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 22 1 0
`;

test.each([
  ["its own address; a connection does not count", tcp, "127.0.0.1", 6443, ["11"]],
  ["another address", tcp, "127.0.0.2", 6443, []],
  ["a listener at every address", tcp, "127.0.0.1", 80, ["12"]],
  ["every address is asked for", tcp, "0.0.0.0", 6443, ["11"]],
  ["another port", tcp, "127.0.0.1", 81, []],
  ["both families at once", tcp6, "127.0.0.1", 6443, ["21"]],
  ["IPv6", tcp6, "2001:db8::1", 6443, ["21", "22"]],
  ["nonsense", "x\n", "127.0.0.1", 6443, []],
] as const)("who keeps a port from being bound: %s", (_, text, ip, port, want) => {
  expect(parseListenerInodes(text, ip, port, "0A")).toEqual(want);
});

test("the process that listens, by its socket; nobody where nobody does", async () => {
  const server = net.createServer();
  closing.push(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  expect(findListener({ ip: "127.0.0.1", port, type: "tcp" })?.pid).toBe(process.pid);
  expect(findListener({ ip: "127.0.0.9", port, type: "tcp" })).toBeUndefined();
});

test("all that listen, with the address in its usual form; connections are none", () => {
  expect(parseListeningSockets(tcp, "tcp")).toEqual([
    { type: "tcp", ip: "127.0.0.1", port: 6443 },
    { type: "tcp", ip: "0.0.0.0", port: 80 },
  ]);
  expect(parseListeningSockets(tcp6, "tcp").map((s) => s.ip)).toEqual(["::", "2001:db8::1"]);
  expect(parseListeningSockets("x\n", "udp")).toEqual([]);
});

test("this machine's listeners are read, however many connections it has", async () => {
  const server = net.createServer((socket) => void socket.on("error", () => undefined));
  closing.push(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  const clients = await Promise.all(
    Array.from({ length: 50 }, async () => {
      const socket = net.connect(port, "127.0.0.1");
      await new Promise<void>((resolve) => socket.once("connect", () => resolve()));
      return socket;
    }),
  );
  expect(readListeningSockets()).toContainEqual({ type: "tcp", ip: "127.0.0.1", port });
  for (const client of clients) client.destroy();
});
