import dgram from "node:dgram";
import net from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { UserspaceApplier } from "../../../rules/apply/userspace-applier.ts";
import { compileOffline, startProxier } from "../../../rules/index.ts";
import type { Frontend, Member } from "../../../rules/plan/frontend.ts";
import { emptyUserspaceProgram, listenersOf } from "../../../rules/userspace/program.ts";
import { parseCidr } from "../../../src/base/cidr.ts";
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

test("an address that another program has is a problem of the Service until it is free, and the rest is served", async () => {
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
  squatter.close();
  await expect.poll(() => proxier.problems(), { timeout: 10_000 }).toEqual([]);
  expect((await ask("127.74.96.1", 18080)).said).toBe("one");
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

test("a port of SCTP is a problem of its Service, and its other ports are served", async () => {
  const port = await echoServer("a", "127.120.1.1");
  const at = (name: string, protocol: string) => ({ name, protocol, port: 9009 });
  const slice = makeSlice("web", ["127.120.1.1"], {
    ports: ["TCP", "SCTP"].map((protocol) => ({ name: protocol.toLowerCase(), protocol, port })),
  });
  const { store, proxier } = start("127.120", [
    makeService("web", { clusterIP: "127.120.0.1", ports: [at("tcp", "TCP"), at("sctp", "SCTP")] }),
    slice,
  ]);
  await proxier.ready;
  expect((await ask("127.120.0.1", 9009)).said).toBe("a");
  const [problem, ...more] = proxier.problems();
  expect([problem?.reason, problem?.object.name, more]).toEqual(["ProtocolUnsupported", "web", []]);
  const offline = compileOffline(store.current, { nodeName: "n", backend: "userspace", allowLoopback: true });
  expect(offline.problems).toEqual([problem]);
  put(store, "Service", makeService("web", { clusterIP: "127.120.0.1", ports: [at("tcp", "TCP")] }), "2");
  await expect.poll(() => proxier.problems()).toEqual([]);
});

describe("the sockets of one Service", () => {
  const frontend = (
    protocol: "tcp" | "udp",
    ip: string,
    port: number,
    action: Frontend["action"],
    more: Partial<Frontend> = {},
  ): Frontend => ({
    key: `${ip}:${port}/${protocol}`,
    scope: "clusterIP",
    family: 4,
    ip,
    port,
    protocol,
    action,
    masquerade: "never",
    owner: { namespace: "test", name: "web", port: "p", protocol },
    ...more,
  });
  const surroundings = { nodePortIps: [], podCidrs: [], serviceCidrs: [], localDnsIps: [] };
  const at = (ip: string, port: number): Member => ({ ip, port, local: true });
  function serve() {
    let now = 0;
    const applier = new UserspaceApplier({ monotonic: () => now, random: () => 0, isOwn: () => true });
    closing.push(() => applier.close());
    return {
      applier,
      put: (f: Frontend) => applier.apply({ close: [], open: listenersOf(f, { ...emptyUserspaceProgram, surroundings }), surroundings }),
      pass: (ms: number) => void (now += ms),
    };
  }
  const freePort = async (ip: string): Promise<number> => {
    const server = net.createServer();
    await new Promise<void>((resolve) => server.listen(0, ip, resolve));
    const { port } = server.address() as net.AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    return port;
  };
  /** A client that keeps its port. */
  function udpClient(): { ask(ip: string, port: number): Promise<string> } {
    const socket = dgram.createSocket("udp4");
    closing.push(() => void socket.close());
    return {
      ask: (ip, port) =>
        new Promise((resolve) => {
          socket.once("message", (b) => resolve(b.toString().split(" ")[0] ?? ""));
          socket.send("x", port, ip);
        }),
    };
  }

  test("least connections: each goes where fewest are; one that ends makes room", async () => {
    const [a, b] = [at("127.121.1.1", await echoServer("a", "127.121.1.1")), at("127.121.1.2", await echoServer("b", "127.121.1.2"))];
    const { applier, put: apply } = serve();
    const port = await freePort("127.121.0.1");
    await apply(
      frontend("tcp", "127.121.0.1", port, { kind: "balance", pool: { id: "p", members: [a, b], balance: "least-connections" } }),
    );
    const held = [];
    for (let i = 0; i < 4; i++) held.push(await ask("127.121.0.1", port));
    expect(held.map((h) => h.said)).toEqual(["a", "b", "a", "b"]);
    expect([applier.active(a), applier.active(b)]).toEqual([2, 2]);
    held[1]?.socket.destroy();
    await expect.poll(() => applier.active(b)).toBe(1);
    expect((await ask("127.121.0.1", port)).said).toBe("b");
  });

  test("UDP: a flow stays with an endpoint that serves and takes no new one; it ends at once when that is gone, or after two idle minutes", async () => {
    const [a, b] = [at("127.122.1.1", await echoServer("a", "127.122.1.1")), at("127.122.1.2", await echoServer("b", "127.122.1.2"))];
    const { applier, put: apply, pass } = serve();
    const port = await freePort("127.122.0.1");
    const pools = (members: readonly Member[], serving?: readonly Member[]) =>
      frontend("udp", "127.122.0.1", port, { kind: "balance", pool: { id: "p", members }, ...(serving === undefined ? {} : { serving }) });
    await apply(pools([a]));
    const client = udpClient();
    expect(await client.ask("127.122.0.1", port)).toBe("a");
    // it ends: new flows go elsewhere
    await apply(pools([b], [a, b]));
    expect(await client.ask("127.122.0.1", port)).toBe("a");
    expect(await udpClient().ask("127.122.0.1", port)).toBe("b");
    expect([applier.active(a), applier.active(b)]).toEqual([1, 1]);
    await apply(pools([b]));
    expect([applier.active(a), applier.active(b)]).toEqual([0, 1]);
    expect(await client.ask("127.122.0.1", port)).toBe("b");
    pass(120_000);
    applier.sweep();
    expect(applier.active(b)).toBe(2);
    pass(1);
    applier.sweep();
    expect(applier.active(b)).toBe(0);
    expect(await client.ask("127.122.0.1", port)).toBe("b");
  });

  test("source ranges: who is outside is closed at once, and a flow of one who no longer is inside ends", async () => {
    const a = at("127.123.1.1", await echoServer("a", "127.123.1.1"));
    const { applier, put: apply } = serve();
    const [tcp, udp] = [await freePort("127.123.0.1"), await freePort("127.123.0.1")];
    const action = { kind: "balance", pool: { id: "p", members: [a] } } as const;
    const ranged = (text: string) => ({ sources: [parseCidr(text)].flatMap((c) => c ?? []) });
    await apply(frontend("tcp", "127.123.0.1", tcp, action, ranged("127.0.0.0/8")));
    await apply(frontend("udp", "127.123.0.1", udp, action, ranged("127.0.0.0/8")));
    expect((await ask("127.123.0.1", tcp)).said).toBe("a");
    expect(await udpClient().ask("127.123.0.1", udp)).toBe("a");
    expect(applier.active(a)).toBe(2);
    await apply(frontend("tcp", "127.123.0.1", tcp, action, ranged("192.0.2.0/24")));
    await apply(frontend("udp", "127.123.0.1", udp, action, ranged("192.0.2.0/24")));
    expect((await ask("127.123.0.1", tcp)).said).toBe("ECONNRESET");
    // of TCP nothing is cut
    expect(applier.active(a)).toBe(1);
  });
});
