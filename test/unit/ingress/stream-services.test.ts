import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { connect as tlsConnect } from "node:tls";
import { afterEach, describe, expect, test } from "vitest";
import type { IngressServer, RouteDelta } from "../../../ingress/index.ts";
import { parseProxyHeader } from "../../../ingress/proxy/proxy-protocol.ts";
import { fastClock, makeTable, poolOf, printProxyHeader2, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

const here = { ip: "127.0.0.1", port: 0 };
const object = { kind: "ConfigMap", namespace: "ingress", name: "tcp-services" };
type Stream = NonNullable<RouteDelta["streams"]>["upserts"][number];

function stream(change: Partial<Stream> = {}): Stream {
  return { id: "tcp 9000", protocol: "tcp", port: 9000, pool: "p", acceptProxyProtocol: false, object, ...change };
}

/** Names itself, then echoes line by line. */
async function echoServer(name: string): Promise<number> {
  const server = createServer((socket: Socket) => {
    socket.on("error", () => undefined);
    socket.write(`${name}\n`);
    socket.on("data", (b) => socket.write(b));
    open.push(() => socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  open.push(() => server.close());
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

const nothing = { upserts: [], deletes: [] };

function client(port: number): RawClient {
  const c = RawClient.connect(port);
  open.push(() => c.socket.destroy());
  return c;
}

describe.for(["auto", "portable"] as const)("tcp over the transport %s", (transport) => {
  async function lab(ports: readonly number[], streams: readonly Stream[]): Promise<{ ingress: IngressServer; port: number }> {
    const { ingress } = await startLab(ports, { config: { transport, tcp: [{ port: 9000, at: here }], timeouts: { grace: 0 } } });
    open.push(() => ingress.close());
    ingress.apply({ ...makeTable(ports), full: false, streams: { upserts: streams, deletes: [] } });
    return { ingress, port: ingress.addresses.tcp[0]?.port ?? 0 };
  }

  test("bytes go both ways, and another endpoint is tried where one does not listen", async () => {
    const gone = await RawEndpoint.start(() => undefined);
    await gone.close();
    const { port } = await lab([gone.port, await echoServer("one")], [stream()]);
    const c = client(port).send("hello\n");
    expect(await c.until((t) => t.endsWith("hello\n"))).toBe("one\nhello\n");
  });

  test("a port without a Service closes its connections; one that gets another sends new ones there", async () => {
    const [one, two] = [await echoServer("one"), await echoServer("two")];
    const { ingress, port } = await lab([one], []);
    await client(port).untilEnd();
    ingress.apply({ ...makeTable([]), revision: 2, full: false, pools: nothing, streams: { upserts: [stream()], deletes: [] } });
    const before = client(port);
    await before.until((t) => t === "one\n");
    const moved = { upserts: [stream({ pool: "q" })], deletes: [] };
    ingress.apply({ ...makeTable([]), revision: 3, full: false, pools: { upserts: [poolOf([two], "q")], deletes: [] }, streams: moved });
    await client(port).until((t) => t === "two\n");
    expect(await before.send("still\n").until((t) => t.endsWith("still\n"))).toBe("one\nstill\n");
  });

  test.for<[version: 1 | 2]>([[1], [2]])("the PROXY protocol, in and out as version %i", async ([version]) => {
    const { port } = await lab([await echoServer("one")], [stream({ acceptProxyProtocol: true, sendProxyProtocol: version })]);
    const ends = { source: { ip: "192.0.2.7", port: 4711 }, destination: { ip: "198.51.100.1", port: 443 } };
    const c = client(port);
    for (const byte of printProxyHeader2(ends)) c.socket.write(Buffer.from([byte]));
    c.send("hello\n");
    const told = await c.until((t) => t.endsWith("hello\n"));
    expect(parseProxyHeader(Buffer.from(told.slice("one\n".length, -"hello\n".length), "latin1"))).toMatchObject({
      ends: { source: ends.source, destination: { ip: "127.0.0.1", port } },
    });
    expect(told.includes("PROXY TCP4")).toBe(version === 1);
    expect(await client(port).send("hello\n").untilEnd()).toBe("");
  });

  test("a connection on which nothing moves for as long as the cluster says is closed", async () => {
    const up = await echoServer("one");
    const { ingress } = await startLab([up], { config: { transport, tcp: [{ port: 9000, at: here }] }, clock: fastClock(10) });
    open.push(() => ingress.close());
    const streams = { upserts: [stream()], deletes: [] };
    ingress.apply({ ...makeTable([up]), full: false, streams, settings: { streamIdleSeconds: 10 } });
    expect(await client(ingress.addresses.tcp[0]?.port ?? 0).untilEnd()).toBe("one\n");
  });

  test("drain: connections go on until the time is up", async () => {
    const { ingress, port } = await lab([await echoServer("one")], [stream()]);
    const c = client(port);
    await c.until((t) => t === "one\n");
    const drained = ingress.drain({ withinMs: 60_000 });
    expect(await c.send("on\n").until((t) => t.endsWith("on\n"))).toBe("one\non\n");
    await ingress.drain({ withinMs: 1 });
    await drained;
    await c.untilEnd();
  });
});

describe("http and https behind the PROXY protocol", () => {
  const header = (from: string): string => `PROXY TCP4 ${from} 198.51.100.1 4711 443\r\n`;
  const request = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

  async function lab(settings: RouteDelta["settings"]): Promise<{ http: number; https: number }> {
    const up = await RawEndpoint.start((r) => r.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${r.head.length}\r\n\r\n${r.head}`));
    const { ingress, http, https } = await startLab([up.port], { config: { https: [here] } });
    open.push(
      () => up.close(),
      () => ingress.close(),
    );
    ingress.apply({ ...makeTable([up.port]), ...(settings === undefined ? {} : { settings }) });
    return { http, https };
  }

  test.for<[name: string, settings: RouteDelta["settings"], first: string, realIp: string | undefined]>([
    ["who speaks through a proxy", { proxyProtocol: true }, header("192.0.2.7"), "192.0.2.7"],
    ["the proxy itself", { proxyProtocol: true }, "PROXY UNKNOWN\r\n", "127.0.0.1"],
    ["a proxy that is believed", { proxyProtocol: true, proxyProtocolFrom: ["127.0.0.0/8"] }, header("192.0.2.7"), "192.0.2.7"],
    ["a proxy that is not", { proxyProtocol: true, proxyProtocolFrom: ["10.0.0.0/8"] }, header("192.0.2.7"), "127.0.0.1"],
    ["who says nothing of it, where it is due", { proxyProtocol: true }, "", undefined],
    ["where it is not asked for", {}, "", "127.0.0.1"],
  ])("%s", async ([, settings, first, realIp]) => {
    const { http, https } = await lab(settings);
    const plain = await client(http)
      .send(first + request)
      .untilEnd();
    expect(/^X-Real-IP: (\S+)/m.exec(plain)?.[1]).toBe(realIp);
    const raw = client(https);
    if (first !== "") raw.send(first);
    const secure = new RawClient(tlsConnect({ socket: raw.socket, rejectUnauthorized: false }));
    expect(/^X-Real-IP: (\S+)/m.exec(await secure.send(request).untilEnd())?.[1]).toBe(realIp);
  });
});

describe("udp", () => {
  async function udpServer(name: string): Promise<UdpSocket> {
    const socket = createSocket("udp4");
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    socket.on("message", (data, from) => socket.send(`${name} ${data.toString()}`, from.port, from.address));
    open.push(() => socket.close());
    return socket;
  }

  async function lab(ports: readonly number[]): Promise<{ ingress: IngressServer; port: number }> {
    const { ingress } = await startLab(ports, { config: { udp: [{ port: 53, at: here }] } });
    open.push(() => ingress.close());
    const streams = { upserts: [stream({ id: "udp 53", protocol: "udp", port: 53 })], deletes: [] };
    ingress.apply({ ...makeTable(ports), full: false, streams });
    return { ingress, port: ingress.addresses.udp[0]?.port ?? 0 };
  }

  async function speaker(port: number): Promise<(text: string) => Promise<string>> {
    const socket = createSocket("udp4");
    socket.connect(port, "127.0.0.1");
    await once(socket, "connect");
    open.push(() => socket.close());
    return async (text) => {
      // a datagram may be lost: it is said again until something comes back
      const again = setInterval(() => socket.send(text), 200);
      socket.send(text);
      const [answer] = (await once(socket, "message")) as [Buffer];
      clearInterval(again);
      return answer.toString();
    };
  }

  test("a client stays with its endpoint, another client gets the next, and all leave one that left", async () => {
    const [one, two] = [await udpServer("one"), await udpServer("two")];
    const { ingress, port } = await lab([one.address().port, two.address().port]);
    const [first, second] = [await speaker(port), await speaker(port)];
    const mine = (await first("a")).split(" ")[0];
    expect(await first("b")).toBe(`${mine} b`);
    const other = mine === "one" ? "two" : "one";
    expect(await second("c")).toBe(`${other} c`);
    const left = mine === "one" ? two : one;
    ingress.apply({ ...makeTable([left.address().port]), revision: 2, full: false });
    let answer = await first("d");
    while (!answer.endsWith("d")) answer = await first("d");
    expect(answer).toBe(`${other} d`);
  });

  test("an endpoint that does not listen is left for one that does", async () => {
    const one = await udpServer("one");
    const dead = createSocket("udp4");
    dead.bind(0, "127.0.0.1");
    await once(dead, "listening");
    const deadPort = dead.address().port;
    dead.close();
    const { port } = await lab([deadPort, one.address().port]);
    const speakers = [await speaker(port), await speaker(port)];
    for (const say of speakers) expect(await say("hello")).toBe("one hello");
  });
});
