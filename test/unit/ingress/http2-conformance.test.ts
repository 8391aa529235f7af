import { connect } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { IngressServer } from "../../../ingress/index.ts";
import { FrameClient, frame, type HeardFrame, http2Preface, literal, requestFields, frameType as T } from "./http2-frames.ts";
import { RawEndpoint, startLab } from "./proxy-lab.ts";

// RFC 9113, by its sections: what a client may send, and what a server must make of it. Where the RFC leaves a choice, `want` is
// any of what it allows.

let up: RawEndpoint;
let ingress: IngressServer;
let port = 0;
let tlsPort = 0;
beforeAll(async () => {
  up = await RawEndpoint.start((r) => r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
  ({
    ingress,
    http: port,
    https: tlsPort,
  } = await startLab([up.port], { config: { https: [{ ip: "127.0.0.1", port: 0 }], timeouts: { grace: 0 } } }));
});
afterAll(async () => {
  await ingress.close();
  await up.close();
});

const endStream = 1;
const endHeaders = 4;
const padded = 8;
const priority = 0x20;
const code = { protocol: 1, internal: 2, flow: 3, closed: 5, size: 6, refused: 7, compression: 9 };

const settings = (...entries: readonly (readonly [id: number, value: number])[]): Buffer =>
  frame(
    T.settings,
    0,
    0,
    Buffer.concat(
      entries.map(([id, value]) => {
        const entry = Buffer.alloc(6);
        entry.writeUInt16BE(id, 0);
        entry.writeUInt32BE(value, 2);
        return entry;
      }),
    ),
  );
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value, 0);
  return bytes;
};
const ask = (over: readonly (readonly [string, string])[] = [], stream = 1): Buffer =>
  frame(T.headers, endStream | endHeaders, stream, requestFields(over));
const post = (over: readonly (readonly [string, string])[] = []): Buffer =>
  frame(T.headers, endHeaders, 1, requestFields([[":method", "POST"], ...over]));
const data = (text: string, flags = endStream, stream = 1): Buffer => frame(T.data, flags, stream, Buffer.from(text));
const block = (...parts: readonly Buffer[]): Buffer => frame(T.headers, endStream | endHeaders, 1, Buffer.concat(parts));
const line = ([name, value]: readonly [string, string]): Buffer => literal(name, value);
const raw = (...bytes: readonly number[]): Buffer => Buffer.from(bytes);

/** `200`: the stream is answered, and ends. `lives`: nothing but a PING that follows is answered. */
type Want = "200" | "lives" | "closed" | `goaway ${keyof typeof code}` | `reset ${keyof typeof code}`;

