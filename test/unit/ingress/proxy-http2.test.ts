import { type ClientHttp2Session, connect, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http2";
import { afterEach, expect, test } from "vitest";
import type { IngressServer } from "../../../ingress/index.ts";
import { FrameClient, frame, http2Preface, requestFields, frameType as T } from "./http2-frames.ts";
import { type Answer, makeForward, makeRoute, RawEndpoint, startLab } from "./proxy-lab.ts";

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

async function lab(
  answer: Answer,
  o: Parameters<typeof startLab>[1] = {},
): Promise<{ up: RawEndpoint; ingress: IngressServer; session: ClientHttp2Session }> {
  const up = await RawEndpoint.start(answer);
  const { ingress, https } = await startLab([up.port], {
    ...o,
    config: { https: [{ ip: "127.0.0.1", port: 0 }], timeouts: { grace: 0 }, ...o.config },
  });
  const session = connect(`https://127.0.0.1:${https}`, { rejectUnauthorized: false });
  session.on("error", () => undefined);
  open.push(up, ingress, { close: async () => session.destroy() });
  return { up, ingress, session };
}

interface Got {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly trailers: IncomingHttpHeaders | undefined;
  readonly code: number;
}

function ask(session: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: string | Buffer): Promise<Got> {
  return new Promise((resolve) => {
    const stream = session.request({ ":path": "/", ":authority": "a.test", ...headers }, { endStream: body === undefined });
    let got: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders | undefined;
    const parts: Buffer[] = [];
    stream.on("response", (h) => {
      got = h;
    });
    stream.on("trailers", (t) => {
      trailers = t;
    });
    stream.on("data", (b: Buffer) => parts.push(b));
    stream.on("error", () => undefined);
    stream.on("close", () => resolve({ headers: got, body: Buffer.concat(parts).toString("latin1"), trailers, code: stream.rstCode ?? 0 }));
    if (body !== undefined) stream.end(body);
  });
}

const echo: Answer = (r) =>
  r.socket.write(
    `HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: ${r.body.length}\r\n\r\n${r.body}`,
  );

test("requests one after the other go by one connection to the endpoint, however the end of an answer is told", async () => {
  const ends = ["Content-Length: 2\r\n\r\nok", "Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"];
  let answers = 0;
  const { up, session } = await lab((r) => r.socket.write(`HTTP/1.1 200 OK\r\n${ends[answers++ % ends.length]}`));
  for (let i = 0; i < 12; i++) expect((await ask(session, {})).headers[":status"]).toBe(200);
  expect([answers, up.accepted]).toEqual([12, 1]);
});

test("streams become HTTP/1.1 requests, several at once", async () => {
  const { up, session } = await lab(echo);
  const all = await Promise.all(
    Array.from({ length: 10 }, (_, i) =>
      ask(session, { ":method": "POST", ":path": `/${i}?q`, "content-length": 5, cookie: "x=y", "x-i": String(i) }, `body${i}`),
    ),
  );
  expect(all.map((g) => [g.headers[":status"], g.body])).toEqual(all.map((_, i) => [200, `body${i}`]));
  expect(all[0]?.headers["set-cookie"]).toEqual(["a=1", "b=2"]);
  expect(all[0]?.headers).not.toHaveProperty("x-hop");
  const head = up.seen.find((s) => s.head.startsWith("POST /3?q"))?.head ?? "";
  expect(head).toMatch(/^POST \/3\?q HTTP\/1\.1\r\nHost: a\.test\r\n/);
  expect(head).toContain("cookie: x=y\r\n");
  expect(head).toContain("X-Forwarded-Proto: https");
});

test("a body of unknown length goes up in chunks, comes down with trailers", async () => {
  const { up, session } = await lab((r) =>
    r.socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"),
  );
  const got = await ask(session, { ":method": "POST" }, "hello");
  expect(got).toMatchObject({ body: "ok", trailers: { "x-sum": "7" } });
  expect(up.seen[0]?.head).toContain("Transfer-Encoding: chunked");
  expect(up.seen[0]?.body).toBe("5\r\nhello\r\n");
});

test("HEAD, 204 and pages of our own", async () => {
  const { session } = await lab((r) =>
    r.socket.write(r.head.startsWith("HEAD") ? "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" : "HTTP/1.1 204 No Content\r\n\r\n"),
  );
  expect(await ask(session, { ":method": "HEAD" })).toMatchObject({ headers: { ":status": 200, "content-length": "9" }, body: "" });
  expect((await ask(session, {})).headers[":status"]).toBe(204);
  expect(await ask(session, { ":authority": "b.test" })).toMatchObject({ headers: { ":status": 404 } });
});

test("a body larger than the route allows is 413", async () => {
  const { session } = await lab(echo, { routes: [makeRoute({ filters: [{ kind: "bodyLimit", bytes: 10 }], action: makeForward() })] });
  expect((await ask(session, { ":method": "POST" }, "x".repeat(100_000))).headers[":status"]).toBe(413);
});

test("large bodies pass flow control both ways", async () => {
  const { session } = await lab(echo);
  const body = Buffer.alloc(3_000_000, "z");
  const got = await ask(session, { ":method": "POST", "content-length": body.length }, body);
  expect(got.body.length).toBe(body.length);
});

test("a response cut short resets the stream, and only that one", async () => {
  const { session } = await lab((r) =>
    r.head.startsWith("GET /cut") ? r.socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf") : echo(r),
  );
  expect((await ask(session, { ":path": "/cut" })).code).not.toBe(0);
  expect((await ask(session, { ":method": "POST", "content-length": 2 }, "on")).body).toBe("on");
});

const token = "half";
test.for<[name: string, head: string, body: string]>([
  ["by its length", "Content-Length: 10\r\n", token],
  ["in a chunk", "Transfer-Encoding: chunked\r\n", `a\r\n${token}`],
  ["between chunks", "Transfer-Encoding: chunked\r\n", `4\r\n${token}\r\n`],
  ["by a reset, where the end of the connection would be its own", "", token],
])("a response cut short %s never comes to an end of its own on the wire", async ([, head, body]) => {
  const up = await RawEndpoint.start((r) => r.socket.write(`HTTP/1.1 200 OK\r\n${head}\r\n${body}`));
  const { ingress, http } = await startLab([up.port], { config: { timeouts: { grace: 0 } } });
  const c = new FrameClient(http);
  open.push(up, ingress, { close: async () => void c.socket.destroy() });
  c.send(http2Preface, frame(T.settings, 0, 0), frame(T.headers, 5, 1, requestFields()));
  await c.until((f) => f.type === T.data && f.payload.includes(token));
  for (const socket of up.sockets) socket.resetAndDestroy();
  expect(await c.until((f) => f.stream === 1 && (f.type === T.reset || (f.flags & 1) !== 0))).toMatchObject({ type: T.reset });
});

test.for<[name: string, headers: OutgoingHttpHeaders]>([
  ["a target with a space", { ":path": "/a b" }],
  ["a target with a fragment", { ":path": "/a#b" }],
  ["a target that is none", { ":path": "a" }],
  ["an authority with a user", { ":authority": "u@a.test" }],
])("resets a stream with %s", async ([, headers]) => {
  const { up, session } = await lab(echo);
  expect((await ask(session, headers)).headers).not.toHaveProperty(":status");
  expect(up.seen).toEqual([]);
});

test("drain says GOAWAY and lets open streams finish", async () => {
  let answerLater: () => void = () => undefined;
  const { up, ingress, session } = await lab((r) => {
    answerLater = () => echo(r);
  });
  const busy = ask(session, { ":method": "POST" }, "late");
  while (up.seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const last: number[] = [];
  const goaway = new Promise<void>((resolve) => {
    session.on("goaway", (_code, stream) => {
      last.push(stream);
      resolve();
    });
  });
  const drained = ingress.drain({ withinMs: 5_000 });
  await goaway;
  // requests that cross the first GOAWAY are taken (RFC 9113 section 6.8)
  expect(last).toEqual([2 ** 31 - 1]);
  answerLater();
  expect((await busy).headers[":status"]).toBe(200);
  await drained;
});
