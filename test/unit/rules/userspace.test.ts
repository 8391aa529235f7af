import dgram from "node:dgram";
import net from "node:net";
import { afterEach, expect, test } from "vitest";
import { startProxier } from "../../../rules/index.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { fillStore, makeNode, makeService, makeSlice, put } from "../../support/rules-objects.ts";

// every test has a part of 127.64.0.0/10 of its own, where anybody may bind
const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

function echoServer(name: string, ip: string): Promise<number> {
  return new Promise((resolve) => {
    const server = net.createServer((s) => {
      s.on("error", () => s.destroy());
      s.write(`${name}\n`);
      s.on("data", (b) => s.write(`${name} ${b.toString()}`));
    });
    const udp = dgram.createSocket("udp4");
    udp.on("message", (b, from) => udp.send(`${name} ${b.toString()}`, from.port, from.address));
    server.listen(0, ip, () => {
      const { port } = server.address() as net.AddressInfo;
      udp.bind(port, ip, () => resolve(port));
    });
    closing.push(() => {
      server.close();
      udp.close();
    });
  });
}

function ask(ip: string, port: number): Promise<{ said: string; socket: net.Socket }> {
  return new Promise((resolve) => {
    const socket = net.connect(port, ip);
    closing.push(() => void socket.destroy());
    socket.once("data", (b) => resolve({ said: b.toString().trim(), socket }));
    socket.once("error", (e: NodeJS.ErrnoException) => resolve({ said: e.code ?? "error", socket }));
  });
}

function askUdp(ip: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = dgram.createSocket("udp4");
    socket.on("message", (b) => {
      socket.close();
      resolve(b.toString());
    });
    socket.send("hello", port, ip);
  });
}

function start(net16: string, objects: Parameters<typeof fillStore>[1]) {
  const store = new SnapshotStore();
  let applied = 0;
  const proxier = startProxier(
    { store, nodeName: "n", backend: "userspace", allowLoopback: true },
    { clock: systemClock, log: () => undefined, onApplied: () => applied++ },
  );
  closing.push(() => proxier.close());
  fillStore(store, [makeNode("n", [`${net16}.255.1`], [`${net16}.0.0/16`]), ...objects]);
  return { store, proxier, applied: () => applied };
}

test("TCP and UDP are balanced over the endpoints; a change keeps established connections", async () => {
  const port = await echoServer("one", "127.71.0.1");
  const other = await echoServer("two", "127.71.0.2");
  const ports = (p: number) => [
    { name: "t", protocol: "TCP", port: p },
    { name: "u", protocol: "UDP", port: p },
  ];
  const { store, proxier, applied } = start("127.71", [
    makeService("web", {
      clusterIP: "127.71.96.1",
      ports: [
        { name: "t", port: 18080, protocol: "TCP" },
        { name: "u", port: 18080, protocol: "UDP" },
      ],
    }),
    makeSlice("web", ["127.71.0.1"], { ports: ports(port) }),
  ]);
  await proxier.ready;
  const held = await ask("127.71.96.1", 18080);
  expect(held.said).toBe("one");
  expect(await askUdp("127.71.96.1", 18080)).toBe("one hello");
  expect(proxier.endpointInUse("127.71.0.1")).toBe(true);

  const before = applied();
  put(store, "EndpointSlice", makeSlice("web", ["127.71.0.2"], { ports: ports(other) }), "2");
  await expect.poll(applied).toBe(before + 1);
  expect((await ask("127.71.96.1", 18080)).said).toBe("two");
  expect(await askUdp("127.71.96.1", 18080)).toBe("two hello");
  expect(proxier.endpointInUse("127.71.0.1")).toBe(false);
  const answer = new Promise<string>((resolve) => held.socket.once("data", (b) => resolve(b.toString())));
  held.socket.write("still there");
  expect(await answer).toBe("one still there");
});