const cases: readonly (readonly [section: string, name: string, frames: readonly Buffer[], want: readonly Want[]])[] = [
  ["3.4", "a preface, SETTINGS, a request", [ask()], ["200"]],
  ["4.1", "a frame of unknown type is ignored", [frame(0x16, 0, 0, Buffer.from("what?")), ask()], ["200"]],
  ["4.1", "undefined flags are ignored", [frame(T.ping, 0x16, 0, Buffer.alloc(8)), ask()], ["200"]],
  ["4.1", "the reserved bit is ignored", [frame(T.ping, 0, 0x8000_0000, Buffer.alloc(8)), ask()], ["200"]],
  ["4.2", "DATA as long as a frame may be", [post(), data("x".repeat(16_384))], ["200"]],
  ["4.2", "DATA longer than a frame may be", [post(), data("x".repeat(16_385))], ["goaway size", "reset size", "closed"]],
  ["4.2", "HEADERS longer than a frame may be", [frame(T.headers, 5, 1, Buffer.alloc(16_385))], ["goaway size", "closed"]],
  [
    "4.3",
    "a field block that cannot be decoded",
    [frame(T.headers, 5, 1, raw(0xff, 0xff, 0xff, 0xff, 0xff))],
    ["goaway compression", "closed"],
  ],
  [
    "4.3",
    "another frame amid a field block",
    [frame(T.headers, endStream, 1, requestFields()), frame(T.priority, 0, 3, Buffer.alloc(5))],
    ["goaway protocol", "closed"],
  ],
  [
    "4.3",
    "HEADERS of another stream amid a field block",
    [frame(T.headers, endStream, 1, requestFields()), ask([], 3)],
    ["goaway protocol", "closed"],
  ],
  ["5.1", "idle: DATA", [data("x")], ["goaway protocol", "goaway closed", "closed"]],
  ["5.1", "idle: RST_STREAM", [frame(T.reset, 0, 1, u32(8))], ["goaway protocol", "closed"]],
  ["5.1", "idle: WINDOW_UPDATE", [frame(T.window, 0, 1, u32(100))], ["goaway protocol", "closed"]],
  ["5.1", "idle: CONTINUATION", [frame(T.continuation, endHeaders, 1, requestFields())], ["goaway protocol", "closed"]],
  ["5.1", "idle: PRIORITY is allowed", [frame(T.priority, 0, 1, Buffer.concat([u32(0), raw(1)])), ask()], ["200"]],
  ["5.1", "half-closed: DATA", [ask(), data("x")], ["goaway closed", "reset closed", "closed"]],
  ["5.1", "half-closed: HEADERS", [ask(), ask()], ["goaway closed", "goaway protocol", "reset closed", "closed"]],
  [
    "5.1",
    "half-closed: CONTINUATION",
    [ask(), frame(T.continuation, 4, 1, requestFields())],
    ["goaway closed", "goaway protocol", "closed"],
  ],
  [
    "5.1",
    "half-closed: WINDOW_UPDATE and PRIORITY are allowed",
    [ask(), frame(T.window, 0, 1, u32(1)), frame(T.priority, 0, 1, Buffer.concat([u32(0), raw(1)]))],
    ["200"],
  ],
  ["5.1", "closed: HEADERS", [post(), frame(T.reset, 0, 1, u32(8)), ask()], ["goaway closed", "reset closed"]],
  ["5.1", "closed: DATA", [post(), frame(T.reset, 0, 1, u32(8)), data("x")], ["reset closed", "goaway closed"]],
  [
    "5.1",
    "closed: CONTINUATION",
    [post(), frame(T.reset, 0, 1, u32(8)), frame(T.continuation, 4, 1, requestFields())],
    ["goaway protocol"],
  ],
  [
    "5.1",
    "closed: WINDOW_UPDATE, PRIORITY and RST_STREAM may still be under way",
    [post(), ...[0, 1].map(() => frame(T.reset, 0, 1, u32(8))), frame(T.window, 0, 1, u32(1)), frame(T.priority, 0, 1, Buffer.alloc(5))],
    ["lives"],
  ],
  [
    "5.1.1",
    "a stream below one that was begun",
    [frame(T.headers, endHeaders, 5, requestFields([[":method", "POST"]])), ask([], 3)],
    ["goaway protocol"],
  ],
  ["5.1.1", "an even stream", [ask([], 2)], ["goaway protocol", "closed"]],
  ["5.1.1", "stream 0", [frame(T.headers, 5, 0, requestFields())], ["goaway protocol", "closed"]],
  [
    "5.5",
    "an unknown frame amid a field block",
    [frame(T.headers, endStream, 1, requestFields()), frame(0x16, 0, 0)],
    ["goaway protocol", "closed"],
  ],
  ["6.1", "DATA on stream 0", [data("x", endStream, 0)], ["goaway protocol", "closed"]],
  [
    "6.1",
    "padding is not part of the body",
    [post([["content-length", "2"]]), frame(T.data, endStream | padded, 1, Buffer.from("\x05ok\0\0\0\0\0"))],
    ["200"],
  ],
  ["6.1", "more padding than payload", [post(), frame(T.data, endStream | padded, 1, raw(6, 0x61, 0x62))], ["goaway protocol", "closed"]],
  [
    "6.2",
    "HEADERS with padding and a priority",
    [frame(T.headers, 5 | padded | priority, 1, Buffer.concat([raw(2), u32(0), raw(16), requestFields(), raw(0, 0)]))],
    ["200"],
  ],
  [
    "6.2",
    "more padding than payload",
    [frame(T.headers, 5 | padded, 1, Buffer.concat([raw(200), requestFields()]))],
    ["goaway protocol", "closed"],
  ],
  [
    "5.3.1",
    "a priority of HEADERS that names its own stream",
    [frame(T.headers, 5 | priority, 1, Buffer.concat([u32(1), raw(16), requestFields()]))],
    ["reset protocol"],
  ],
  ["5.3.1", "PRIORITY that names its own stream", [post(), frame(T.priority, 0, 1, Buffer.concat([u32(1), raw(1)]))], ["reset protocol"]],
  ["6.3", "PRIORITY on stream 0", [frame(T.priority, 0, 0, Buffer.alloc(5))], ["goaway protocol"]],
  ["6.3", "PRIORITY of a wrong length", [frame(T.priority, 0, 1, Buffer.alloc(4)), ask()], ["reset size", "goaway size", "closed"]],
  ["6.4", "RST_STREAM on stream 0", [frame(T.reset, 0, 0, u32(8))], ["goaway protocol", "closed"]],
  ["6.4", "RST_STREAM of a wrong length", [ask(), frame(T.reset, 0, 1, Buffer.alloc(3))], ["goaway size", "closed"]],
  ["6.4", "a reset stream is not answered", [post(), frame(T.reset, 0, 1, u32(8))], ["lives"]],
  ["6.5", "SETTINGS ACK with a payload", [frame(T.settings, 1, 0, Buffer.alloc(6))], ["goaway size", "closed"]],
  ["6.5", "SETTINGS on a stream", [frame(T.settings, 0, 1)], ["goaway protocol", "closed"]],
  ["6.5", "SETTINGS of a wrong length", [frame(T.settings, 0, 0, Buffer.alloc(5))], ["goaway size", "closed"]],
  ["6.5.2", "ENABLE_PUSH that is neither 0 nor 1", [settings([2, 2])], ["goaway protocol", "closed"]],
  ["6.5.2", "INITIAL_WINDOW_SIZE past its bound", [settings([4, 0x8000_0000])], ["goaway flow", "closed"]],
  ["6.5.2", "MAX_FRAME_SIZE below its bound", [settings([5, 16_383])], ["goaway protocol", "closed"]],
  ["6.5.2", "MAX_FRAME_SIZE above its bound", [settings([5, 0x100_0000])], ["goaway protocol", "closed"]],
  ["6.5.2", "an unknown setting is ignored", [settings([0xff, 1]), ask()], ["200"]],
  [
    "6.6",
    "PUSH_PROMISE of a client",
    [frame(T.push, endHeaders, 1, Buffer.concat([u32(2), requestFields()]))],
    ["goaway protocol", "closed"],
  ],
  ["6.7", "PING on a stream", [frame(T.ping, 0, 1, Buffer.alloc(8))], ["goaway protocol", "closed"]],
  ["6.7", "PING of a wrong length", [frame(T.ping, 0, 0, Buffer.alloc(6))], ["goaway size", "closed"]],
  ["6.7", "an acknowledgement of a PING that was not sent", [frame(T.ping, 1, 0, Buffer.alloc(8))], ["lives"]],
  ["6.8", "GOAWAY on a stream", [frame(T.goaway, 0, 1, Buffer.alloc(8))], ["goaway protocol", "closed"]],
  ["6.9", "WINDOW_UPDATE by nothing", [frame(T.window, 0, 0, u32(0))], ["goaway protocol", "closed"]],
  ["6.9", "WINDOW_UPDATE by nothing on a stream", [post(), frame(T.window, 0, 1, u32(0))], ["reset protocol", "goaway protocol", "closed"]],
  ["6.9", "WINDOW_UPDATE of a wrong length", [frame(T.window, 0, 0, Buffer.alloc(3))], ["goaway size", "closed"]],
  [
    "6.9.1",
    "a window past its bound",
    [frame(T.window, 0, 0, u32(0x7fff_ffff)), frame(T.window, 0, 0, u32(0x7fff_ffff))],
    ["goaway flow", "closed"],
  ],
  ["6.9.1", "a window of a stream past its bound", [post(), frame(T.window, 0, 1, u32(0x7fff_ffff))], ["reset flow"]],
  ["6.9.1", "a window of nothing, then of enough", [settings([4, 0]), ask(), frame(T.window, 0, 1, u32(2))], ["200"]],
  [
    "6.9.2",
    "a window that settings made smaller, and larger again",
    [settings([4, 1]), ask(), settings([4, 0]), settings([4, 100])],
    ["200"],
  ],
  [
    "6.10",
    "a field block in three frames",
    [
      frame(T.headers, endStream, 1, requestFields().subarray(0, 5)),
      frame(T.continuation, 0, 1, requestFields().subarray(5, 20)),
      frame(T.continuation, endHeaders, 1, requestFields().subarray(20)),
    ],
    ["200"],
  ],
  [
    "6.10",
    "CONTINUATION on stream 0",
    [frame(T.headers, endStream, 1, requestFields()), frame(T.continuation, endHeaders, 0)],
    ["goaway protocol", "closed"],
  ],
  [
    "6.10",
    "CONTINUATION after the end of a field block",
    [post(), frame(T.continuation, endHeaders, 1, literal("x", "y"))],
    ["goaway protocol", "closed"],
  ],
  [
    "6.10",
    "CONTINUATION after DATA",
    [post(), data("x", 0), frame(T.continuation, endHeaders, 1, literal("x", "y"))],
    ["goaway protocol", "closed"],
  ],
  ["7", "an unknown error code is one all the same", [post(), frame(T.reset, 0, 1, u32(0xff))], ["lives"]],
  ["8.1", "trailers", [post(), data("x", 0), frame(T.headers, 5, 1, literal("x-trailer", "y"))], ["200"]],
  [
    "8.1",
    "trailers that do not end the stream",
    [post(), data("x", 0), frame(T.headers, endHeaders, 1, literal("x", "y"))],
    ["reset protocol", "goaway protocol", "closed"],
  ],
  [
    "8.1",
    "a pseudo-header among trailers",
    [post(), data("x", 0), frame(T.headers, 5, 1, literal(":path", "/b"))],
    ["reset protocol", "goaway protocol", "closed"],
  ],
  ["8.1.1", "more DATA than content-length", [post([["content-length", "1"]]), data("xx")], ["reset protocol"]],
  [
    "8.1.1",
    "less DATA than content-length, in two frames",
    [post([["content-length", "4"]]), data("x", 0), data("y")],
    ["reset protocol", "goaway protocol", "closed"],
  ],
  ["8.1.1", "content-length without a body", [ask([["content-length", "4"]])], ["reset protocol", "goaway protocol", "closed"]],
  ...(
    [
      ["8.2", "a name in capitals", ["X-Name", "y"]],
      ["8.2.2", "connection", ["connection", "keep-alive"]],
      ["8.2.2", "transfer-encoding", ["transfer-encoding", "chunked"]],
      ["8.2.2", "upgrade", ["upgrade", "websocket"]],
      ["8.2.2", "keep-alive", ["keep-alive", "timeout=5"]],
      ["8.2.2", "proxy-connection", ["proxy-connection", "keep-alive"]],
      ["8.2.2", "te other than trailers", ["te", "gzip"]],
      ["8.3", "an unknown pseudo-header", [":test", "x"]],
      ["8.3", "a pseudo-header of responses", [":status", "200"]],
      ["8.3.1", "no path", [":path", ""]],
      ["8.3.1", "a path that is none", [":path", "a b"]],
      ["8.3.1", "an authority with a user", [":authority", "u@a.test"]],
      ["8.3.1", "a method that is no token", [":method", "GE T"]],
    ] as const
  ).map(([section, name, field]): (typeof cases)[number] => [
    section,
    name,
    [ask([field])],
    ["reset protocol", "goaway protocol", "closed"],
  ]),
  ["8.2.2", "te: trailers", [ask([["te", "trailers"]])], ["200"]],
  ["8.3", "a pseudo-header after a header", [block(line(["x", "y"]), requestFields())], ["reset protocol", "goaway protocol", "closed"]],
  ...([":method", ":scheme", ":path"] as const).map((left): (typeof cases)[number] => [
    "8.3.1",
    `without ${left}`,
    [
      block(
        ...(
          [
            [":method", "GET"],
            [":scheme", "http"],
            [":path", "/"],
            [":authority", "a.test"],
          ] as const
        )
          .filter(([n]) => n !== left)
          .map(line),
      ),
    ],
    ["reset protocol", "goaway protocol", "closed"],
  ]),
  ...([":method", ":scheme", ":path", ":authority"] as const).map((twice): (typeof cases)[number] => [
    "8.3.1",
    `${twice} twice`,
    [block(line([twice, twice === ":path" ? "/" : twice === ":method" ? "GET" : "http"]), requestFields())],
    ["reset protocol", "goaway protocol", "closed"],
  ]),
  [
    "8.3.1",
    "host in the place of :authority",
    [block(line([":method", "GET"]), line([":scheme", "http"]), line([":path", "/"]), line(["host", "a.test"]))],
    ["200"],
  ],
  [
    "8.5",
    "CONNECT without a protocol",
    [block(line([":method", "CONNECT"]), line([":authority", "a.test:80"]))],
    ["reset protocol", "reset refused", "closed"],
  ],
  ["RFC 7541 2.3.3", "an index past the table", [block(raw(0xff, 0x80, 0x01))], ["goaway compression", "closed"]],
  ["RFC 7541 4.2", "a change of table size at the end of a block", [block(requestFields(), raw(0x20))], ["goaway compression", "closed"]],
  [
    "RFC 7541 5.2",
    "Huffman code with the end-of-string symbol",
    [block(requestFields(), raw(0, 1, 0x78, 0x84, 0xff, 0xff, 0xff, 0xff))],
    ["goaway compression", "closed"],
  ],
  [
    "RFC 7541 5.2",
    "Huffman code padded with zeros",
    [block(requestFields(), raw(0, 1, 0x78, 0x81, 0x18))],
    ["goaway compression", "closed"],
  ],
  ["RFC 7541 6.1", "index 0", [block(raw(0x80))], ["goaway compression", "closed"]],
  [
    "RFC 7541 6.3",
    "a table larger than was agreed",
    [block(raw(0x3f, 0xe1, 0xff, 0x03), requestFields())],
    ["goaway compression", "closed"],
  ],
  ["RFC 7541 6.3", "a table of nothing, then of the usual size", [block(raw(0x20, 0x3f, 0xe1, 0x1f), requestFields())], ["200"]],
];

