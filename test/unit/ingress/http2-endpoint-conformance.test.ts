import { expect, test } from "vitest";
import { frame, type HeardFrame, literal, frameType as T } from "./http2-frames.ts";
import { code, data, endHeaders, endStream, goaway, head, reset, ScriptedEndpoint, settings, u32 } from "./scripted-endpoint.ts";

// RFC 9113, by its sections: what an endpoint may send, and what a client must make of it.

/** Ends of connections: the endpoint says no more, or is cut off. */
type Last = "stays" | "ends" | "cut";

interface Case {
  readonly name: string;
  /** Behind its settings; absent: `bytes` are all. */
  readonly method?: string;
  readonly frames: readonly Buffer[];
  readonly last?: Last;
  /** What the request is told. */
  readonly told: readonly string[];
  /** What the endpoint is told of its fault. */
  readonly blamed?: `${"goaway" | "reset"} ${keyof typeof code}`;
}

const ok = [":status", "200"] as const;
const open = head(1, endHeaders, ok);
const whole = head(1, endHeaders | endStream, ok);
const half = data(1, 0, "half");
const end = data(1, endStream, "");
const answered = ["head 200", "complete"];
const cut = ["head 200", "body half", "failed: truncated"];
const many = (n: number, bytes: Buffer): Buffer => Buffer.concat(Array.from({ length: n }, () => bytes));
const raw = (...bytes: readonly number[]): Buffer => Buffer.from(bytes);
const malformed = ["failed: malformed"];
const protocol = "reset protocol";

