import { createServer } from "node:net";
import { createServer as createTlsServer, connect as tlsConnect } from "node:tls";
import { hashSync } from "bcryptjs";
import { afterEach, expect, test } from "vitest";
import type { IngressServer, KeyPair, Route } from "../../../ingress/index.ts";
import { selfSignedCertificate } from "../../../ingress/proxy/default-certificate.ts";
import { type Answer, fastClock, get, makeForward, makeRoute, poolOf, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

const ok: Answer = (r) => r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");

async function lab(
  o: Parameters<typeof startLab>[1],
  answers: readonly Answer[] = [ok],
): Promise<{ ingress: IngressServer; http: number; https: number; ups: readonly RawEndpoint[] }> {
  const ups = await Promise.all(answers.map((a) => RawEndpoint.start(a)));
  const l = await startLab(
    ups.map((u) => u.port),
    o,
  );
  open.push(...ups, l.ingress);
  return { ...l, ups };
}

function client(port: number): RawClient {
  const c = RawClient.connect(port);
  open.push({ close: async () => void c.socket.destroy() });
  return c;
}

/** The status of one request on a connection of its own. */
async function status(port: number, request: string): Promise<number> {
  const text = await client(port)
    .send(request)
    .until((t) => t.includes("\r\n\r\n"));
  return Number(text.slice(9, 12));
}

const withFilters = (...filters: Route["filters"]): { routes: Route[] } => ({ routes: [makeRoute({ filters })] });
const basic = (pair: string): string => `Authorization: Basic ${Buffer.from(pair).toString("base64")}\r\n`;

test("basic auth: each kind of hash lets the right one in, and no one else", async () => {
  const users = {
    ann: hashSync("pass", 4),
    bob: "$apr1$QnfmDUiE$u0xUEXghNG.HIXniOfa25.",
    eve: "{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=",
  };
  const { http, ups } = await lab(withFilters({ kind: "auth", realm: "the shop", users }));
  const refused = await client(http)
    .send(get())
    .until((t) => t.includes("</html>"));
  expect(refused).toMatch(/^HTTP\/1\.1 401 Unauthorized\r\n/);
  expect(refused).toContain('WWW-Authenticate: Basic realm="the shop"\r\n');
  for (const pair of ["ann:pass", "ann:pass", "bob:secret", "eve:pass"])
    expect([pair, await status(http, get("/", basic(pair)))]).toEqual([pair, 200]);
  for (const pair of ["ann:wrong", "bob:pass", "eve:x", "mallory:pass", "ann", "__proto__:x"])
    expect([pair, await status(http, get("/", basic(pair)))]).toEqual([pair, 401]);
  expect(ups[0]?.seen.length).toBe(4);
});

test("the request body of one who waits for a slow password check arrives whole", async () => {
  const { http, ups } = await lab(withFilters({ kind: "auth", realm: "", users: { ann: hashSync("pass", 6) } }));
  await client(http)
    .send(`POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n${basic("ann:pass")}\r\nhello`)
    .until((t) => t.endsWith("ok"));
  expect(ups[0]?.seen[0]?.body).toBe("hello");
});

test("rate limit: one and the burst pass, then 503", async () => {
  const { http } = await lab(withFilters({ kind: "rateLimit", bucket: "b", perMinute: 1, burst: 3, status: 503 }));
  const got: number[] = [];
  for (let i = 0; i < 6; i++) got.push(await status(http, get()));
  expect(got).toEqual([200, 200, 200, 200, 503, 503]);
});

test("connection limit: counts what is in flight", async () => {
  const { http, ups } = await lab(withFilters({ kind: "connectionLimit", bucket: "b", limit: 1, status: 503 }), [() => undefined]);
  const seen = ups[0]?.seen ?? [];
  const arrived = async (n: number): Promise<void> => {
    while (seen.length < n) await new Promise((resolve) => setImmediate(resolve));
  };
  const first = client(http).send(get());
  await arrived(1);
  expect(await status(http, get())).toBe(503);
  if (seen[0] !== undefined) ok(seen[0]);
  await first.until((t) => t.endsWith("ok"));
  first.send(get());
  await arrived(2);
});

test("body limit: by the announced length at once, by the bytes as they come", async () => {
  const { http, ups } = await lab(withFilters({ kind: "bodyLimit", bytes: 10 }));
  const post = (more: string): string => `POST / HTTP/1.1\r\nHost: a.test\r\n${more}`;
  expect(await status(http, post("Content-Length: 11\r\nExpect: 100-continue\r\n\r\n"))).toBe(413);
  expect(await status(http, post("Transfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n8\r\n12345678\r\n"))).toBe(413);
  expect(await status(http, post("Content-Length: 10\r\n\r\n1234567890"))).toBe(200);
  expect(ups[0]?.seen.map((s) => s.body)).toEqual(["1234567890"]);
});

test("redirects carry the port of https", async () => {
  const { http } = await lab({ ...withFilters({ kind: "sslRedirect", status: 308 }), config: { httpsPort: 8443 } });
  const text = await client(http)
    .send(get("/x?y"))
    .until((t) => t.includes("</html>"));
  expect(text).toContain("Location: https://a.test:8443/x?y\r\n");
});

test("headers of ours replace the client's and the endpoint's", async () => {
  const { http, ups } = await lab(
    withFilters(
      { kind: "filledHeaders", set: [{ name: "X-Prefix", value: [{ kind: "text", text: "/p" }] }] },
      { kind: "responseHeaders", set: [{ name: "X-Out", value: "ours" }] },
    ),
    [(r) => r.socket.write("HTTP/1.1 200 OK\r\nX-Out: theirs\r\nContent-Length: 2\r\n\r\nok")],
  );
  const text = await client(http)
    .send(get("/", "x-prefix: forged\r\n"))
    .until((t) => t.endsWith("ok"));
  expect(ups[0]?.seen[0]?.head).toMatch(/X-Prefix: \/p/);
  expect(ups[0]?.seen[0]?.head).not.toContain("forged");
  expect(text).toContain("X-Out: ours");
  expect(text).not.toContain("theirs");
});

test("CORS: preflights are answered here, responses carry the origin", async () => {
  const cors = {
    kind: "cors",
    origins: ["https://*.shop.test"],
    methods: "GET",
    headers: "X-A",
    exposeHeaders: "",
    credentials: true,
    maxAgeSeconds: 60,
  } as const;
  const { http, ups } = await lab(withFilters(cors));
  const ask = (method: string, origin: string): Promise<string> =>
    client(http)
      .send(`${method} / HTTP/1.1\r\nHost: a.test\r\nOrigin: ${origin}\r\n\r\n`)
      .until((t) => t.includes("\r\n\r\n"));
  expect(await ask("OPTIONS", "https://www.shop.test")).toMatch(
    /^HTTP\/1\.1 204[\s\S]*Access-Control-Allow-Origin: https:\/\/www\.shop\.test[\s\S]*Access-Control-Allow-Methods: GET/,
  );
  expect(await ask("GET", "https://www.shop.test")).toMatch(/200 OK[\s\S]*Access-Control-Allow-Origin: https:\/\/www\.shop\.test/);
  expect(await ask("GET", "https://evil.test")).not.toContain("Access-Control");
  expect(ups[0]?.seen.length).toBe(2);
});

test("weights share the requests, an override takes them all", async () => {
  let at = 0;
  const spread = (): number => (at++ % 100) / 100;
  const action = makeForward({
    backends: [
      { pool: "p", weight: 75 },
      { pool: "q", weight: 25 },
    ],
    overrides: [
      { on: "header", match: { name: "x-next", value: { kind: "exact", text: "always" } }, backends: [{ pool: "q", weight: 1 }] },
    ],
  });
  const { http, ingress, ups } = await lab({ routes: [makeRoute({ action })], random: spread });
  const canary = await RawEndpoint.start(ok);
  open.push(canary);
  ingress.apply({
    revision: 2,
    full: false,
    routes: { upserts: [], deletes: [] },
    pools: { upserts: [poolOf([canary.port], "q")], deletes: [] },
    certificates: { upserts: [], deletes: [] },
  });
  const c = client(http);
  for (let i = 0; i < 100; i++) await c.send(get()).until((t) => t.split("200 OK").length === i + 2 && t.endsWith("ok"));
  expect((ups[0]?.seen.length ?? 0) + canary.seen.length).toBe(100);
  expect(canary.seen.length).toBeGreaterThan(10);
  expect(canary.seen.length).toBeLessThan(40);
  const before = canary.seen.length;
  for (let i = 0; i < 5; i++)
    await client(http)
      .send(get("/", "X-Next: always\r\n"))
      .until((t) => t.endsWith("ok"));
  expect(canary.seen.length).toBe(before + 5);
});

test("round robin takes turns; a cookie binds to one endpoint", async () => {
  const affinity = { cookie: "SID", mode: "persistent", path: "/", changeOnFailure: false } as const;
  const { http, ups } = await lab(
    { routes: [makeRoute(), makeRoute({ id: "s", path: { kind: "prefix", path: "/s" }, action: makeForward({ affinity }) })] },
    [ok, ok],
  );
  const c = client(http);
  for (let i = 0; i < 4; i++) await c.send(get()).until((t) => t.split("200 OK").length === i + 2 && t.endsWith("ok"));
  expect(ups.map((u) => u.seen.length)).toEqual([2, 2]);
  const text = await client(http)
    .send(get("/s"))
    .until((t) => t.endsWith("ok"));
  const cookie = /Set-Cookie: (SID=[0-9a-f]{16}); Path=\/; HttpOnly\r\n/.exec(text)?.[1];
  expect(cookie).toBeDefined();
  const counts = ups.map((u) => u.seen.length);
  for (let i = 0; i < 4; i++) {
    const again = await client(http)
      .send(get("/s", `Cookie: x=y; ${cookie}\r\n`))
      .until((t) => t.endsWith("ok"));
    expect(again).not.toContain("Set-Cookie");
  }
  const gained = ups.map((u, i) => u.seen.length - (counts[i] ?? 0)).sort((a, b) => a - b);
  expect(gained).toEqual([0, 4]);
});

/** A self-signed pair for a name. */
function makePair(name: string): KeyPair {
  return selfSignedCertificate(Date.now(), { commonName: name, host: name });
}

test("TLS: certificates by server name, wildcards, a default one; new ones are used at once", async () => {
  const here = { ip: "127.0.0.1", port: 0 };
  const { ingress, https } = await lab({ config: { https: [here] } });
  const object = { kind: "Secret", namespace: "shop", name: "tls" };
  const give = (revision: number, pairs: Readonly<Record<string, string>>): void =>
    ingress.apply({
      revision,
      full: false,
      routes: { upserts: [], deletes: [] },
      pools: { upserts: [], deletes: [] },
      certificates: { upserts: Object.entries(pairs).map(([host, name]) => ({ host, object, ...makePair(name) })), deletes: [] },
    });
  const shown = (servername: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = tlsConnect({ port: https, host: "127.0.0.1", servername, rejectUnauthorized: false }, () => {
        const subject = socket.getPeerCertificate().subject.CN;
        socket.write(`GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n`);
        let text = "";
        socket.on("data", (b: Buffer) => {
          text += b.toString();
        });
        socket.on("close", () => resolve(`${String(subject)} ${text.slice(9, 12)}`));
      });
      socket.on("error", reject);
    });
  give(2, { "a.test": "a.test", "*.w.test": "*.w.test" });
  expect(await shown("a.test")).toBe("a.test 200");
  expect(await shown("A.test")).toBe("a.test 200");
  expect(await shown("x.w.test")).toBe("*.w.test 200");
  expect(await shown("y.x.w.test")).toBe("Ingress default certificate 200");
  give(3, { "a.test": "renewed.test" });
  expect(await shown("a.test")).toBe("renewed.test 200");
});

