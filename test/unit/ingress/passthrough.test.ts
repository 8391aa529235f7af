import { connect } from "node:net";
import { createServer as createTlsServer, type TLSSocket, connect as tlsConnect } from "node:tls";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { ClientHelloReader } from "../../../ingress/proxy/client-hello.ts";
import { selfSignedCertificate } from "../../../ingress/proxy/default-certificate.ts";
import { makeRoute, poolOf, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

const open: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

const pair = selfSignedCertificate(Date.now(), { commonName: "inner", host: "p.test" });

/** An endpoint that opens TLS itself, with a certificate of its own, and echoes. */
async function endpoint(): Promise<number> {
  const server = createTlsServer({ cert: pair.certificate, key: pair.key }, (socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (b: Buffer) => socket.write(`<${b.toString()}>`));
    open.push(() => void socket.destroy());
  });
  server.on("tlsClientError", () => undefined);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push(() => void server.close());
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function opened(port: number, servername: string): Promise<TLSSocket> {
  const socket = tlsConnect({ port, host: "127.0.0.1", servername, rejectUnauthorized: false });
  socket.on("error", () => undefined);
  open.push(() => void socket.destroy());
  await new Promise<void>((resolve) => void socket.once("secureConnect", () => resolve()));
  return socket;
}

describe.for(["auto", "portable"] as const)("over the transport %s", (transport) => {
  test("TLS of a host with passthrough is opened by the endpoint, that of others here", async () => {
    const dead = await RawEndpoint.start(() => undefined);
    await dead.close();
    const inner = await endpoint();
    const plain = await RawEndpoint.start((r) => r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    const { ingress, https } = await startLab([plain.port], {
      config: { transport, https: [{ ip: "127.0.0.1", port: 0 }], timeouts: { grace: 0 } },
      routes: [makeRoute(), makeRoute({ id: "p", host: { kind: "exact", name: "p.test" }, passthrough: "inner" })],
    });
    open.push(
      () => plain.close(),
      () => ingress.close(),
    );
    const nothing = { upserts: [], deletes: [] };
    ingress.apply({
      revision: 2,
      full: false,
      routes: nothing,
      certificates: nothing,
      pools: { upserts: [poolOf([dead.port, inner], "inner")], deletes: [] },
    });
    const through = await opened(https, "p.test");
    expect(through.getPeerCertificate().subject.CN).toBe("inner");
    const c = new RawClient(through);
    expect(await c.send("ping").until((t) => t.endsWith(">"))).toBe("<ping>");
    const here = await opened(https, "a.test");
    expect(here.getPeerCertificate().subject.CN).toBe("Ingress default certificate");
    expect(await new RawClient(here).send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").until((t) => t.endsWith("ok"))).toMatch(
      /^HTTP\/1\.1 200/,
    );
    // who sends no TLS at all
    const raw = RawClient.connect(https);
    open.push(() => void raw.socket.destroy());
    await raw.send("GET / HTTP/1.1\r\n\r\n").untilEnd();
    expect(raw.text).not.toMatch(/^HTTP/);
    expect(await c.send("pong").until((t) => t.endsWith("<pong>"))).toBe("<ping><pong>");
    through.destroy();
  });
});

/** What a client of ours says first. */
async function helloOf(servername: string): Promise<Buffer> {
  const got = Promise.withResolvers<Buffer>();
  const up = await RawEndpoint.start(() => undefined);
  open.push(() => up.close());
  const socket = connect(up.port, "127.0.0.1");
  const tls = tlsConnect({ socket, servername });
  tls.on("error", () => undefined);
  open.push(() => void tls.destroy());
  while (up.sockets.size === 0) await new Promise((resolve) => setImmediate(resolve));
  for (const s of up.sockets) {
    s.removeAllListeners("data");
    s.once("data", (b: Buffer) => got.resolve(b));
  }
  return got.promise;
}

/** The pieces, one after the other; what the last one read says. */
function parseClientHello(...pieces: readonly Buffer[]): ReturnType<ClientHelloReader["push"]> {
  const reader = new ClientHelloReader();
  let read: ReturnType<ClientHelloReader["push"]> = "more";
  for (const piece of pieces) {
    expect(read).toBe("more");
    read = reader.push(piece);
  }
  return read;
}
const singly = (bytes: Buffer): readonly Buffer[] => Array.from(bytes, (byte) => Buffer.from([byte]));

test("a ClientHello is read however it is cut, and never taken for what it is not", async () => {
  const hello = await helloOf("shop.example.com");
  for (let n = 1; n < hello.length; n++) expect(parseClientHello(hello.subarray(0, n))).toBe("more");
  expect(parseClientHello(hello)).toEqual({ serverName: "shop.example.com" });
  expect(parseClientHello(Buffer.concat([hello, Buffer.from("more")]))).toEqual({ serverName: "shop.example.com" });
  expect(parseClientHello(Buffer.from("GET / HTTP/1.1\r\n"))).toBe("none");
  // in two records
  const body = hello.subarray(5);
  const record = (part: Buffer): Buffer => Buffer.concat([hello.subarray(0, 3), Buffer.from([part.length >> 8, part.length & 255]), part]);
  expect(parseClientHello(Buffer.concat([record(body.subarray(0, 50)), record(body.subarray(50))]))).toEqual({
    serverName: "shop.example.com",
  });
  // and in one for each byte, by each byte
  expect(parseClientHello(...singly(hello))).toEqual({ serverName: "shop.example.com" });
  const records = singly(body).map(record);
  expect(parseClientHello(Buffer.concat(records))).toEqual({ serverName: "shop.example.com" });
  expect(parseClientHello(...singly(Buffer.concat(records)))).toEqual({ serverName: "shop.example.com" });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: hello.length - 1 }), fc.integer({ min: 0, max: 255 }), (at, value) => {
      const broken = Buffer.from(hello);
      broken[at] = value;
      const read = parseClientHello(broken);
      expect(typeof read === "string" || read.serverName === undefined || /^[A-Za-z0-9._-]+$/.test(read.serverName)).toBe(true);
    }),
    { numRuns: 2_000 },
  );
});

test("what is long and comes byte by byte, in a record for each, costs no more than its bytes", () => {
  const message = Buffer.concat([Buffer.from([1, 0, 0x28, 0]), Buffer.alloc(0x27ff)]);
  const records = Buffer.concat(singly(message).map((byte) => Buffer.concat([Buffer.from([22, 3, 1, 0, 1]), byte])));
  // each byte of 61 KiB; where what came before is read again for each, that is a task for hours
  expect(parseClientHello(...singly(records))).toBe("more");
  const last = Buffer.from([22, 3, 1, 0, 1, 0]);
  expect(parseClientHello(...singly(records), ...singly(last))).toEqual({ serverName: undefined });
});