const cases: readonly Case[] = [
  // 4: frames
  { name: "4.1 a frame of unknown type", frames: [frame(0x16, 0, 1, Buffer.from("what?")), whole], told: answered },
  {
    name: "4.2 a frame that is too long",
    frames: [open, frame(T.data, 0, 1, Buffer.alloc(16_385))],
    told: ["head 200", "failed: truncated"],
    blamed: "goaway size",
  },
  {
    name: "4.3 a block that cannot be decoded",
    frames: [frame(T.headers, 5, 1, raw(0xff, 0xff, 0xff, 0xff, 0xff))],
    told: ["failed: closed"],
    blamed: "goaway compression",
  },
  {
    name: "4.3 a table that is larger than allowed",
    frames: [frame(T.headers, 5, 1, raw(0x3f, 0xe2, 0x1f, 0x88))],
    told: ["failed: closed"],
    blamed: "goaway compression",
  },
  { name: "4.3 a table that is none", frames: [frame(T.headers, 5, 1, raw(0x20, 0x88))], told: answered },
  {
    name: "4.3 a block in several frames",
    frames: [
      frame(T.headers, endStream, 1, literal(...ok).subarray(0, 4)),
      frame(T.continuation, endHeaders, 1, literal(...ok).subarray(4)),
    ],
    told: answered,
  },
  {
    name: "4.3 another frame amid a block",
    frames: [frame(T.headers, 0, 1, literal(...ok)), half],
    told: ["failed: closed"],
    blamed: "goaway protocol",
  },
  {
    name: "4.3 CONTINUATION without end",
    frames: [frame(T.headers, 0, 1, literal(...ok)), many(40, frame(T.continuation, 0, 1, literal("x-a", "b")))],
    told: ["failed: closed"],
    blamed: "goaway calm",
  },
  {
    name: "4.3 CONTINUATION of nothing",
    frames: [frame(T.continuation, endHeaders, 1, literal(...ok))],
    told: ["failed: closed"],
    blamed: "goaway protocol",
  },

  // 5: streams
  {
    name: "5.1 HEADERS of a stream that nobody began",
    frames: [head(3, endHeaders, ok)],
    told: ["failed: closed"],
    blamed: "goaway protocol",
  },
  { name: "5.1 DATA of a stream that nobody began", frames: [data(3, 0, "x")], told: ["failed: closed"], blamed: "goaway protocol" },
  {
    name: "5.1 a reset of a stream that nobody began",
    frames: [reset(3, code.cancel)],
    told: ["failed: closed"],
    blamed: "goaway protocol",
  },
  {
    name: "5.1 a window of a stream that nobody began",
    frames: [frame(T.window, 0, 3, u32(1))],
    told: ["failed: closed"],
    blamed: "goaway protocol",
  },
  { name: "5.1 DATA behind the end", frames: [whole, half], told: answered, blamed: "reset closed" },
  { name: "5.1 HEADERS behind the end", frames: [whole, whole], told: answered, blamed: "goaway closed" },
  { name: "5.1 a window and a reset behind the end", frames: [whole, frame(T.window, 0, 1, u32(1)), reset(1, code.none)], told: answered },
  { name: "5.1.1 HEADERS of a stream of its own", frames: [head(2, endHeaders, ok)], told: ["failed: closed"], blamed: "goaway protocol" },
  { name: "5.4.1 GOAWAY with an error, and the end", frames: [goaway(1, code.protocol)], last: "ends", told: ["failed: closed"] },

  // 6: types of frames
  {
    name: "6.1 padding",
    frames: [open, frame(T.data, 8, 1, Buffer.concat([raw(3), Buffer.from("half"), Buffer.alloc(3)])), end],
    told: ["head 200", "body half", "complete"],
  },
  {
    name: "6.1 more padding than frame",
    frames: [open, frame(T.data, 8, 1, raw(9, 0))],
    told: ["head 200", "failed: truncated"],
    blamed: "goaway protocol",
  },
  { name: "6.1 DATA of stream 0", frames: [data(0, 0, "x")], told: ["failed: closed"], blamed: "goaway protocol" },
  { name: "6.2 HEADERS of stream 0", frames: [head(0, endHeaders, ok)], told: ["failed: closed"], blamed: "goaway protocol" },
  {
    name: "6.2 HEADERS with padding and a priority",
    frames: [frame(T.headers, 0x2d, 1, Buffer.concat([raw(2, 0, 0, 0, 0, 9), literal(...ok), Buffer.alloc(2)]))],
    told: answered,
  },
  { name: "6.3 PRIORITY", frames: [frame(T.priority, 0, 1, raw(0, 0, 0, 0, 1)), whole], told: answered },
  { name: "6.4 a reset of stream 0", frames: [reset(0, code.cancel)], told: ["failed: closed"], blamed: "goaway protocol" },
  { name: "6.4 a reset of another size", frames: [frame(T.reset, 0, 1, raw(0, 0, 8))], told: ["failed: closed"], blamed: "goaway size" },
  {
    name: "6.5 settings that are acknowledged with something",
    frames: [frame(T.settings, 1, 0, raw(1))],
    told: ["failed: closed"],
    blamed: "goaway size",
  },
  { name: "6.5 settings of a stream", frames: [frame(T.settings, 0, 1)], told: ["failed: closed"], blamed: "goaway protocol" },
  {
    name: "6.5 settings of another size",
    frames: [frame(T.settings, 0, 0, Buffer.alloc(5))],
    told: ["failed: closed"],
    blamed: "goaway size",
  },
  { name: "6.5.2 ENABLE_PUSH of a server", frames: [settings([2, 1])], told: ["failed: closed"], blamed: "goaway protocol" },
  { name: "6.5.2 ENABLE_PUSH 0", frames: [settings([2, 0]), whole], told: answered },
  { name: "6.5.2 a window that is too large", frames: [settings([4, 2 ** 31])], told: ["failed: closed"], blamed: "goaway flow" },
  { name: "6.5.2 frames that are too short", frames: [settings([5, 16_383])], told: ["failed: closed"], blamed: "goaway protocol" },
  { name: "6.5.2 settings that nobody knows", frames: [settings([0x99, 7]), whole], told: answered },
  {
    name: "6.6 a push",
    frames: [frame(T.push, endHeaders, 1, Buffer.concat([u32(2), literal(...ok)]))],
    told: ["failed: closed"],
    blamed: "goaway protocol",
  },
  { name: "6.7 PING of another size", frames: [frame(T.ping, 0, 0, Buffer.alloc(7))], told: ["failed: closed"], blamed: "goaway size" },
  { name: "6.8 GOAWAY that has not looked at the request", frames: [goaway(0)], told: ["failed: goaway"] },
  { name: "6.8 GOAWAY that goes on with the request", frames: [goaway(1), open, half, end], told: ["head 200", "body half", "complete"] },
  { name: "6.8 GOAWAY twice, the second lower", frames: [goaway(2 ** 31 - 1), goaway(0)], told: ["failed: goaway"] },
  { name: "6.8 GOAWAY amid the answer that leaves it out", frames: [open, half, goaway(0)], told: cut },
  { name: "6.8 GOAWAY of a stream", frames: [frame(T.goaway, 0, 1, Buffer.alloc(8))], told: ["failed: closed"], blamed: "goaway protocol" },
  {
    name: "6.8 GOAWAY that is too short",
    frames: [frame(T.goaway, 0, 0, Buffer.alloc(7))],
    told: ["failed: closed"],
    blamed: "goaway size",
  },
  {
    name: "6.9 a window that grows by nothing, of the connection",
    frames: [frame(T.window, 0, 0, u32(0))],
    told: ["failed: closed"],
    blamed: "goaway protocol",
  },
  { name: "6.9 a window of another size", frames: [frame(T.window, 0, 0, raw(1))], told: ["failed: closed"], blamed: "goaway size" },
  {
    name: "6.9.1 a window of the connection that overflows",
    frames: [frame(T.window, 0, 0, u32(2 ** 31 - 1))],
    told: ["failed: closed"],
    blamed: "goaway flow",
  },
  {
    name: "6.9.1 more than the connection's window",
    frames: [open, many(70, data(1, 0, "x".repeat(16_000)))],
    told: ["head 200", `body ${"x".repeat(70 * 16_000)}`],
  },

  // 8.1: messages
  { name: "8.1 an answer", frames: [open, half, end], told: ["head 200", "body half", "complete"] },
  { name: "8.1 a head that is all", frames: [whole], told: answered },
  {
    name: "8.1 trailers",
    frames: [open, half, head(1, 5, ["grpc-status", "0"], ["x-a", "b"])],
    told: ["head 200", "body half", "trailers grpc-status: 0\r\nx-a: b", "complete"],
  },
  { name: "8.1 fields behind the body that are no end", frames: [open, half, head(1, 4, ["x-a", "b"])], told: cut, blamed: protocol },
  { name: "8.1 trailers with a status", frames: [open, half, head(1, 5, ok)], told: cut, blamed: protocol },
  { name: "8.1 trailers that may not be", frames: [open, half, head(1, 5, ["X-A", "b"])], told: cut, blamed: protocol },
  { name: "8.1 a body before the head", frames: [half], told: malformed, blamed: protocol },
  {
    name: "8.1 hints before the head",
    frames: [head(1, 4, [":status", "103"]), head(1, 4, [":status", "100"]), whole],
    told: ["hint 103", "hint 100", ...answered],
  },
  { name: "8.1 a body behind a hint", frames: [head(1, 4, [":status", "103"]), half], told: ["hint 103", ...malformed], blamed: protocol },
  { name: "8.1 a hint that is the end", frames: [head(1, 5, [":status", "103"])], told: malformed, blamed: protocol },
  {
    name: "8.1 hints without end",
    frames: [many(20, head(1, 4, [":status", "103"]))],
    told: [...Array.from({ length: 16 }, () => "hint 103"), ...malformed],
    blamed: protocol,
  },
  { name: "8.6 a switch of protocols", frames: [head(1, 4, [":status", "101"])], told: malformed, blamed: protocol },
  { name: "8.1 a reset before an answer", frames: [reset(1, code.cancel)], told: ["failed: closed"] },
  { name: "8.7 a refusal before an answer", frames: [reset(1, code.refused)], told: ["failed: refused"] },
  { name: "8.7 a refusal amid an answer", frames: [open, half, reset(1, code.refused)], told: cut },
  { name: "8.1 a reset amid an answer", frames: [open, half, reset(1, code.cancel)], told: cut },
  { name: "8.1 NO_ERROR before an answer", frames: [reset(1, code.none)], told: ["failed: closed"] },
  { name: "8.1 NO_ERROR behind a head", frames: [open, reset(1, code.none)], told: ["head 200", "failed: truncated"] },
  { name: "8.1 NO_ERROR amid an answer", frames: [open, half, reset(1, code.none)], told: cut },
  { name: "8.1 NO_ERROR behind an answer", frames: [open, half, end, reset(1, code.none)], told: ["head 200", "body half", "complete"] },
  { name: "8.1 the end of the connection before an answer", frames: [], last: "ends", told: ["failed: closed"] },
  { name: "8.1 the end of the connection amid an answer", frames: [open, half], last: "ends", told: cut },
  { name: "8.1 a cut amid an answer", frames: [open, half], last: "cut", told: cut },
  {
    name: "8.1 the end of the connection behind an answer",
    frames: [open, half, end],
    last: "ends",
    told: ["head 200", "body half", "complete"],
  },
  {
    name: "8.1 the end of the connection amid a frame",
    frames: [open, half, data(1, endStream, "more").subarray(0, 11)],
    last: "ends",
    told: ["head 200", "body halfmo", "failed: truncated"],
  },

  // 8.1.1: lengths
  {
    name: "8.1.1 the announced length",
    frames: [head(1, 4, ok, ["content-length", "4"]), half, end],
    told: ["head 200", "body half", "complete"],
  },
  { name: "8.1.1 less than announced", frames: [head(1, 4, ok, ["content-length", "9"]), half, end], told: cut, blamed: protocol },
  {
    name: "8.1.1 less than announced, with trailers",
    frames: [head(1, 4, ok, ["content-length", "9"]), half, head(1, 5, ["x-a", "b"])],
    told: ["head 200", "body half", "trailers x-a: b", "failed: truncated"],
    blamed: protocol,
  },
  { name: "8.1.1 more than announced", frames: [head(1, 4, ok, ["content-length", "5"]), half, half], told: cut, blamed: protocol },
  {
    name: "8.1.1 more than announced, in one frame",
    frames: [head(1, 4, ok, ["content-length", "3"]), half],
    told: ["head 200", "failed: truncated"],
    blamed: protocol,
  },
  { name: "8.1.1 announced, and the end", frames: [head(1, 5, ok, ["content-length", "5"])], told: malformed, blamed: protocol },
  { name: "8.1.1 a length of nothing, and the end", frames: [head(1, 5, ok, ["content-length", "0"])], told: answered },
  {
    name: "8.1.1 two lengths",
    frames: [head(1, 4, ok, ["content-length", "5"], ["content-length", "5"])],
    told: malformed,
    blamed: protocol,
  },
  { name: "8.1.1 a length that is none", frames: [head(1, 4, ok, ["content-length", "+5"])], told: malformed, blamed: protocol },
  {
    name: "8.1.1 HEAD has the length of what is not sent",
    method: "HEAD",
    frames: [head(1, 5, ok, ["content-length", "5"])],
    told: answered,
  },
  { name: "8.1.1 HEAD, with an end of its own", method: "HEAD", frames: [head(1, 4, ok, ["content-length", "5"]), end], told: answered },
  { name: "8.1.1 HEAD with a body", method: "HEAD", frames: [open, half], told: ["head 200", "failed: truncated"], blamed: protocol },
  {
    name: "8.1.1 204 with a body",
    frames: [head(1, 4, [":status", "204"]), half],
    told: ["head 204", "failed: truncated"],
    blamed: protocol,
  },
  {
    name: "8.1.1 304 with the length of what is not sent",
    frames: [head(1, 5, [":status", "304"], ["content-length", "5"])],
    told: ["head 304", "complete"],
  },

  // 8.2, 8.3: fields
  ...[
    [["x-a", "b"]],
    [["x-a", "b"], ok],
    [ok, ok],
    [ok, [":path", "/"]],
    [[":status", "99"]],
    [[":status", "2000"]],
    [[":status", "+20"]],
    [[":status", "ok"]],
    [[":status", ""]],
    [ok, ["X-A", "b"]],
    [ok, ["x a", "b"]],
    [ok, ["", "b"]],
    [ok, ["x-a", "b\0"]],
    [ok, ["x-a", "b\r\nx-b: c"]],
    [ok, ["x-a", " b"]],
    [ok, ["connection", "close"]],
    [ok, ["keep-alive", "timeout=5"]],
    [ok, ["proxy-connection", "close"]],
    [ok, ["transfer-encoding", "chunked"]],
    [ok, ["upgrade", "h2c"]],
  ].map(
    (fields): Case => ({
      name: `8.2 ${JSON.stringify(fields)}`,
      frames: [head(1, 4, ...(fields as readonly (readonly [string, string])[]))],
      told: malformed,
      blamed: protocol,
    }),
  ),
  {
    name: "10.5.1 more fields than may be",
    frames: [head(1, 4, ok, ...Array.from({ length: 257 }, () => ["x-a", "b"] as const))],
    told: malformed,
    blamed: protocol,
  },
  {
    name: "10.5.1 fields that are too large",
    frames: [
      frame(T.headers, 0, 1, literal(...ok)),
      many(7, frame(T.continuation, 0, 1, many(85, literal("x-a", "b".repeat(110))))),
      frame(T.continuation, 4, 1),
    ],
    told: malformed,
    blamed: protocol,
  },

  // 10.5: floods
  ...(
    [
      ["PING", frame(T.ping, 0, 0, Buffer.alloc(8))],
      ["settings", settings()],
      ["empty DATA", data(1, 0, "")],
      ["frames of unknown types", frame(0x16, 0, 1)],
      ["priorities", frame(T.priority, 0, 1, raw(0, 0, 0, 0, 1))],
      ["windows", frame(T.window, 0, 1, u32(1))],
    ] as const
  ).map(
    ([name, bytes]): Case => ({
      name: `10.5 a flood of ${name}`,
      frames: [open, many(10_100, bytes)],
      told: ["head 200", "failed: truncated"],
      blamed: "goaway calm",
    }),
  ),
  {
    name: "10.5 a flood of resets of what is over",
    frames: [whole, many(10_100, reset(1, code.none))],
    told: answered,
    blamed: "goaway calm",
  },
];