test.for(cases)("section %s: %s", async ([, , frames, want]) => {
  const client = new FrameClient(port);
  try {
    client.send(http2Preface, settings(), ...frames, frame(T.ping, 0, 0, Buffer.from("the last")));
    const until = want.includes("200") ? answered : want.includes("lives") ? pinged : refused;
    expect(want).toContain(outcome(await client.until(until), client));
  } finally {
    client.socket.destroy();
  }
});

const answered = (f: HeardFrame): boolean => f.stream === 1 && ((f.type === T.data && f.flags % 2 === 1) || f.type === T.reset);
const pinged = (f: HeardFrame): boolean => f.type === T.ping && f.payload.toString() === "the last";
const refused = (f: HeardFrame): boolean =>
  f.type === T.reset || (f.type === T.goaway && f.payload.readUInt32BE(4) !== 0) || f.type === T.data;

function outcome(last: HeardFrame | undefined, client: FrameClient): string {
  const nameOf = (number: number): string => Object.entries(code).find(([, c]) => c === number)?.[0] ?? String(number);
  const goaway = client.heard.find((f) => f.type === T.goaway && f.payload.readUInt32BE(4) !== 0);
  if (goaway !== undefined) return `goaway ${nameOf(goaway.payload.readUInt32BE(4))}`;
  if (last === undefined) return "closed";
  if (last.type === T.reset) return `reset ${nameOf(last.payload.readUInt32BE(0))}`;
  if (last.type === T.ping) return client.heard.some((f) => f.type === T.headers) ? "answered" : "lives";
  // an indexed `:status: 200` (RFC 7541 appendix A)
  const head = client.heard.find((f) => f.type === T.headers && f.stream === 1);
  return head?.payload.includes(0x88) === true ? "200" : `an answer of ${head?.payload.toString("hex")}`;
}

