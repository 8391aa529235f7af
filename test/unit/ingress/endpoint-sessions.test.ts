import { expect, test } from "vitest";
import { ClientSide } from "../../../ingress/http2/client-side.ts";
import { frame, type HeardFrame, frameType as T } from "./http2-frames.ts";
import { code, data, endHeaders, endStream, goaway, head, reset, ScriptedEndpoint, settings, u32 } from "./scripted-endpoint.ts";

const ok = [":status", "200"] as const;
const whole = (stream: number): Buffer => head(stream, endHeaders | endStream, ok);
const maxConcurrent = 3;
const initialWindow = 4;

const streamsOf = (frames: readonly HeardFrame[], type: number): readonly number[] =>
  frames.filter((f) => f.type === type).map((f) => f.stream);
const bodyIn = (frames: readonly HeardFrame[], stream: number): string =>
  Buffer.concat(frames.filter((f) => f.type === T.data && f.stream === stream).map((f) => f.payload)).toString("latin1");

test("a session begins with settings that want no pushes, and a window of the connection", async () => {
  const endpoint = new ScriptedEndpoint();
  endpoint.ask();
  const [first, second] = await endpoint.connection().ready().said();
  expect(first).toMatchObject({ type: T.settings, flags: 0, stream: 0 });
  expect(first?.payload.subarray(0, 6)).toEqual(Buffer.from([0, 2, 0, 0, 0, 0]));
  expect(second).toMatchObject({ type: T.window, stream: 0 });
});

test("until an endpoint has said how many streams it takes, one request goes; then as many as that, the others elsewhere", async () => {
  const endpoint = new ScriptedEndpoint();
  const requests = Array.from({ length: 5 }, () => endpoint.ask());
  const first = endpoint.connection().ready();
  expect(streamsOf(await first.said(), T.headers)).toEqual([1]);
  expect(endpoint.connections.length).toBe(1);
  first.hear(settings([maxConcurrent, 2]));
  expect(streamsOf(await first.said(), T.headers)).toEqual([1, 3]);
  // what it takes is known now: two more of two each
  expect(endpoint.connections.length).toBe(3);
  for (const connection of endpoint.connections.slice(1)) connection.ready().hear(settings([maxConcurrent, 2]));
  for (const connection of endpoint.connections) connection.hear(whole(1));
  first.hear(whole(3));
  endpoint.connection(1).hear(whole(3));
  expect(requests.map((r) => r.told)).toEqual(requests.map(() => ["head 200", "complete"]));
  // there is room again on the first
  endpoint.ask();
  expect(endpoint.connections.length).toBe(3);
  expect(streamsOf(await first.said(), T.headers)).toEqual([1, 3, 5]);
});

test("an endpoint that takes more streams later gets more", async () => {
  const endpoint = new ScriptedEndpoint();
  endpoint.ask();
  const connection = endpoint
    .connection()
    .ready()
    .hear(settings([maxConcurrent, 1]));
  connection.hear(settings([maxConcurrent, 2]));
  endpoint.ask();
  expect(streamsOf(await connection.said(), T.headers)).toEqual([1, 3]);
});

test("an endpoint that takes no streams is none that can be reached", () => {
  const endpoint = new ScriptedEndpoint();
  const requests = [endpoint.ask(), endpoint.ask(), endpoint.ask()];
  endpoint
    .connection()
    .ready()
    .hear(Buffer.concat([settings([maxConcurrent, 0]), reset(1, code.refused)]));
  expect(requests.map((r) => r.told)).toEqual([["failed: refused"], ["failed: connect"], ["failed: connect"]]);
});

test("no more than a hundred streams are on one connection, whatever it takes", async () => {
  const endpoint = new ScriptedEndpoint();
  endpoint.ask();
  const connection = endpoint.connection().ready().hear(settings());
  for (let i = 1; i < 101; i++) endpoint.ask();
  expect(streamsOf(await connection.said(), T.headers)).toEqual(Array.from({ length: 100 }, (_, i) => 2 * i + 1));
  expect(endpoint.connections.length).toBe(2);
});

