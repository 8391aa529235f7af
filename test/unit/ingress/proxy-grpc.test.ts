import {
  type ClientHttp2Session,
  connect,
  createSecureServer,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { afterEach, expect, test } from "vitest";
import type { IngressServer, Route } from "../../../ingress/index.ts";
import { selfSignedCertificate } from "../../../ingress/proxy/default-certificate.ts";
import type { TextPart } from "../../../ingress/route/request-text.ts";
import type { UpstreamTls } from "../../../ingress/route/route.ts";
import { fastClock, makeForward, makeRoute, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

const open: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

type Serve = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;
const pair = selfSignedCertificate(Date.now());

/** An endpoint of HTTP/2, plain by prior knowledge or over TLS. */
async function endpoint(
  serve: Serve,
  o: { readonly tls?: boolean; readonly maxConcurrentStreams?: number } = {},
): Promise<{ port: number; sessions: () => number; server: Http2Server }> {
  const settings = { maxConcurrentStreams: o.maxConcurrentStreams ?? 200 };
  const server = o.tls === true ? createSecureServer({ key: pair.key, cert: pair.certificate, settings }) : createServer({ settings });
  let sessions = 0;
  server.on("session", (s) => {
    sessions++;
    open.push(() => s.destroy());
  });
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on("error", () => undefined);
    serve(stream, headers);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push(() => void server.close());
  const address = server.address();
  return { port: typeof address === "object" && address !== null ? address.port : 0, sessions: () => sessions, server };
}

async function lab(
  ports: readonly number[],
  route: Partial<Route>,
  o: Parameters<typeof startLab>[1] = {},
): Promise<{ ingress: IngressServer; session: ClientHttp2Session; http: number }> {
  const l = await startLab(ports, {
    routes: [makeRoute(route)],
    ...o,
    config: { https: [{ ip: "127.0.0.1", port: 0 }], timeouts: { grace: 0 }, ...o.config },
  });
  const session = connect(`https://127.0.0.1:${l.https}`, { rejectUnauthorized: false });
  session.on("error", () => undefined);
  open.push(
    () => l.ingress.close(),
    () => session.destroy(),
  );
  return { ...l, session };
}

interface Got {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: string;
  readonly code: number;
}

function call(
  session: ClientHttp2Session,
  o: { readonly body?: string; readonly headers?: Record<string, string>; readonly trailers?: Record<string, string> } = {},
): Promise<Got> {
  const stream = session.request(
    {
      ":method": "POST",
      ":path": "/shop.Cart/Add",
      ":authority": "a.test",
      "content-type": "application/grpc",
      te: "trailers",
      ...o.headers,
    },
    { waitForTrailers: o.trailers !== undefined },
  );
  stream.on("wantTrailers", () => stream.sendTrailers(o.trailers ?? {}));
  return new Promise((resolve) => {
    let headers: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders = {};
    const parts: Buffer[] = [];
    stream.on("response", (h) => {
      headers = h;
    });
    stream.on("trailers", (t) => {
      trailers = t;
    });
    stream.on("data", (b: Buffer) => parts.push(b));
    stream.on("error", () => undefined);
    stream.on("close", () => resolve({ headers, trailers, body: Buffer.concat(parts).toString("latin1"), code: stream.rstCode ?? 0 }));
    stream.end(o.body ?? "hello");
  });
}

/** Echoes the message, says OK in trailers. */
const echo: Serve = (stream) => {
  stream.respond({ ":status": 200, "content-type": "application/grpc", "x-one": ["a", "b"] }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", "grpc-message": "" }));
  stream.pipe(stream);
};

test.for([
  ["grpc", false],
  ["grpcs", true],
] as const)("%s: messages both ways, status in trailers, many calls on one session", async ([protocol, tls]) => {
  const seen: IncomingHttpHeaders[] = [];
  const up = await endpoint(
    (s, h) => {
      seen.push(h);
      echo(s, h);
    },
    { tls },
  );
  const { session } = await lab([up.port], { action: makeForward({ protocol }) });
  const all = await Promise.all(Array.from({ length: 20 }, (_, i) => call(session, { body: `message ${i}` })));
  expect(all.map((g) => g.body)).toEqual(all.map((_, i) => `message ${i}`));
  expect(all.every((g) => Number(g.headers[":status"]) === 200 && g.trailers["grpc-status"] === "0")).toBe(true);
  expect(up.sessions()).toBe(1);
  expect(seen[0]).toMatchObject({
    ":path": "/shop.Cart/Add",
    ":authority": "a.test",
    ":scheme": tls ? "https" : "http",
    te: "trailers",
    "x-forwarded-proto": "https",
  });
});

test("request trailers reach the endpoint", async () => {
  const trailers: IncomingHttpHeaders[] = [];
  const up = await endpoint((stream, headers) => {
    stream.on("trailers", (t) => trailers.push(t));
    echo(stream, headers);
  });
  const { session } = await lab([up.port], { action: makeForward({ protocol: "grpc" }) });
  await call(session, { trailers: { "x-sum": "7" } });
  expect(trailers).toMatchObject([{ "x-sum": "7" }]);
});

test("what a route sets for HTTP/1.1 only does not reach an endpoint of HTTP/2", async () => {
  const seen: IncomingHttpHeaders[] = [];
  const up = await endpoint((s, h) => {
    seen.push(h);
    echo(s, h);
  });
  const set = [
    { name: "Connection", value: text("close") },
    { name: "X-Team", value: text("shop") },
  ];
  const { session } = await lab([up.port], { action: makeForward({ protocol: "grpc" }), filters: [{ kind: "filledHeaders", set }] });
  expect(await call(session)).toMatchObject({ body: "hello", trailers: { "grpc-status": "0" } });
  expect(seen).toMatchObject([{ "x-team": "shop" }]);
  expect(seen[0]).not.toHaveProperty("connection");
});

test("a stream goes both ways while it is open", async () => {
  const up = await endpoint((stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    stream.on("data", (b: Buffer) => stream.write(`<${b.toString()}>`));
    stream.on("end", () => stream.end("bye"));
  });
  const { session } = await lab([up.port], { action: makeForward({ protocol: "grpc" }) });
  const stream = session.request({ ":method": "POST", ":path": "/", ":authority": "a.test", "content-type": "application/grpc" });
  let text = "";
  let wake: () => void = () => undefined;
  stream.on("data", (b: Buffer) => {
    text += b.toString();
    wake();
  });
  const until = async (want: string): Promise<void> => {
    while (text !== want) await new Promise<void>((resolve) => (wake = resolve));
  };
  stream.write("one");
  await until("<one>");
  stream.write("two");
  await until("<one><two>");
  stream.end();
  await until("<one><two>bye");
});

test("a response of trailers only stays one", async () => {
  const up = await endpoint((s) =>
    s.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "5" }, { endStream: true }),
  );
  const { session } = await lab([up.port], { action: makeForward({ protocol: "grpc" }) });
  expect(await call(session)).toMatchObject({ headers: { ":status": 200, "grpc-status": "5" }, body: "" });
});

test("trailers behind a body whose length was announced, both ways", async () => {
  const seen: IncomingHttpHeaders[] = [];
  const up = await endpoint((stream) => {
    stream.on("trailers", (t) => seen.push(t));
    stream.respond({ ":status": 200, "content-type": "application/grpc", "content-length": "5" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.pipe(stream);
  });
  const { session } = await lab([up.port], { action: makeForward({ protocol: "grpc" }) });
  const got = await call(session, { headers: { "content-length": "5" }, trailers: { "x-sum": "7" } });
  expect(got).toMatchObject({ body: "hello", trailers: { "grpc-status": "0" } });
  expect(seen).toMatchObject([{ "x-sum": "7" }]);
});

test.for<[name: string, serve: Serve | undefined, status: string]>([
  ["no endpoint", undefined, "14"],
  ["a stream that is cut before an answer", (s) => s.close(2), "14"],
])("%s is told as gRPC tells it", async ([, serve, status]) => {
  const up = serve === undefined ? undefined : await endpoint(serve);
  const { session } = await lab(up === undefined ? [] : [up.port], { action: makeForward({ protocol: "grpc" }) });
  const got = await call(session);
  expect(got.headers).toMatchObject({ ":status": 200, "content-type": "application/grpc", "grpc-status": status });
});

test("grpc-timeout ends a call that takes longer", async () => {
  const up = await endpoint(() => undefined);
  const { session } = await lab([up.port], { action: makeForward({ protocol: "grpc" }) }, { clock: fastClock(20) });
  expect((await call(session, { headers: { "grpc-timeout": "2S" } })).headers).toMatchObject({ "grpc-status": "4" });
});

test("what an endpoint refuses goes to another, though it is no GET", async () => {
  const refusing = await endpoint((s) => s.close(7));
  const up = await endpoint(echo);
  const { session } = await lab([refusing.port, up.port], { action: makeForward({ protocol: "grpc" }) });
  expect(await call(session)).toMatchObject({ body: "hello", trailers: { "grpc-status": "0" } });
});

test("an endpoint with room for few streams gets more sessions", async () => {
  const waiting: ServerHttp2Stream[] = [];
  const up = await endpoint((s) => waiting.push(s), { maxConcurrentStreams: 2 });
  const { session } = await lab([up.port], { action: makeForward({ protocol: "grpc" }) });
  const first = call(session);
  while (waiting.length < 1) await new Promise((resolve) => setImmediate(resolve));
  const rest = [call(session), call(session), call(session)];
  while (waiting.length < 4) await new Promise((resolve) => setImmediate(resolve));
  expect(up.sessions()).toBe(2);
  for (const s of waiting) echo(s, {});
  expect((await Promise.all([first, ...rest])).map((g) => g.body)).toEqual(["hello", "hello", "hello", "hello"]);
});

test("GOAWAY: calls under way finish, the next opens a new session", async () => {
  let held: ServerHttp2Stream | undefined;
  const up = await endpoint((s, h) => {
    if (held === undefined) {
      held = s;
      s.session?.goaway(0);
    } else echo(s, h);
  });
  const { session } = await lab([up.port], { action: makeForward({ protocol: "grpc" }) });
  const first = call(session);
  while (held === undefined) await new Promise((resolve) => setImmediate(resolve));
  // the news travels with what follows it
  const second = await call(session);
  echo(held, {});
  expect([second.body, (await first).body]).toEqual(["hello", "hello"]);
  expect(up.sessions()).toBe(2);
});

test("an endpoint that ends each connection after a few calls, and leaves out those that came too late, loses none", async () => {
  const up = await endpoint((s, h) => {
    echo(s, h);
    // the last that is taken is the fifth
    if (s.id === 9) s.session?.goaway(0, 9);
  });
  const { session } = await lab([up.port], { action: makeForward({ protocol: "grpc", tries: 1 }) });
  await call(session);
  for (let round = 0; round < 5; round++) {
    const got = await Promise.all(Array.from({ length: 12 }, () => call(session)));
    expect(got.map((g) => g.body)).toEqual(got.map(() => "hello"));
  }
  expect(up.sessions()).toBeGreaterThan(5);
});

test.for<[name: string, way: "goaway" | "reset"]>([
  ["leaves all calls out", "goaway"],
  ["refuses all calls", "reset"],
])("an endpoint that %s is not asked for ever", async ([, way]) => {
  let asked = 0;
  const up = await endpoint((s) => {
    asked++;
    s.close(7);
    if (way === "goaway") s.session?.goaway(0);
  });
  const { session } = await lab([up.port], { action: makeForward({ protocol: "grpc", tries: 2 }) });
  expect((await call(session)).headers).toMatchObject({ "grpc-status": "14" });
  expect(asked).toBeLessThan(8);
});

test("a client of HTTP/1.1 reaches an endpoint of HTTP/2, with body and trailers", async () => {
  const up = await endpoint((stream) => {
    stream.respond({ ":status": 201, "x-kind": "h2" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "9" }));
    stream.pipe(stream);
  });
  const { http } = await lab([up.port], { action: makeForward({ protocol: "grpc" }) });
  const c = RawClient.connect(http);
  open.push(() => void c.socket.destroy());
  const text = await c
    .send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc")
    .until((t) => t.endsWith("\r\n\r\n") && t.includes("x-sum"));
  expect(text).toMatch(/^HTTP\/1\.1 201 [^\r]*\r\nx-kind: h2\r\n/);
  expect(text).toMatch(/\r\n3\r\nabc\r\n0\r\nx-sum: 9\r\n\r\n$/);
});

test("a client of HTTP/1.1 is told the end of an answer that is a head only", async () => {
  const up = await endpoint((s) => s.respond({ ":status": 200, "x-kind": "h2" }, { endStream: true }));
  const { http } = await lab([up.port], { action: makeForward({ protocol: "grpc" }) });
  const c = RawClient.connect(http);
  open.push(() => void c.socket.destroy());
  const get = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
  const text = await c.send(get + get).until((t) => t.split("\r\n\r\n").length === 3);
  expect(text).toMatch(/^(HTTP\/1\.1 200 \r\nx-kind: h2\r\n([A-Z][^\r]*\r\n|date: [^\r]*\r\n)*Content-Length: 0\r\n\r\n){2}$/);
});

test("an endpoint that speaks HTTP/1 only is 502", async () => {
  const up = await RawEndpoint.start((r) => r.socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  open.push(() => up.close());
  const { http } = await lab([up.port], { action: makeForward({ protocol: "grpc" }) });
  const c = RawClient.connect(http);
  open.push(() => void c.socket.destroy());
  expect(await c.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").until((t) => t.includes("</html>"))).toMatch(/^HTTP\/1\.1 502 /);
});

const text = (t: string): readonly TextPart[] => [{ kind: "text", text: t }];

test.for<[name: string, tls: Partial<UpstreamTls>, status: number]>([
  ["not verified", { verify: false, sendServerName: false }, 200],
  [
    "verified by the right authority and name",
    { verify: true, sendServerName: true, ca: pair.certificate, name: text("ingress.local") },
    200,
  ],
  ["verified without its authority", { verify: true, sendServerName: true, name: text("ingress.local") }, 502],
  ["verified with another name", { verify: true, sendServerName: true, ca: pair.certificate, name: text("b.test") }, 502],
  ["terms that cannot be used", { verify: true, sendServerName: true, ca: "no PEM" }, 502],
])("TLS to endpoints: %s", async ([, tls, status]) => {
  const up = await endpoint(echo, { tls: true });
  const { session } = await lab([up.port], {
    action: makeForward({ protocol: "grpcs", tls: { verify: false, sendServerName: true, ...tls } }),
  });
  expect((await call(session, { headers: { "content-type": "text/plain" } })).headers[":status"]).toBe(status);
});
