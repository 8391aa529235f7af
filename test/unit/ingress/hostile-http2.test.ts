import { type ClientHttp2Session, connect } from "node:http2";
import { connect as netConnect, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { FrameClient, frame, http2Preface, literal, requestFields } from "./http2-frames.ts";
import { type Answer, get, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

const open: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

const ok: Answer = (r) => r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");

async function lab(answer: Answer = ok, transport: "auto" | "portable" = "auto"): Promise<{ http: number; up: RawEndpoint }> {
  const up = await RawEndpoint.start(answer);
  const { ingress, http } = await startLab([up.port], { config: { transport, timeouts: { grace: 0 } } });
  open.push(
    () => up.close(),
    () => ingress.close(),
  );
  return { http, up };
}

function session(port: number): ClientHttp2Session {
  const s = connect(`http://127.0.0.1:${port}`);
  s.on("error", () => undefined);
  open.push(() => s.destroy());
  return s;
}

function ask(s: ClientHttp2Session, path = "/"): Promise<string> {
  const stream = s.request({ ":path": path, ":authority": "a.test" });
  return new Promise((resolve) => {
    let text = "";
    stream.on("response", (h) => {
      text = `${String(h[":status"])} `;
    });
    stream.on("data", (b: Buffer) => {
      text += b.toString();
    });
    stream.on("error", () => undefined);
    stream.on("close", () => resolve(text));
  });
}

describe.for(["auto", "portable"] as const)("without TLS, over the transport %s", (transport) => {
  test("prior knowledge: a client that begins with HTTP/2 is answered in it", async () => {
    const { http, up } = await lab(ok, transport);
    const s = session(http);
    expect(await Promise.all(["/a", "/b", "/c"].map((path) => ask(s, path)))).toEqual(["200 ok", "200 ok", "200 ok"]);
    expect(up.seen[0]?.head).toContain("X-Forwarded-Proto: http\r\n");
  });

  test("the preface may come in pieces; a POST begins alike", async () => {
    const { http } = await lab(ok, transport);
    const c = RawClient.connect(http);
    open.push(() => void c.socket.destroy());
    c.send("P");
    await new Promise((resolve) => setImmediate(resolve));
    expect(await c.send("OST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx").until((t) => t.endsWith("ok"))).toMatch(
      /^HTTP\/1\.1 200/,
    );
    const h2 = RawClient.connect(http);
    open.push(() => void h2.socket.destroy());
    for (const piece of ["PRI * HT", "TP/2.0\r\n\r\nSM", "\r\n\r\n", "\0\0\0\x04\0\0\0\0\0"]) {
      h2.send(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
    // a SETTINGS frame of its own, and one that acknowledges ours
    const text = await h2.until((t) => t.includes("\0\0\0\x04\x01\0\0\0\0"));
    expect(text.slice(3, 9)).toBe("\x04\0\0\0\0\0");
  });
});

test("extended CONNECT: a WebSocket over a stream, both ways, each side ends by itself", async () => {
  const { http, up } = await lab((r) => {
    r.socket.removeAllListeners("data");
    r.socket.removeAllListeners("end");
    r.socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\nhello",
    );
    r.socket.on("data", (b) => r.socket.write(`<${b.toString()}>`));
    r.socket.on("end", () => r.socket.end("bye"));
  });
  const s = session(http);
  await new Promise<void>((resolve) => void s.once("remoteSettings", () => resolve()));
  expect(s.remoteSettings.enableConnectProtocol).toBe(true);
  const stream = s.request({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":scheme": "http",
    ":path": "/ws",
    ":authority": "a.test",
    "sec-websocket-version": "13",
  });
  let text = "";
  let headers: Record<string, unknown> = {};
  stream.on("response", (h) => {
    headers = h;
  });
  const until = async (want: string): Promise<void> => {
    while (!text.endsWith(want)) await new Promise<void>((resolve) => void stream.once("data", () => resolve()));
  };
  stream.on("data", (b: Buffer) => {
    text += b.toString();
  });
  await until("hello");
  expect(headers).toMatchObject({ ":status": 200, "sec-websocket-protocol": "chat" });
  expect(headers).not.toHaveProperty("sec-websocket-accept");
  expect(up.seen[0]?.head).toMatch(/^GET \/ws HTTP\/1\.1\r\n/);
  expect(up.seen[0]?.head).toMatch(/Sec-WebSocket-Key: [A-Za-z0-9+/]{22}==\r\n/);
  stream.write("ping");
  await until("<ping>");
  stream.end();
  await until("bye");
});

const preface = http2Preface;
const settings = frame(4, 0, 0);
const fields = requestFields();

function hostile(port: number): Socket {
  const socket = netConnect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.resume();
  open.push(() => void socket.destroy());
  return socket;
}

/** Of this thread: what the runner's other threads use is not ours to count. */
function memory(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Floods until the connection is ended for it; frames are made anew by their number. */
async function floodUntilClosed(socket: Socket, make: (i: number) => Buffer, most: number): Promise<boolean> {
  let closed = false;
  socket.on("close", () => {
    closed = true;
  });
  for (let i = 0; i < most && !closed; ) {
    const batch: Buffer[] = [];
    for (let j = 0; j < 500 && i < most; j++) batch.push(make(i++));
    if (!socket.write(Buffer.concat(batch)))
      await new Promise<void>((resolve) => {
        socket.once("drain", () => resolve());
        socket.once("close", () => resolve());
      });
    await new Promise((resolve) => setImmediate(resolve));
  }
  for (let i = 0; i < 1_000 && !closed; i++) await new Promise((resolve) => setImmediate(resolve));
  return closed;
}

const bomb = Buffer.concat([
  // one entry of the table, and thousands of references to it
  Buffer.from([0x40, 1, 0x78, 0x7f, 0xa1, 0x1e]),
  Buffer.alloc(4_000, 0x61),
  Buffer.alloc(12_000, 0xbe),
]);

test.for<[name: string, make: (i: number) => Buffer, most: number]>([
  ["rapid reset", (i) => Buffer.concat([frame(1, 5, 2 * i + 1, fields), frame(3, 0, 2 * i + 1, Buffer.from([0, 0, 0, 8]))]), 60_000],
  // resets that the client has this side make: by what is wrong with a stream, not with the connection
  [
    "resets by a window update of nothing",
    (i) => Buffer.concat([frame(1, 4, 2 * i + 1, fields), frame(8, 0, 2 * i + 1, Buffer.alloc(4))]),
    60_000,
  ],
  [
    "resets by DATA after the end",
    (i) => Buffer.concat([frame(1, 5, 2 * i + 1, fields), frame(0, 0, 2 * i + 1, Buffer.from("x"))]),
    60_000,
  ],
  ["empty DATA", (i) => (i === 0 ? frame(1, 4, 1, fields) : frame(0, 0, 1)), 400_000],
  ["PRIORITY", (i) => frame(2, 0, 2 * (i % 100_000) + 1, Buffer.from([0, 0, 0, 0, 1])), 400_000],
  ["frames of no known type", () => frame(0x77, 0, 0, Buffer.alloc(100)), 400_000],
  ["PING", () => frame(6, 0, 0, Buffer.alloc(8)), 400_000],
  ["SETTINGS", () => frame(4, 0, 0, Buffer.from([0, 3, 0, 0, 0, 1])), 400_000],
  [
    "SETTINGS with too many entries",
    () => frame(4, 0, 0, Buffer.concat(Array.from({ length: 40 }, () => Buffer.from([0, 3, 0, 0, 0, 1])))),
    10,
  ],
  ["CONTINUATION without an end", (i) => (i === 0 ? frame(1, 1, 1, fields) : frame(9, 0, 1, literal("x", "y".repeat(100)))), 100_000],
  ["empty CONTINUATION", (i) => (i === 0 ? frame(1, 1, 1, fields) : frame(9, 0, 1)), 100_000],
  ["frames above the size that was agreed", () => frame(0, 0, 1, Buffer.alloc(20_000)), 10],
  ["DATA on a stream that is not there", () => frame(0, 0, 1, Buffer.alloc(10)), 10],
  ["HEADERS on an even stream", () => frame(1, 5, 2, fields), 10],
  ["WINDOW_UPDATE by nothing", () => frame(8, 0, 0, Buffer.alloc(4)), 10],
  ["WINDOW_UPDATE past its bound", () => frame(8, 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff])), 10],
  ["PUSH_PROMISE of a client", () => frame(5, 4, 1, Buffer.from([0, 0, 0, 2])), 10],
])("%s: the connection ends, and others notice nothing", { timeout: 60_000 }, async ([, make, most]) => {
  const { http } = await lab();
  const before = memory();
  const bystander = RawClient.connect(http);
  open.push(() => void bystander.socket.destroy());
  const socket = hostile(http);
  socket.write(Buffer.concat([preface, settings]));
  const closed = floodUntilClosed(socket, make, most);
  for (let i = 0; i < 5; i++) {
    bystander.text = "";
    expect(await bystander.send(get()).until((t) => t.endsWith("ok"))).toMatch(/^HTTP\/1\.1 200/);
  }
  expect(await closed).toBe(true);
  expect(memory() - before).toBeLessThan(200 * 1024 * 1024);
});

test("a header table turned into a bomb: its streams are refused one by one, in little memory", async () => {
  const { http, up } = await lab();
  const before = memory();
  const socket = hostile(http);
  socket.write(Buffer.concat([preface, settings]));
  // each would be 48 MB of headers
  await floodUntilClosed(socket, (i) => frame(1, 5, 2 * i + 1, Buffer.concat([fields, bomb])), 300);
  const bystander = RawClient.connect(http);
  open.push(() => void bystander.socket.destroy());
  expect(await bystander.send(get()).until((t) => t.endsWith("ok"))).toMatch(/^HTTP\/1\.1 200/);
  expect(memory() - before).toBeLessThan(200 * 1024 * 1024);
  expect(up.seen).toHaveLength(1);
});

test("who goes on with such bombs is cut off", { timeout: 60_000 }, async () => {
  const { http } = await lab();
  const socket = hostile(http);
  socket.write(Buffer.concat([preface, settings]));
  expect(await floodUntilClosed(socket, (i) => frame(1, 5, 2 * i + 1, Buffer.concat([fields, bomb])), 100_000)).toBe(true);
});

test("streams that are reset as soon as they have begun cost no endpoint a connection; one that is not is answered", async () => {
  const { http, up } = await lab();
  const c = new FrameClient(http);
  open.push(() => void c.socket.destroy());
  const reset = (i: number): Buffer => Buffer.concat([frame(1, 5, i, fields), frame(3, 0, i, Buffer.from([0, 0, 0, 8]))]);
  c.send(preface, settings, ...Array.from({ length: 100 }, (_, i) => reset(2 * i + 1)), frame(1, 5, 201, fields));
  expect((await c.until((f) => f.type === 0))?.stream).toBe(201);
  expect([up.accepted, up.seen.length]).toEqual([1, 1]);
});
