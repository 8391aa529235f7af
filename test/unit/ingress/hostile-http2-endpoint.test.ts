import { createServer, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { frame, http2Preface, literal, frameType as T } from "./http2-frames.ts";
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
