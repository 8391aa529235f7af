import { once } from "node:events";
import { connect, createServer } from "node:net";
import { connect as tlsConnect } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { IngressServer } from "../../../ingress/index.ts";
import { get, makeRoute, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

// one ingress for the whole table: what one row does must not be felt by the next
describe.for([
  ["decided by the first bytes", "auto"],
  ["decided by the handshake", "auto"],
  ["decided by the handshake", "portable"],
] as const)("TLS %s, over the transport %s", ([how, transport]) => {
  let up: RawEndpoint;
  let ingress: IngressServer;
  let port = 0;
  let plain = 0;
  let bystander: RawClient;

  beforeAll(async () => {
    up = await RawEndpoint.start((r) => r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    // a host that goes unopened makes every ClientHello be read before node:tls sees it
    const unopened = makeRoute({ id: "t", host: { kind: "exact", name: "t.test" }, passthrough: "none" });
    const routes = how === "decided by the first bytes" ? [makeRoute(), unopened] : [makeRoute()];
    const config = { transport, https: [{ ip: "127.0.0.1", port: 0 }], timeouts: { head: 1_000 } };
    ({ ingress, https: port, http: plain } = await startLab([up.port], { routes, config }));
    bystander = new RawClient(tlsConnect({ port, host: "127.0.0.1", rejectUnauthorized: false }));
  });
  afterAll(async () => {
    bystander.socket.destroy();
    await ingress.close();
    await up.close();
  });

  const record = (type: number, body: Buffer, version = 0x0301): Buffer =>
    Buffer.concat([Buffer.from([type, version >> 8, version & 255, body.length >> 8, body.length & 255]), body]);
  const hello = (length: number, body: Buffer): Buffer =>
    Buffer.concat([Buffer.from([1, length >> 16, (length >> 8) & 255, length & 255]), body]);

  /** A ClientHello that offers one version of TLS and one cipher. */
  function plainHello(version: number, cipher = 0xc02b): Buffer {
    const body = Buffer.concat([
      Buffer.from([version >> 8, version & 255]),
      Buffer.alloc(32, 7),
      Buffer.from([0, 0, 2, cipher >> 8, cipher & 255, 1, 0, 0, 0]),
    ]);
    return record(22, hello(body.length, body), version);
  }

  test.for<[name: string, sent: Buffer]>([
    ["zeros", Buffer.alloc(600)],
    ["all ones", Buffer.alloc(600, 0xff)],
    ["HTTP", Buffer.from(get())],
    ["a ClientHello of SSL 2", Buffer.concat([Buffer.from([0x80, 0x2e, 1, 0, 2, 0, 21, 0, 0, 0, 16]), Buffer.alloc(37, 1)])],
    ["SSL 3", plainHello(0x0300)],
    ["TLS 1.0", plainHello(0x0301)],
    ["TLS 1.1", plainHello(0x0302)],
    ["a cipher that nobody has", plainHello(0x0303, 0x1234)],
    ["a version that is none", plainHello(0x0909)],
    ["a ServerHello", record(22, Buffer.from([2, 0, 0, 1, 0]))],
    ["an alert", record(21, Buffer.from([2, 40]))],
    ["application data", record(23, Buffer.alloc(100))],
    ["a heartbeat", record(24, Buffer.from([1, 0x40, 0]))],
    ["an empty record", record(22, Buffer.alloc(0))],
    ["a record that is too long", Buffer.concat([Buffer.from([22, 3, 1, 0xff, 0xff]), Buffer.alloc(70_000)])],
    ["a ClientHello without a body", record(22, hello(0, Buffer.alloc(0)))],
    ["a ClientHello shorter than it says", Buffer.concat([record(22, hello(10, Buffer.alloc(10))), record(23, Buffer.alloc(9))])],
    ["a ClientHello of 16 MiB", Buffer.concat(Array.from({ length: 5 }, () => record(22, hello(0xff_ffff, Buffer.alloc(16_000)))))],
    [
      "extensions that go beyond their end",
      record(22, hello(45, Buffer.concat([plainHello(0x0303).subarray(9, 50), Buffer.from([0xff, 0xff, 0, 0])]))),
    ],
  ])("%s: closed, and nobody else notices", async ([, sent]) => {
    const socket = connect(port, "127.0.0.1");
    const c = new RawClient(socket);
    socket.write(sent);
    await c.untilEnd();
    expect(c.text).not.toMatch(/HTTP/);
    socket.destroy();
    bystander.text = "";
    expect(await bystander.send(get()).until((t) => t.endsWith("ok"))).toMatch(/^HTTP\/1\.1 200/);
  });

  test("TLS on the port without it: 400, and closed", async () => {
    const c = RawClient.connect(plain);
    c.socket.write(plainHello(0x0303));
    c.send("\r\n\r\n");
    expect(await c.untilEnd()).toMatch(/^HTTP\/1\.1 400 /);
    c.socket.destroy();
  });

  test.for<[name: string, servername: string]>([
    ["none", ""],
    ["with a dot at its end", "a.test."],
    ["in capitals", "A.TEST"],
    ["nobody's", "nobody.test"],
    ["a wildcard", "*.test"],
    ["with an underscore", "a_b.test"],
    ["with empty labels", "a..test"],
    ["as long as a label may be", `${"a".repeat(63)}.test`],
    ["longer than a name may be", `${"a.".repeat(127)}test`],
  ])("a server name that is %s: served as its Host says", async ([, servername]) => {
    const c = new RawClient(tlsConnect({ port, host: "127.0.0.1", rejectUnauthorized: false, servername }));
    expect(await c.send(get()).until((t) => t.endsWith("ok"))).toMatch(/^HTTP\/1\.1 200/);
    c.socket.destroy();
  });

  /** The bytes of one record as many, of so many bytes each. */
  const inRecords = (bytes: Buffer, size: number): readonly Buffer[] =>
    Array.from({ length: Math.ceil((bytes.length - 5) / size) }, (_, i) =>
      record(22, bytes.subarray(5 + i * size, Math.min(bytes.length, 5 + (i + 1) * size))),
    );
  test.for<[name: string, pieces: (hello: Buffer) => readonly Buffer[]]>([
    ["byte by byte for a while", (hello) => [...Array.from(hello.subarray(0, 60), (byte) => Buffer.from([byte])), hello.subarray(60)]],
    ["in records of 40 bytes", (hello) => [Buffer.concat(inRecords(hello, 40))]],
    ["in records of 8 bytes", (hello) => [Buffer.concat(inRecords(hello, 8))]],
    ["in records of a byte", (hello) => [Buffer.concat(inRecords(hello, 1))]],
    ["in records of a byte, one at a time", (hello) => inRecords(hello, 1)],
  ])("a ClientHello that comes %s is one", async ([, pieces]) => {
    const relay = createServer((from) => {
      const to = connect(port, "127.0.0.1");
      for (const s of [from, to]) s.on("error", () => s.destroy());
      to.setNoDelay(true);
      to.pipe(from);
      from.once("data", (hello: Buffer) => {
        from.pause();
        void (async () => {
          for (const piece of pieces(hello)) {
            to.write(piece);
            await new Promise((resolve) => setImmediate(resolve));
          }
          from.pipe(to);
        })();
      });
    });
    await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
    const at = relay.address();
    const through = typeof at === "object" && at !== null ? at.port : 0;
    const c = new RawClient(tlsConnect({ port: through, host: "127.0.0.1", rejectUnauthorized: false, servername: "a.test" }));
    expect(await c.send(get()).until((t) => t.endsWith("ok"))).toMatch(/^HTTP\/1\.1 200/);
    c.socket.destroy();
    await new Promise((resolve) => relay.close(resolve));
  });

  test("who says nothing, or a byte now and then, is closed when its time is up", async () => {
    const silent = RawClient.connect(port);
    const slow = RawClient.connect(port);
    const bytes = plainHello(0x0303);
    let at = 0;
    // never idle for as long as the time-out
    const drip = setInterval(() => slow.socket.write(bytes.subarray(at, ++at)), 100);
    await Promise.all([silent.untilEnd(), slow.untilEnd()]);
    clearInterval(drip);
    expect(at).toBeLessThan(bytes.length);
  });

  test("clients that break off at any byte leave nothing behind", async () => {
    const bytes = plainHello(0x0303);
    for (let n = 0; n < bytes.length; n += 5) {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => undefined);
      await once(socket, "connect");
      socket.write(bytes.subarray(0, n));
      socket.resetAndDestroy();
    }
    // nothing waits: a drain has only the bystander to end
    expect(await bystander.send(get()).until((t) => t.endsWith("ok"))).toMatch(/200/);
  });

  test("a client of TLS 1.2 may not negotiate anew", async () => {
    const socket = tlsConnect({ port, host: "127.0.0.1", rejectUnauthorized: false, maxVersion: "TLSv1.2" });
    await once(socket, "secureConnect");
    const failed = new Promise<void>((resolve) => {
      socket.once("error", () => resolve());
      socket.once("close", () => resolve());
    });
    socket.renegotiate({ rejectUnauthorized: false }, () => undefined);
    await failed;
    socket.destroy();
  });
});

test("at the limit of connections an idle one makes room; where all are busy, the new one is closed", async () => {
  const waiting: (() => void)[] = [];
  const up = await RawEndpoint.start((r) => void waiting.push(() => r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")));
  const { ingress, http } = await startLab([up.port], { config: { maxConnections: 2 } });
  const [busy, idle] = [RawClient.connect(http).send(get()), RawClient.connect(http)];
  while (up.seen.length < 1 || !ingress.metrics().includes('state="active"} 2')) await new Promise((resolve) => setImmediate(resolve));
  const third = RawClient.connect(http).send(get());
  await idle.untilEnd();
  while (up.seen.length < 2) await new Promise((resolve) => setImmediate(resolve));
  expect(await RawClient.connect(http).send(get()).untilEnd()).toBe("");
  for (const answer of waiting) answer();
  for (const c of [busy, third]) expect(await c.until((t) => t.endsWith("ok"))).toMatch(/^HTTP\/1\.1 200/);
  await ingress.close();
  await up.close();
});