test("who does not wait any more gets no stream", async () => {
  const endpoint = new ScriptedEndpoint();
  const given = endpoint.ask();
  const asked = endpoint.ask();
  given.pending.cancel();
  const connection = endpoint.connection().ready().hear(settings());
  expect(streamsOf(await connection.said(), T.headers)).toEqual([1]);
  connection.hear(whole(1));
  expect([given.told, asked.told]).toEqual([[], ["head 200", "complete"]]);
});

test("a connection that is refused is told to all who wait for it", () => {
  const endpoint = new ScriptedEndpoint();
  const requests = [endpoint.ask(), endpoint.ask()];
  endpoint.connection().events.onClose(new Error("ECONNREFUSED"));
  expect(requests.map((r) => r.told)).toEqual([["failed: connect"], ["failed: connect"]]);
  endpoint.ask();
  expect(endpoint.connections.length).toBe(2);
});

test("a body goes as far as the windows of the stream and of the connection let it, with the end of an announced length", async () => {
  const endpoint = new ScriptedEndpoint();
  const request = endpoint.ask("POST", { kind: "length", bytes: 11 });
  const connection = endpoint
    .connection()
    .ready()
    .hear(settings([initialWindow, 5]));
  expect(request.channel?.sendBody(Buffer.from("hello"))).toBe(true);
  expect(request.channel?.sendBody(Buffer.from(" world"))).toBe(true);
  request.channel?.sendEnd("");
  expect(bodyIn(await connection.said(), 1)).toBe("hello");
  connection.hear(frame(T.window, 0, 1, u32(3)));
  expect(bodyIn(await connection.said(), 1)).toBe("hello wo");
  connection.hear(settings([initialWindow, 100]));
  const said = await connection.said();
  expect(bodyIn(said, 1)).toBe("hello world");
  expect(said.filter((f) => f.type === T.data).map((f) => f.flags)).toEqual([0, 0, endStream]);
  expect(said.filter((f) => f.type === T.settings && f.flags === 1).length).toBe(2);
});

test("who sends more than the endpoint takes waits, and is told of room", async () => {
  const endpoint = new ScriptedEndpoint();
  const request = endpoint.ask("POST", { kind: "chunked" });
  const connection = endpoint.connection().ready().hear(settings());
  expect(request.channel?.sendBody(Buffer.alloc(65_535))).toBe(true);
  expect(request.channel?.sendBody(Buffer.alloc(10))).toBe(false);
  request.channel?.sendEnd("x-sum: 7\r\n");
  // the connection has room, the stream has not
  connection.hear(frame(T.window, 0, 0, u32(100)));
  expect(request.drains).toBe(0);
  connection.hear(frame(T.window, 0, 1, u32(100)));
  const said = await connection.said();
  expect(bodyIn(said, 1).length).toBe(65_545);
  // the end, with trailers
  expect(said.at(-1)).toMatchObject({ type: T.headers, flags: endHeaders | endStream, stream: 1 });
});

test("answers that their clients do not take stay within their streams' windows, and stop nobody else", async () => {
  const endpoint = new ScriptedEndpoint();
  endpoint.ask();
  const connection = endpoint.connection().ready().hear(settings()).hear(whole(1));
  // together more than the window of the connection
  const slow = Array.from({ length: 30 }, () => endpoint.ask());
  for (const request of slow) request.reader = () => request.channel?.pause();
  for (const [i] of slow.entries()) {
    const stream = 2 * i + 3;
    connection.hear(head(stream, endHeaders, ok));
    for (let n = 0; n < 4; n++) connection.hear(data(stream, 0, "x".repeat(16_000)));
  }
  const quick = endpoint.ask();
  connection.hear(Buffer.concat([head(63, endHeaders, ok), data(63, endStream, "y")]));
  expect(quick.told).toEqual(["head 200", "body y", "complete"]);
  expect(slow.map((r) => r.told.join())).toEqual(slow.map(() => `head 200,body ${"x".repeat(16_000)}`));
  // what they hold is not given back to them
  expect((await connection.said()).filter((f) => f.type === T.window && f.stream !== 0)).toEqual([]);
  connection.hear(data(3, 0, "x".repeat(2_000)));
  expect(slow.map((r) => r.told.at(-1)?.startsWith("failed"))).toEqual(slow.map((_, i) => i === 0));
  const [, taken] = slow;
  if (taken !== undefined) taken.reader = undefined;
  taken?.channel?.resume();
  expect((await connection.said()).filter((f) => f.type === T.window && f.stream !== 0)).toMatchObject([{ stream: 5 }]);
});