test("clients that break off a handshake, or speak plainly to TLS, harm nobody", async () => {
  const { https } = await lab({ config: { https: [{ ip: "127.0.0.1", port: 0 }] } });
  const hello = Buffer.from("16030100c8010000c40303", "hex").toString("latin1");
  for (const text of ["", "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", hello, "\x16\x03\x01\x00\x02\x01\x00"]) {
    for (const reset of [true, false]) {
      const c = client(https).send(text);
      await new Promise((resolve) => c.socket.once("connect", resolve));
      if (reset) c.socket.resetAndDestroy();
      else c.socket.end();
      await c.untilEnd();
    }
  }
  const socket = tlsConnect({ port: https, host: "127.0.0.1", rejectUnauthorized: false });
  socket.write(get());
  const text = await new RawClient(socket).until((t) => t.endsWith("ok"));
  socket.destroy();
  expect(text).toMatch(/^HTTP\/1\.1 200/);
});

test("metrics count requests by route, with ingress-nginx's names", async () => {
  const { http, ingress } = await lab({});
  await status(http, get());
  await status(http, get());
  expect(ingress.metrics()).toContain(
    'nginx_ingress_controller_requests{host="a.test",method="GET",status="200",namespace="shop",ingress="web",service="web",path="/",canary=""} 2\n',
  );
});

