import { afterAll, beforeAll, expect, test } from "vitest";
import type { IngressServer } from "../../../ingress/index.ts";
import { fastClock, makeForward, makeRoute, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

// one ingress for the whole table: what one row does must not be felt by the next
const limit = 1_000;
let up: RawEndpoint;
let ingress: IngressServer;
let port = 0;
let bystander: RawClient;

beforeAll(async () => {
  up = await RawEndpoint.start((r) => r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
  const filters = [{ kind: "bodyLimit" as const, bytes: limit }];
  const routes = [
    makeRoute({ filters }),
    makeRoute({
      id: "guarded",
      path: { kind: "prefix", path: "/admin" },
      filters: [{ kind: "addressList", allow: ["192.0.2.0/24"], deny: [] }],
    }),
  ];
  ({ ingress, http: port } = await startLab([up.port], { routes }));
  bystander = RawClient.connect(port);
});
afterAll(async () => {
  bystander.socket.destroy();
  await ingress.close();
  await up.close();
});

const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
const post = (headers: string, body: string): string => `POST / HTTP/1.1\r\nHost: a.test\r\n${headers}\r\n\r\n${body}`;
const chunked = (body: string): string => post("Transfer-Encoding: chunked", body);
const zero = "0\r\n\r\n";

/** Each is answered with this status and a closed connection; what stands behind it is never taken for a request. */
test.for<[name: string, sent: string, status: number]>([
  // both framings
  ["CL.TE", post("Content-Length: 6\r\nTransfer-Encoding: chunked", `${zero}G`), 400],
  ["TE.CL", post("Transfer-Encoding: chunked\r\nContent-Length: 3", `1\r\nZ\r\n${zero}`), 400],
  ["CL.TE with length 0", post("Content-Length: 0\r\nTransfer-Encoding: chunked", zero), 400],
  // transfer codings
  ...[
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-encoding: cow",
    'Transfer-Encoding: "chunked"',
    "Transfer-Encoding: chunked;x=y",
    "Transfer-Encoding: chunk",
    "Transfer-Encoding:",
    "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding: \x0cchunked",
    "Transfer-Encoding: chunked\x00",
    "Transfer-Encoding: chunked\xa0",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    " Transfer-Encoding: chunked",
    "X: y\r\n Transfer-Encoding: chunked",
    "X: y\rTransfer-Encoding: chunked",
    "X: y\nTransfer-Encoding: chunked",
    "Transfer-Encoding\r\n: chunked",
    "Transfer-Encoding:\r\n chunked",
    "Transfer-Encoding: chun\r\n ked",
    "\x00Transfer-Encoding: chunked",
    "Transfer\x00-Encoding: chunked",
  ].map((h): [string, string, number] => [JSON.stringify(h), post(h, zero), 400]),
  // lengths
  ...[
    "Content-Length: 2\r\nContent-Length: 2",
    "Content-Length: 0\r\nContent-Length: 2",
    "Content-Length: 2, 2",
    "Content-Length: +2",
    "Content-Length: -2",
    "Content-Length: 0x2",
    "Content-Length: 2.0",
    "Content-Length: 2e0",
    "Content-Length: 2_0",
    "Content-Length: 1 2",
    "Content-Length: \x0b2",
    "Content-Length: \xb2",
    "Content-Length:",
    "Content-Length: ,2",
    "Content-Length: 18446744073709551618",
    "Content-Length : 2",
    "Content-Length: 2\r\n 0",
  ].map((h): [string, string, number] => [JSON.stringify(h), post(h, "ab"), 400]),
  // chunks
  ...[
    "x\r\n",
    "-1\r\n",
    "+1\r\nZ\r\n",
    "0x1\r\nZ\r\n",
    " 1\r\nZ\r\n",
    "1 \r\nZ\r\n",
    "1\nZ\r\n",
    "1\rZ\r\n",
    "1\r\nZZ\r\n",
    "1\r\nZ\n",
    "1\r\nZ0\r\n",
    "\r\nZ",
    ";x\r\nZ",
    "1;\x00\r\nZ\r\n",
    "1;x\n\r\nZ\r\n",
    `1;${"x".repeat(300)}\r\nZ\r\n`,
    "1_0\r\nZ\r\n",
    "1.\r\nZ\r\n",
    "ffffffffffffffff1\r\nZ\r\n",
    "0000000000000001\r\nZ\r\n",
    "0\r\nX\r\n\r\n",
    "0\r\nX : 1\r\n\r\n",
    "0\r\n X: 1\r\n\r\n",
    "0\r\nX: 1\n\n",
    "0\r\nX: 1\rY: 2\r\n\r\n",
    "0\r\nX: \x00\r\n\r\n",
    "0\n\n",
    "0\r\n\n",
    `0\r\n${"X: 1\r\n".repeat(2_000)}\r\n`,
    `${`1;${"x".repeat(200)}\r\nZ\r\n`.repeat(400)}${zero}`,
  ].map((body): [string, string, number] => [`chunks ${JSON.stringify(body.slice(0, 30))}`, chunked(body), 400]),
  // heads
  ["two Hosts", "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n", 400],
  ["the same Host twice", "GET / HTTP/1.1\r\nHost: a.test\r\nhost: a.test\r\n\r\n", 400],
  ["two Hosts on 1.0", "GET / HTTP/1.0\r\nHost: a.test\r\nHost: b.test\r\n\r\n", 400],
  ["two Hosts beside an absolute target", "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n", 400],
  ["no Host beside an absolute target", "GET http://a.test/ HTTP/1.1\r\n\r\n", 400],
  ["a folded Host", "GET / HTTP/1.1\r\nHost: a.test\r\n b.test\r\n\r\n", 400],
  ["a list of Hosts", "GET / HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n", 400],
  ["a Host with a path", "GET / HTTP/1.1\r\nHost: a.test/x\r\n\r\n", 400],
  ["a Host with a user", "GET / HTTP/1.1\r\nHost: b.test@a.test\r\n\r\n", 400],
  ["a Host with a bad port", "GET / HTTP/1.1\r\nHost: a.test:80x\r\n\r\n", 400],
  ["a Host with two ports", "GET / HTTP/1.1\r\nHost: a.test:80:80\r\n\r\n", 400],
  ["a Host with a space before the colon", "GET / HTTP/1.1\r\nHost : a.test\r\n\r\n", 400],
  ["an absolute target with a user", "GET http://b.test@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400],
  ["an absolute target of another scheme", "GET file:///etc/passwd HTTP/1.1\r\nHost: a.test\r\n\r\n", 400],
  ["an authority for GET", "GET a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n", 400],
  ["a target above the root", "GET /../x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", 400],
  ["a target above the root, escaped", "GET /%2e%2e/x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", 400],
  ["a NUL in the target, escaped", "GET /%00 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", 400],
  ["a broken escape", "GET /%zz HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", 400],
  ["a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400],
  ["a request line with four parts", "GET / HTTP/1.1 HTTP/1.1\r\nHost: a.test\r\n\r\n", 400],
  ["a space after the version", "GET / HTTP/1.1 \r\nHost: a.test\r\n\r\n", 400],
  ["a bare LF after the request line", "GET / HTTP/1.1\nHost: a.test\r\n\r\n", 400],
  ["bare LFs everywhere", "GET / HTTP/1.1\nHost: a.test\n\n", 400],
  ["two CRs", "GET / HTTP/1.1\r\r\nHost: a.test\r\n\r\n", 400],
  ["HTTP/0.9", "GET /\r\n\r\n", 400],
  ["HTTP/1.10", "GET / HTTP/1.10\r\nHost: a.test\r\n\r\n", 400],
  ["TLS on the plain port", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400],
  ["HTTP/3.0", "GET / HTTP/3.0\r\nHost: a.test\r\n\r\n", 505],
  ["CONNECT", "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n", 405],
  ["a long line, ended", `GET /${"a".repeat(20_000)} HTTP/1.1\r\nHost: a.test\r\n\r\n`, 414],
  ["a long line without an end", `GET /${"a".repeat(20_000)}`, 414],
  ["a long header", `GET / HTTP/1.1\r\nHost: a.test\r\nX: ${"a".repeat(70_000)}\r\n\r\n`, 431],
  ["a header without an end", `GET / HTTP/1.1\r\nHost: a.test\r\nX: ${"a".repeat(70_000)}`, 431],
  ["many headers", `GET / HTTP/1.1\r\nHost: a.test\r\n${"X: 1\r\n".repeat(200)}\r\n`, 431],
  ["many headers without an end", `GET / HTTP/1.1\r\nHost: a.test\r\n${"X: 1\r\n".repeat(20_000)}`, 431],
  ["a long name", `GET / HTTP/1.1\r\nHost: a.test\r\n${"X".repeat(70_000)}: 1\r\n\r\n`, 431],
  ["a length above the limit", post(`Content-Length: ${limit + 1}`, ""), 413],
  ["chunks above the limit", chunked(`${(limit + 1).toString(16)}\r\n${"z".repeat(limit + 1)}\r\n${zero}`), 413],
  ["a length above the limit, asked for first", post(`Content-Length: ${limit + 1}\r\nExpect: 100-continue`, ""), 413],
  ["another expectation", post("Content-Length: 0\r\nExpect: 200-ok", ""), 417],
])("%s", async ([, sent, status]) => {
  const before = up.seen.length;
  const c = RawClient.connect(port);
  const text = await c.send(sent + smuggled).untilEnd();
  c.socket.destroy();
  expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} [^\r]*\r\n`));
  expect(text).toMatch(/\r\nConnection: close\r\n/);
  expect(text.match(/HTTP\/1\.1 /g)).toHaveLength(1);
  // no other request came of it, and those beside it are served
  bystander.text = "";
  await bystander.send("GET /beside HTTP/1.1\r\nHost: a.test\r\n\r\n").until((t) => t.endsWith("ok"));
  const seen = up.seen.slice(before).map((s) => s.head.split(" ")[1]);
  expect(seen).not.toContain("/smuggled");
  expect(seen).toContain("/beside");
});

/** However it is spelt, the path is the one that is guarded. */
test.for([
  "/admin",
  "/admin/",
  "//admin",
  "/./admin",
  "/x/../admin",
  "/%61dmin",
  "/admin%2fx",
  "/admin/..%2fadmin",
  "/x/%2e%2e/admin",
  "/admin?x",
])("%s is guarded", async (path) => {
  const c = RawClient.connect(port);
  const text = await c.send(`GET ${path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n`).untilEnd();
  c.socket.destroy();
  expect(text).toMatch(/^HTTP\/1\.1 403 /);
});

/** However it is spelt, the host is the one that has the route; the endpoint gets what was asked for. */
test.for<[target: string, host: string]>([
  ["/", "A.TEST"],
  ["/", "a.test."],
  ["/", "a.test:80"],
  ["/", "a.test:"],
  ["http://a.test/", "b.test"],
  ["HTTP://A.Test:80/", "b.test"],
  ["http://a.test?x", "b.test"],
])("target %s with Host %s is for a.test", async ([target, host]) => {
  const c = RawClient.connect(port);
  const text = await c.send(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`).untilEnd();
  c.socket.destroy();
  expect(text).toMatch(/^HTTP\/1\.1 200 /);
  const head = up.seen.at(-1)?.head ?? "";
  expect(head).toMatch(/^GET \/(\?x)? HTTP\/1\.1\r\nHost: a\.test[.:0-9]*\r\n/i);
  expect(head.match(/^Host:/gim)).toHaveLength(1);
});

test("headers that other programs take for ours or for framing do not pass", async () => {
  const c = RawClient.connect(port);
  const forged = "X_Forwarded_For: 6.6.6.6\r\nx_real_ip: 6.6.6.6\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\nX_Other: 1\r\n";
  await c.send(`GET / HTTP/1.1\r\nHost: a.test\r\n${forged}X-Kept: 1\r\nConnection: close\r\n\r\n`).untilEnd();
  c.socket.destroy();
  const head = up.seen.at(-1)?.head ?? "";
  expect(head).toContain("X-Kept: 1");
  expect(head).not.toMatch(/_/);
});

test.for<[name: string, sent: string]>([
  ["half a request line", "GET / HT"],
  ["half a head", "GET / HTTP/1.1\r\nHost: a.test\r\nX: "],
  ["half a body", "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nabc"],
  ["half a chunk", "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"],
  ["a chunk size without an end", "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5"],
])("%s and then silence is 408", async ([, sent]) => {
  const slow = await RawEndpoint.start(() => undefined);
  const l = await startLab([slow.port], {
    clock: fastClock(40),
    routes: [makeRoute({ action: makeForward({ timeouts: { connectSeconds: 900, sendSeconds: 900, readSeconds: 900 } }) })],
    config: { timeouts: { head: 4_000, body: 4_000 } },
  });
  const c = RawClient.connect(l.http);
  expect(await c.send(sent).untilEnd()).toMatch(/^HTTP\/1\.1 408 .*\r\nConnection: close\r\n/s);
  c.socket.destroy();
  await l.ingress.close();
  await slow.close();
});

test("who connects and says nothing is closed without a word", async () => {
  const l = await startLab([], { clock: fastClock(40), config: { timeouts: { head: 4_000 } } });
  const c = RawClient.connect(l.http);
  expect(await c.untilEnd()).toBe("");
  c.socket.destroy();
  await l.ingress.close();
});