test.for<[name: string, after: (c: ReturnType<ScriptedEndpoint["connection"]>) => void]>([
  ["is reset with NO_ERROR", (c) => void c.hear(reset(1, code.none))],
  ["is reset with an error", (c) => void c.hear(reset(1, code.cancel))],
  ["has lost its connection", (c) => c.events.onClose(new Error("reset"))],
  ["has lost its connection to a fault", (c) => void c.hear(frame(T.ping, 0, 1, Buffer.alloc(8)))],
])("a whole answer that its client has not taken yet stays whole when its stream %s", ([, after]) => {
  const endpoint = new ScriptedEndpoint();
  const request = endpoint.ask("POST", { kind: "chunked" });
  request.reader = () => request.channel?.pause();
  const connection = endpoint.connection().ready().hear(settings());
  connection.hear(Buffer.concat([head(1, endHeaders, ok), data(1, 0, "one"), data(1, 0, "two"), head(1, 5, ["grpc-status", "0"])]));
  after(connection);
  expect(request.told).toEqual(["head 200", "body one"]);
  request.reader = undefined;
  request.channel?.resume();
  expect(request.told).toEqual(["head 200", "body onetwo", "trailers grpc-status: 0", "complete"]);
});

test("half an answer that its client has not taken yet is cut when its stream is reset", () => {
  const endpoint = new ScriptedEndpoint();
  const request = endpoint.ask();
  request.reader = () => request.channel?.pause();
  const connection = endpoint.connection().ready().hear(settings());
  connection.hear(Buffer.concat([head(1, endHeaders, ok), data(1, 0, "one"), data(1, 0, "two"), reset(1, code.none)]));
  expect(request.told).toEqual(["head 200", "body one", "failed: truncated"]);
});

test("a request that is answered before its end: what is left of it is not sent", async () => {
  const endpoint = new ScriptedEndpoint();
  const request = endpoint.ask("POST", { kind: "chunked" });
  const connection = endpoint
    .connection()
    .ready()
    .hear(settings([initialWindow, 1]));
  request.channel?.sendBody(Buffer.from("hello"));
  request.channel?.sendEnd("");
  connection.hear(whole(1));
  expect(request.told).toEqual(["head 200", "complete"]);
  expect((await connection.said()).at(-1)).toMatchObject({ type: T.reset, payload: u32(code.cancel) });
});

test("a request that is given up is reset, and what was on its way goes nowhere", async () => {
  const endpoint = new ScriptedEndpoint();
  const request = endpoint.ask();
  const connection = endpoint.connection().ready().hear(settings());
  request.channel?.abort();
  connection.hear(Buffer.concat([head(1, endHeaders, ok), data(1, endStream, "late")]));
  expect(request.told).toEqual([]);
  expect((await connection.said()).at(-1)).toMatchObject({ type: T.reset, stream: 1, payload: u32(code.cancel) });
  // nor does it end the connection
  expect(endpoint.ask().channel).toBeDefined();
  expect(endpoint.connections.length).toBe(1);
});

test("a PING is answered", async () => {
  const endpoint = new ScriptedEndpoint();
  endpoint.ask();
  const connection = endpoint.connection().ready().hear(settings());
  connection.hear(frame(T.ping, 0, 0, Buffer.from("12345678")));
  expect((await connection.said()).at(-1)).toMatchObject({ type: T.ping, flags: 1, payload: Buffer.from("12345678") });
});

test("GOAWAY: what is under way finishes, what comes goes over another connection", () => {
  const endpoint = new ScriptedEndpoint();
  const first = endpoint.ask();
  const connection = endpoint.connection().ready().hear(settings());
  const left = endpoint.ask();
  connection.hear(goaway(1));
  expect(left.told).toEqual(["failed: goaway"]);
  endpoint.ask();
  expect(endpoint.connections.length).toBe(2);
  expect(connection.ended).toBe(false);
  connection.hear(whole(1));
  expect(first.told).toEqual(["head 200", "complete"]);
  expect(connection.ended).toBe(true);
});

