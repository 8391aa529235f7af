import { createServer, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { HpackDecoder } from "../../../ingress/http2/hpack-decoder.ts";
import { frame, http2Preface, literal, readFrames, frameType as T } from "./http2-frames.ts";
import { fastClock, get, makeForward, makeRoute, RawClient, startLab } from "./proxy-lab.ts";

const open: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

const endHeaders = 4;
const endStream = 1;
const status = (code: string, ...more: readonly Buffer[]): Buffer => Buffer.concat([literal(":status", code), ...more]);
const code = (n: number): Buffer => Buffer.from([0, 0, 0, n]);
const head = frame(T.headers, endHeaders, 1, status("200"));
const half = frame(T.data, 0, 1, Buffer.from("half"));

/** An endpoint that answers the first stream of each connection with these bytes, then does `last`. */
async function endpoint(bytes: Buffer, last: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    let heard = Buffer.alloc(0);
    let asked = false;
    socket.on("data", (b: Buffer) => {
      heard = Buffer.concat([heard, b]);
      if (asked || !asksIn(heard.subarray(http2Preface.length))) return;
      asked = true;
      socket.write(Buffer.concat([frame(T.settings, 0, 0), frame(T.settings, 1, 0), bytes]), () => last(socket));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push(() => {
    for (const s of sockets) s.destroy();
    server.close();
  });
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** True when there is the head of a request among the frames. */
function asksIn(frames: Buffer): boolean {
  for (let at = 0; at + 9 <= frames.length; at += 9 + frames.readUIntBE(at, 3)) if (frames[at + 3] === T.headers) return true;
  return false;
}

const stay = (): void => undefined;
const leave = (socket: Socket): void => void socket.end();

/** What the client of HTTP/1.1 gets: a page of this proxy's, an answer that is cut, or a whole one. */
async function outcome(bytes: Buffer, last: (socket: Socket) => void, transport: "auto" | "portable"): Promise<string> {
  const port = await endpoint(bytes, last);
  const timeouts = { connectSeconds: 5, sendSeconds: 20, readSeconds: 20 };
  const { ingress, http } = await startLab([port], {
    clock: fastClock(20),
    routes: [makeRoute({ action: makeForward({ protocol: "grpc", tries: 1, timeouts }) })],
    config: { timeouts: { grace: 0 }, transport },
  });
  open.push(() => ingress.close());
  const client = RawClient.connect(http).send(get());
  open.push(() => void client.socket.destroy());
  const whole = /\r\n0\r\n\r\n$|<\/html>\s*$/;
  const text = await client.until((t) => whole.test(t));
  const answered = /^HTTP\/1\.1 (\d+)/.exec(text)?.[1];
  return whole.test(text) ? (answered ?? text) : "cut";
}

const cases: readonly (readonly [name: string, bytes: Buffer, last: (socket: Socket) => void, want: string])[] = [
  ["answers", Buffer.concat([head, half, frame(T.data, endStream, 1)]), stay, "200"],
  ["ends the connection in the middle of the body", Buffer.concat([head, half]), leave, "cut"],
  ["resets the connection in the middle of the body", Buffer.concat([head, half]), (s) => void s.resetAndDestroy(), "cut"],
  ["resets without an error in the middle of the body", Buffer.concat([head, half, frame(T.reset, 0, 1, code(0))]), stay, "cut"],
  [
    "resets without an error behind a whole answer",
    Buffer.concat([head, half, frame(T.data, endStream, 1), frame(T.reset, 0, 1, code(0))]),
    stay,
    "200",
  ],
  ["cancels in the middle of the body", Buffer.concat([head, half, frame(T.reset, 0, 1, code(8))]), stay, "cut"],
  ["says GOAWAY and ends in the middle of the body", Buffer.concat([head, half, frame(T.goaway, 0, 0, Buffer.alloc(8))]), leave, "cut"],
  ["stops in the middle of the body", Buffer.concat([head, half]), stay, "cut"],
  [
    "sends less than it announced",
    Buffer.concat([
      frame(T.headers, endHeaders, 1, status("200", literal("content-length", "9"))),
      frame(T.data, endStream, 1, Buffer.from("half")),
    ]),
    stay,
    "cut",
  ],
  ["resets before an answer", frame(T.reset, 0, 1, code(2)), stay, "502"],
  ["resets without an error before an answer", frame(T.reset, 0, 1, code(0)), stay, "502"],
  ["ends before an answer", Buffer.alloc(0), leave, "502"],
  ["never answers", Buffer.alloc(0), stay, "504"],
  ["speaks no HTTP/2", Buffer.from("SSH-2.0-OpenSSH\r\n\r\n"), stay, "502"],
  ["has no status", frame(T.headers, endHeaders, 1, literal("x-a", "b")), stay, "502"],
  ["has a status that is none", frame(T.headers, endHeaders, 1, status("abc")), stay, "502"],
  ["switches", frame(T.headers, endHeaders, 1, status("101")), stay, "502"],
  ["begins with a body", half, stay, "502"],
  ["ends with a hint", frame(T.headers, endHeaders | endStream, 1, status("103")), stay, "502"],
  ["says two statuses", frame(T.headers, endHeaders, 1, status("200", literal(":status", "201"))), stay, "502"],
  ["answers another stream", frame(T.headers, endHeaders, 3, status("200")), stay, "502"],
  ["pushes", frame(T.push, endHeaders, 1, Buffer.concat([code(2), status("200")])), stay, "502"],
  [
    "has no end of headers",
    Buffer.concat([
      frame(T.headers, 0, 1, status("200")),
      ...Array.from({ length: 2000 }, () => frame(T.continuation, 0, 1, literal("x-a", "b".repeat(100)))),
    ]),
    stay,
    "502",
  ],
];

const transports = ["auto", "portable"] as const;

test.for(transports.flatMap((transport) => cases.map(([name, bytes, last, want]) => ({ transport, name, bytes, last, want }))))(
  "an endpoint of HTTP/2 that $name: $transport",
  async ({ transport, bytes, last, want }) => {
    expect(await outcome(bytes, last, transport)).toBe(want);
  },
);

const u32 = (n: number): Buffer => Buffer.from([n >>> 24, n >>> 16, n >>> 8, n]);
const ok = (stream: number, ...more: readonly Buffer[]): Buffer => frame(T.headers, endHeaders, stream, status("200", ...more));
const stolen = (stream: number, flags = 0): Buffer => frame(T.data, flags, stream, Buffer.from("stolen"));

/** What is done to one stream of a connection that others share, with what the client gets. */
const ways: Readonly<Record<string, readonly [want: string, answer: (stream: number, token: string) => readonly Buffer[]]>> = {
  good: ["200 token", (s, token) => [ok(s), frame(T.data, endStream, s, Buffer.from(token))]],
  "good-length": [
    "200 token",
    (s, token) => [ok(s, literal("content-length", String(token.length))), frame(T.data, endStream, s, Buffer.from(token))],
  ],
  "good-and-reset": ["200 token", (s, token) => [ok(s), frame(T.data, endStream, s, Buffer.from(token)), frame(T.reset, 0, s, u32(0))]],
  "reset-in-body": ["cut", (s, token) => [ok(s), frame(T.data, 0, s, Buffer.from(token)), frame(T.reset, 0, s, u32(0))]],
  "reset-before": ["502", (s) => [frame(T.reset, 0, s, u32(2))]],
  "no-status": ["502", (s) => [frame(T.headers, endHeaders, s, literal("x-a", "b")), stolen(s, endStream)]],
  "upper-case": ["502", (s) => [ok(s, literal("X-A", "b")), stolen(s, endStream)]],
  "line-end": ["502", (s) => [ok(s, literal("x-a", "b\r\n\r\nstolen")), stolen(s, endStream)]],
  coding: ["502", (s) => [ok(s, literal("transfer-encoding", "chunked")), stolen(s, endStream)]],
  "two-lengths": ["502", (s) => [ok(s, literal("content-length", "6"), literal("content-length", "3")), stolen(s, endStream)]],
  "body-first": ["502", (s) => [stolen(s), ok(s)]],
  switch: ["502", (s) => [frame(T.headers, endHeaders, s, status("101")), stolen(s)]],
  "too-long": [
    "cut",
    (s, token) => [
      ok(s, literal("content-length", String(token.length + 2))),
      frame(T.data, 0, s, Buffer.from(token)),
      stolen(s, endStream),
    ],
  ],
  "too-short": ["cut", (s, token) => [ok(s, literal("content-length", "100")), frame(T.data, endStream, s, Buffer.from(token))]],
  "bad-trailers": [
    "cut",
    (s, token) => [ok(s), frame(T.data, 0, s, Buffer.from(token)), frame(T.headers, 5, s, literal(":status", "200"))],
  ],
};

/** An endpoint that does to each stream what the path names; the answers of one read are sent in turns, a frame of each. */
async function sharedEndpoint(): Promise<{ readonly port: number; readonly accepted: () => number }> {
  let accepted = 0;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    accepted++;
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.write(Buffer.concat([frame(T.settings, 0, 0), frame(T.settings, 1, 0)]));
    const decoder = new HpackDecoder({ bytes: 64 * 1024, lines: 100 });
    let held = Buffer.alloc(0);
    let greeted = false;
    socket.on("data", (b: Buffer) => {
      held = Buffer.concat([held, b]);
      if (!greeted) held = held.subarray(http2Preface.length);
      greeted = true;
      const { frames, rest } = readFrames(held);
      held = Buffer.from(rest);
      const answers = frames
        .filter((f) => f.type === T.headers)
        .map(({ stream, payload }) => {
          const path = decoder.decode(payload, 0, payload.length)?.lines.find((l) => l.name === ":path")?.value ?? "";
          const [, way = "", token = ""] = path.split("/");
          return ways[way]?.[1](stream, token) ?? [];
        });
      const longest = Math.max(0, ...answers.map((a) => a.length));
      for (let i = 0; i < longest; i++) socket.write(Buffer.concat(answers.flatMap((a) => a[i] ?? [])));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push(() => {
    for (const s of sockets) s.destroy();
    server.close();
  });
  const address = server.address();
  return { port: typeof address === "object" && address !== null ? address.port : 0, accepted: () => accepted };
}

test.for(transports)("what an endpoint of HTTP/2 does to one stream does no harm to others of its connection: %s", async (transport) => {
  const up = await sharedEndpoint();
  const timeouts = { connectSeconds: 50, sendSeconds: 50, readSeconds: 50 };
  const { ingress, http } = await startLab([up.port], {
    routes: [makeRoute({ action: makeForward({ protocol: "grpc", tries: 1, timeouts }) })],
    config: { timeouts: { grace: 0 }, transport },
  });
  open.push(() => ingress.close());
  const ask = async (way: string, nth: number): Promise<string> => {
    const token = `token${nth}of${way}`;
    const client = RawClient.connect(http).send(`GET /${way}/${token} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n`);
    const text = await client.untilEnd();
    client.socket.destroy();
    return text.includes("stolen") ? "what is another's" : outcomeIn(text, token);
  };
  const names = Object.keys(ways).flatMap((way) => [way, "good", way]);
  const got = await Promise.all(names.map(async (way, i) => `${way}: ${await ask(way, i)}`));
  expect(got).toEqual(names.map((way) => `${way}: ${ways[way]?.[0]}`));
  expect(up.accepted()).toBe(1);
});

/** `cut`: the client could tell that it is not all. */
function outcomeIn(text: string, token: string): string {
  const [head = "", ...parts] = text.split("\r\n\r\n");
  const body = parts.join("\r\n\r\n");
  const length = /^content-length: (\d+)/im.exec(head)?.[1];
  const whole = length === undefined ? text.endsWith("\r\n0\r\n\r\n") : body.length === Number(length);
  const answered = /^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? "";
  if (!whole) return "cut";
  return answered !== "200" ? answered : body.includes(token) ? "200 token" : `200 with ${body}`;
}