test("section 5.1.2: streams above the limit are refused, and those below it answered", async () => {
  const client = new FrameClient(port);
  try {
    client.send(http2Preface, settings());
    for (let i = 0; i < 200; i++) client.send(frame(T.headers, endHeaders, 2 * i + 1, requestFields([[":method", "POST"]])));
    const refusal = await client.until((f) => f.type === T.reset || f.type === T.goaway);
    expect([code.refused, code.protocol]).toContain(refusal?.payload.readUInt32BE(refusal.type === T.goaway ? 4 : 0));
    expect(refusal?.type === T.goaway || (refusal?.stream ?? 0) > 2 * 128).toBe(true);
  } finally {
    client.socket.destroy();
  }
});

test("section 6.5.3: settings are acknowledged, each once", async () => {
  const client = new FrameClient(port);
  try {
    client.send(http2Preface, settings(), settings([4, 100]), settings([4, 200]), frame(T.ping, 0, 0, Buffer.from("the last")));
    await client.until(pinged);
    expect(client.heard.filter((f) => f.type === T.settings && f.flags === 1)).toHaveLength(3);
  } finally {
    client.socket.destroy();
  }
});

test("section 6.7: a PING comes back as it was, as an acknowledgement", async () => {
  const client = new FrameClient(port);
  try {
    const heard = await client.send(http2Preface, settings(), frame(T.ping, 0, 0, Buffer.from("12345678"))).until((f) => f.type === T.ping);
    expect([heard?.flags, heard?.payload.toString()]).toEqual([1, "12345678"]);
  } finally {
    client.socket.destroy();
  }
});