test("streams are not begun beyond the last number", () => {
  const side = new ClientSide({
    outlet: {
      queuedBytes: 0,
      write: () => true,
      cork: () => {},
      uncork: () => {},
      takeBlock: () => Buffer.alloc(16_384),
      giveBlock: () => {},
    },
    owner: { onRoom: () => {}, onLeaving: () => {}, onIdle: () => {}, onFailed: () => {} },
    limits: { bytes: 1_000, lines: 10 },
  });
  side.session.start();
  side.session.receive(settings());
  side.session.comeTo(2 ** 31 - 3);
  expect(side.room).toBeGreaterThan(0);
  const owner = { onFields: () => {}, onData: () => {}, onEnd: () => {}, onDrain: () => {}, onClosed: () => {} };
  expect(side.begin([":method", "GET"], { owner, last: true }).id).toBe(2 ** 31 - 1);
  expect([side.room, side.leaving]).toEqual([0, true]);
});

test.for<[name: string, over: (e: ScriptedEndpoint) => void]>([
  ["has rested too long", (e) => e.passed(61_000)],
  ["is wanted no more", (e) => e.passed(500, { wanted: false })],
])("a connection that %s says GOAWAY and ends", async ([, over]) => {
  const endpoint = new ScriptedEndpoint();
  endpoint.ask();
  const connection = endpoint.connection().ready().hear(settings()).hear(whole(1));
  endpoint.passed(500);
  expect(connection.ended).toBe(false);
  over(endpoint);
  expect((await connection.said()).at(-1)).toMatchObject({ type: T.goaway, payload: Buffer.concat([u32(0), u32(code.none)]) });
  expect(connection.ended).toBe(true);
  // an endpoint that does not close its side is not waited for for ever
  expect(connection.aborted).toBe(false);
  endpoint.passed(6_000);
  expect(connection.aborted).toBe(true);
  expect(endpoint.upstreams.sessionCount).toBe(0);
});

test("an endpoint that is wanted no more finishes what is under way", () => {
  const endpoint = new ScriptedEndpoint();
  const request = endpoint.ask();
  const connection = endpoint.connection().ready().hear(settings());
  endpoint.passed(500, { wanted: false });
  endpoint.passed(100_000, { wanted: false });
  expect(connection.ended).toBe(false);
  connection.hear(whole(1));
  expect(request.told).toEqual(["head 200", "complete"]);
  expect(connection.ended).toBe(true);
});

test("a connection over which nothing comes any more, though a request waited in vain, gets no further ones", () => {
  const endpoint = new ScriptedEndpoint();
  const lost = endpoint.ask();
  const connection = endpoint.connection().ready().hear(settings());
  const stream = endpoint.ask();
  for (let i = 0; i < 30; i++) endpoint.passed(500);
  lost.channel?.abort();
  endpoint.passed(500);
  endpoint.ask();
  expect(endpoint.connections.length).toBe(2);
  // what is open on it has deadlines of its own
  connection.hear(whole(3));
  expect(stream.told).toEqual(["head 200", "complete"]);
});

test("clients that give up do not cost an endpoint that speaks its connection", () => {
  const endpoint = new ScriptedEndpoint();
  endpoint.ask();
  const connection = endpoint.connection().ready().hear(settings());
  for (let i = 0; i < 60; i++) {
    endpoint.ask().channel?.abort();
    connection.hear(frame(T.ping, 1, 0, Buffer.alloc(8)));
    endpoint.passed(500);
  }
  expect(endpoint.connections.length).toBe(1);
});

test("closing cuts all connections", () => {
  const endpoint = new ScriptedEndpoint();
  const request = endpoint.ask();
  endpoint.connection().ready().hear(settings());
  endpoint.upstreams.close();
  expect(request.told).toEqual(["failed: closed"]);
  expect(endpoint.connection().aborted).toBe(true);
});