test.for(cases)("$name", async ({ method = "GET", frames, last = "stays", told, blamed }) => {
  const endpoint = new ScriptedEndpoint();
  const request = endpoint.ask(method);
  const connection = endpoint.connection().ready();
  const said = (await connection.said()).length;
  connection.hear(Buffer.concat([settings(), ...frames]));
  if (last === "ends") connection.events.onEnd();
  else if (last === "cut") connection.events.onClose(new Error("reset"));
  expect(request.told).toEqual(told);
  expect((await connection.said()).slice(said).flatMap(blameIn)).toEqual(blamed === undefined ? [] : [blamed]);
});

/** What a frame says of a fault. */
function blameIn({ type, payload }: HeardFrame): readonly string[] {
  const nameOf = (n: number): string => Object.entries(code).find(([, value]) => value === n)?.[0] ?? String(n);
  if (type === T.goaway) return [`goaway ${nameOf(payload.readUInt32BE(4))}`].filter((t) => t !== "goaway none");
  return type === T.reset ? [`reset ${nameOf(payload.readUInt32BE(0))}`] : [];
}

test.for<[name: string, bytes: Buffer]>([
  ["3.4 anything before its settings", frame(T.ping, 0, 0, Buffer.alloc(8))],
  ["3.4 an answer before its settings", whole],
  ["3.4 a body before its settings", half],
  ["3.4 that it has heard our settings before its own", frame(T.settings, 1, 0)],
  ["3.4 HTTP/1.1", Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")],
])("an endpoint that says %s is left", async ([, bytes]) => {
  const endpoint = new ScriptedEndpoint();
  const requests = [endpoint.ask(), endpoint.ask()];
  const connection = endpoint.connection().ready().hear(bytes);
  // the second had not been sent
  expect(requests.map((r) => r.told)).toEqual([["failed: closed"], ["failed: connect"]]);
  expect(connection.ended).toBe(true);
  expect((await connection.said()).some((f) => f.type === T.goaway)).toBe(true);
});