test("endpoints that speak TLS, told the name they are asked for", async () => {
  const pair = makePair("inner.test");
  let name: string | false | null = null;
  const up = createTlsServer({ key: pair.key, cert: pair.certificate }, (socket) => {
    name = socket.servername;
    socket.once("data", (b: Buffer) => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${b.length}\r\n\r\n${b.toString("latin1")}`));
  });
  await new Promise<void>((resolve) => up.listen(0, "127.0.0.1", resolve));
  const address = up.address();
  const { ingress, http } = await startLab([typeof address === "object" && address !== null ? address.port : 0], {
    routes: [makeRoute({ action: makeForward({ protocol: "https", host: [{ kind: "text", text: "inner.test" }] }) })],
  });
  open.push({ close: () => new Promise((resolve) => void up.close(() => resolve())) }, ingress);
  const text = await client(http)
    .send(get("/secure"))
    .until((t) => t.endsWith("\r\n\r\n") && t.includes("/secure"));
  expect(text).toContain("GET /secure HTTP/1.1\r\nHost: inner.test\r\n");
  expect(name).toBe("inner.test");
});

test("a listening server made elsewhere is taken over", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { ingress } = await lab({ config: { http: [{ server }] } });
  expect(await status(ingress.addresses.http[0]?.port ?? 0, get())).toBe(200);
  await ingress.close();
  expect(server.listening).toBe(false);
});

test("slow and hostile clients: an answer where one is due, a closed connection, and the others go on", async () => {
  const { http } = await lab({ clock: fastClock(20), config: { timeouts: { head: 4_000, idle: 4_000, body: 4_000, linger: 4_000 } } });
  const c = client(http).send("GET / HT");
  expect(await c.untilEnd()).toMatch(/^HTTP\/1\.1 408 /);
  const silent = client(http);
  expect(await silent.untilEnd()).toBe("");
  const stalled = client(http).send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhalf");
  expect(await stalled.untilEnd()).toMatch(/^HTTP\/1\.1 408 /);
  for (const [text, code] of [
    ["GET / HTTP/1.1\nHost: a.test\n\n", 400],
    [`GET /${"a".repeat(70_000)}`, 414],
    [`GET / HTTP/1.1\r\nHost: a.test\r\n${"X: y\r\n".repeat(12_000)}`, 431],
    ["POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400],
  ] as const) {
    const bad = client(http).send(text);
    expect([text.slice(0, 20), Number((await bad.untilEnd()).slice(9, 12))]).toEqual([text.slice(0, 20), code]);
  }
  expect(await status(http, get())).toBe(200);
});