test.for<[name: string, late: Buffer, want: string]>([
  ["DATA", data("x"), "reset closed"],
  ["HEADERS", ask(), "goaway closed"],
])("section 5.1: %s on a stream that both sides have ended", async ([, late, want]) => {
  const client = new FrameClient(port);
  try {
    await client.send(http2Preface, settings(), ask()).until(answered);
    const last = await client.send(late).until((f) => f.type === T.reset || f.type === T.goaway);
    expect(outcome(last, client)).toBe(want);
  } finally {
    client.socket.destroy();
  }
});

test("section 3.4: what is no preface ends a connection that has agreed on HTTP/2", async () => {
  const socket = connect({ port: tlsPort, host: "127.0.0.1", ALPNProtocols: ["h2"], rejectUnauthorized: false });
  const parts: Buffer[] = [];
  socket.on("data", (bytes: Buffer) => parts.push(bytes));
  socket.on("error", () => undefined);
  socket.write("INVALID CONNECTION PREFACE\r\n\r\n");
  await new Promise((resolve) => socket.once("close", resolve));
  const goaway = frame(T.goaway, 0, 0, Buffer.concat([u32(0), u32(code.protocol)]));
  expect(Buffer.concat(parts).includes(goaway)).toBe(true);
});

test.for([
  ["x-a name", "y"],
  ["x-a:name", "y"],
  ["x-a\r\nx-b", "y"],
  ["x-a", "a\nx-b: c"],
  ["x-a", "a\r\n\r\nGET /b HTTP/1.1"],
  ["x-a", "a\0b"],
  ["x-a", " a"],
] as const)("section 8.2.1: %j reaches no endpoint", async (field) => {
  const client = new FrameClient(port);
  const before = up.seen.length;
  try {
    expect(outcome(await client.send(http2Preface, settings(), ask([field])).until(refused), client)).toBe("reset protocol");
    expect(up.seen).toHaveLength(before);
  } finally {
    client.socket.destroy();
  }
});