test("a Service without endpoints refuses; one that is removed frees its address", async () => {
  const port = await echoServer("one", "127.72.0.1");
  const { store, proxier, applied } = start("127.72", [
    makeService("empty", { clusterIP: "127.72.96.1", ports: [{ port: 18080 }] }),
    makeService("web", { clusterIP: "127.72.96.2", ports: [{ port: 18080 }] }),
    makeSlice("web", ["127.72.0.1"], { ports: [{ name: "", protocol: "TCP", port }] }),
  ]);
  await proxier.ready;
  expect((await ask("127.72.96.1", 18080)).said).toBe("ECONNREFUSED");
  expect((await ask("127.72.96.2", 18080)).said).toBe("one");
  const before = applied();
  store.apply("Service", "test/web", undefined, "3");
  await expect.poll(applied).toBe(before + 1);
  expect((await ask("127.72.96.2", 18080)).said).toBe("ECONNREFUSED");
  expect(proxier.problems()).toEqual([]);
});

test("a dead endpoint is passed over; affinity keeps a client on one", async () => {
  const one = await echoServer("one", "127.73.0.1");
  const slice = makeSlice("sticky", ["127.73.0.1", "127.73.0.2"], { ports: [{ name: "", protocol: "TCP", port: one }] });
  const { proxier } = start("127.73", [
    makeService("sticky", { clusterIP: "127.73.96.1", sessionAffinity: "ClientIP", ports: [{ port: 18080 }] }),
    slice,
  ]);
  await proxier.ready;
  const said = await Promise.all(Array.from({ length: 12 }, async () => (await ask("127.73.96.1", 18080)).said));
  expect(said).toEqual(said.map(() => "one"));
});

test("an address that another program has is a problem of the Service, and the rest is served", async () => {
  const port = await echoServer("one", "127.74.0.1");
  const squatter = net.createServer();
  await new Promise<void>((resolve) => squatter.listen(18080, "127.74.96.1", resolve));
  closing.push(() => void squatter.close());
  const slice = (name: string) => makeSlice(name, ["127.74.0.1"], { ports: [{ name: "", protocol: "TCP", port }] });
  const { proxier } = start("127.74", [
    makeService("taken", { clusterIP: "127.74.96.1", ports: [{ port: 18080 }] }),
    makeService("web", { clusterIP: "127.74.96.2", ports: [{ port: 18080 }] }),
    slice("taken"),
    slice("web"),
  ]);
  await proxier.ready;
  expect((await ask("127.74.96.2", 18080)).said).toBe("one");
  expect(proxier.problems()).toMatchObject([{ reason: "PortUnavailable", object: { kind: "Service", namespace: "test", name: "taken" } }]);
});

test("bytes sent just before an end arrive, in both directions", async () => {
  const size = 4 * 1024 * 1024;
  let received = 0;
  const got = Promise.withResolvers<number>();
  const server = net.createServer({ allowHalfOpen: true }, (s) => {
    s.on("error", () => got.resolve(-1));
    s.on("data", (b) => (received += b.length));
    s.on("end", () => {
      got.resolve(received);
      s.end(Buffer.alloc(size, 1));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.76.0.1", resolve));
  closing.push(() => void server.close());
  const { port } = server.address() as net.AddressInfo;
  const { proxier } = start("127.76", [
    makeService("bulk", { clusterIP: "127.76.96.1", ports: [{ port: 18080 }] }),
    makeSlice("bulk", ["127.76.0.1"], { ports: [{ name: "", protocol: "TCP", port }] }),
  ]);
  await proxier.ready;
  const client = net.connect({ port: 18080, host: "127.76.96.1", allowHalfOpen: true });
  let back = 0;
  client.on("data", (b) => (back += b.length));
  const done = new Promise((resolve) => client.once("end", resolve));
  client.end(Buffer.alloc(size, 2));
  expect(await got.promise).toBe(size);
  await done;
  expect(back).toBe(size);
});
