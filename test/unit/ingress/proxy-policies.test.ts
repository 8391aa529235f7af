import { readdirSync, readlinkSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { afterEach, expect, test } from "vitest";
import type { Route } from "../../../ingress/index.ts";
import { type Answer, fastClock, get, makeForward, makeRoute, poolOf, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

const open: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function endpoint(answer: Answer): Promise<RawEndpoint> {
  const e = await RawEndpoint.start(answer);
  open.push(() => e.close());
  return e;
}

async function lab(ports: readonly number[], change: Parameters<typeof makeForward>[0], o: Parameters<typeof startLab>[1] = {}) {
  const l = await startLab(ports, { routes: [makeRoute({ action: makeForward(change) })], ...o });
  open.push(() => l.ingress.close());
  return l;
}

async function ask(port: number, text: string): Promise<string> {
  const c = RawClient.connect(port);
  open.push(() => void c.socket.destroy());
  return c
    .send(text)
    .until((t) => t.includes("\r\n\r\n") && t.length >= t.indexOf("\r\n\r\n") + 4 + Number(/content-length: (\d+)/i.exec(t)?.[1] ?? 0));
}

const say =
  (status: number): Answer =>
  (r) =>
    r.socket.write(`HTTP/1.1 ${status} X\r\nContent-Length: 3\r\n\r\n${status}`);
const policy = { on: ["error", "timeout", "http_503"] as const, nonIdempotent: false, withinSeconds: 0 };
const post = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi";

test.for<[name: string, request: string, change: Parameters<typeof makeForward>[0], status: number]>([
  ["a status that asks for another try gets it", get(), { retry: policy }, 200],
  ["without the word for it, it is the answer", get(), { retry: { ...policy, on: ["error"] } }, 503],
  ["without a policy, it is the answer", get(), {}, 503],
  ["what is not idempotent is not repeated", post, { retry: policy }, 503],
  ["unless it is allowed, body and all", post, { retry: { ...policy, nonIdempotent: true } }, 200],
  ["one try is one try", get(), { retry: policy, tries: 1 }, 503],
])("%s", async ([, request, change, status]) => {
  const bad = await endpoint(say(503));
  const good = await endpoint(say(200));
  const { http } = await lab([bad.port, good.port], change);
  expect(await ask(http, request)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  if (status === 200 && request === post) expect(good.seen[0]?.body).toBe("hi");
});

const cut: Answer = (r) => {
  r.socket.end("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal");
};

test.for<[name: string, answer: Answer, failures: number]>([
  ["an answer, whatever it says", say(503), 0],
  ["no answer", (r) => void r.socket.destroy(), 1],
  ["no answer in time", () => undefined, 1],
  ["half an answer", cut, 1],
  ["an answer that does not go on", (r) => void r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal"), 1],
])("tries that failed are counted: %s", async ([, answer, failures]) => {
  const up = await endpoint(answer);
  const timeouts = { connectSeconds: 100, sendSeconds: 2, readSeconds: 2 };
  const { ingress, http } = await lab([up.port], { timeouts, tries: 1 }, { clock: fastClock(20) });
  const c = RawClient.connect(http).send(get("/", "Connection: close\r\n"));
  open.push(() => void c.socket.destroy());
  await c.untilEnd();
  expect(/upstream_failures_total (\d+)/.exec(ingress.metrics())?.[1]).toBe(`${failures}`);
});

test("the last endpoint's answer is passed on, whatever it is", async () => {
  const [a, b] = [await endpoint(say(503)), await endpoint(say(503))];
  const { http } = await lab([a.port, b.port], { retry: policy });
  expect(await ask(http, get())).toMatch(/^HTTP\/1\.1 503 X\r\n/);
  expect([a.seen.length, b.seen.length]).toEqual([1, 1]);
});

test("no new try after the time for all of them", async () => {
  const slow = await endpoint(() => undefined);
  const good = await endpoint(say(200));
  const change = { retry: { ...policy, withinSeconds: 1 }, timeouts: { connectSeconds: 5, sendSeconds: 3, readSeconds: 3 } };
  const { http } = await lab([slow.port, good.port], change, { clock: fastClock(20) });
  expect(await ask(http, get())).toMatch(/^HTTP\/1\.1 504 /);
  expect(good.seen).toHaveLength(0);
});

test("a hash of a header sends what is alike to one endpoint", async () => {
  const ups = [await endpoint(say(200)), await endpoint(say(200)), await endpoint(say(200))];
  const hash = { key: [{ kind: "header", name: "X-User" }], algorithm: "ring" } as const;
  const { http } = await lab(
    ups.map((u) => u.port),
    { balance: "hash", hash },
  );
  for (const user of ["ann", "bob", "cid", "dan", "eve", "fay"])
    for (let i = 0; i < 3; i++) await ask(http, get("/", `X-User: ${user}\r\n`));
  for (const user of ["ann", "bob", "cid", "dan", "eve", "fay"])
    expect(ups.filter((u) => u.seen.some((s) => s.head.includes(`X-User: ${user}`)))).toHaveLength(1);
});

test("a limit of bytes a second spreads a response over its time", async () => {
  const size = 400_000;
  const up = await endpoint((r) => r.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n${"x".repeat(size)}`));
  const clock = fastClock(10);
  const { http } = await lab([up.port], { responseRate: { bytesPerSecond: 100_000, afterBytes: 100_000 } }, { clock });
  const before = clock.monotonic();
  const text = await ask(http, get());
  expect(text.length).toBeGreaterThan(size);
  // 300,000 bytes above what is free; the last piece is not waited for
  expect(clock.monotonic() - before).toBeGreaterThan(2_000);
});

const slowly = { connectSeconds: 5, sendSeconds: 60, readSeconds: 60 };

test("a try has its own time: the next endpoint answers instead", async () => {
  const slow = await endpoint(() => undefined);
  const good = await endpoint(say(200));
  const clock = fastClock(20);
  const { http } = await lab([slow.port, good.port], { timeouts: { ...slowly, trySeconds: 2 } }, { clock });
  expect(await ask(http, get())).toMatch(/^HTTP\/1\.1 200 /);
  expect([slow.seen.length, good.seen.length]).toEqual([1, 1]);
});

/** Says `first`, then `piece` every 20 ms for as long as it is listened to. */
const drip =
  (first: string, piece: string): Answer =>
  (r) => {
    r.socket.write(first);
    const timer = setInterval(() => r.socket.write(piece), 20);
    r.socket.on("close", () => clearInterval(timer));
  };

test("pieces of a head are no progress", async () => {
  const slow = await endpoint(drip("HTTP/1.1 200 OK\r\nX-A: ", "a"));
  const { http } = await lab([slow.port], { timeouts: { ...slowly, readSeconds: 2 }, tries: 1 }, { clock: fastClock(20) });
  expect(await ask(http, get())).toMatch(/^HTTP\/1\.1 504 /);
});

test("hints do not prolong a try", async () => {
  const hint = "HTTP/1.1 103 Early Hints\r\n\r\n";
  let hints = 0;
  const slow = await endpoint((r) => {
    const timer = setInterval(() => {
      if (++hints < 10) r.socket.write(hint);
      else clearInterval(timer);
    }, 10);
    r.socket.on("close", () => clearInterval(timer));
  });
  const good = await endpoint(say(200));
  const { http } = await lab(
    [slow.port, good.port],
    { timeouts: { ...slowly, readSeconds: 6000, trySeconds: 6 } },
    { clock: fastClock(20) },
  );
  const c = RawClient.connect(http);
  open.push(() => void c.socket.destroy());
  expect(await c.send(get()).until((t) => t.endsWith("\r\n\r\n200"))).toMatch(/^HTTP\/1\.1 103 /);
});

test("a request has its time for everything: all tries, and the response to its end", async () => {
  const slow = [await endpoint(() => undefined), await endpoint(() => undefined)];
  const clock = fastClock(20);
  const timeouts = { ...slowly, trySeconds: 3, requestSeconds: 4 };
  const ports = slow.map((s) => s.port);
  const { http } = await lab(ports, { timeouts, tries: 9 }, { clock });
  const before = clock.monotonic();
  expect(await ask(http, get())).toMatch(/^HTTP\/1\.1 504 /);
  expect(clock.monotonic() - before).toBeGreaterThanOrEqual(4_000);
  const dripping = await endpoint((r) => {
    r.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    const drip = setInterval(() => r.socket.write("x"), 20);
    r.socket.on("close", () => clearInterval(drip));
  });
  const second = await lab([dripping.port], { timeouts: { ...slowly, requestSeconds: 4 } }, { clock: fastClock(20) });
  const c = RawClient.connect(second.http);
  open.push(() => void c.socket.destroy());
  await c.send(get()).untilEnd();
  expect(c.text.length).toBeLessThan(1000);
});

test.for([
  ["of a known length", "Content-Length: 6\r\n\r\n", "abc", "def", /Content-Length: 6$/],
  [
    "in chunks, which have a length then",
    "Transfer-Encoding: chunked\r\n\r\n",
    "3\r\nabc\r\n",
    "3\r\ndef\r\n0\r\n\r\n",
    /Content-Length: 6$/,
  ],
  [
    "with trailers, which need chunks",
    "Transfer-Encoding: chunked\r\n\r\n",
    "3\r\nabc\r\n",
    "3\r\ndef\r\n0\r\nx: y\r\n\r\n",
    /Transfer-Encoding: chunked$/,
  ],
] as const)("a body %s is read wholly before an endpoint is asked", async ([, head, first, rest, framing]) => {
  const up = await endpoint(say(200));
  const { http } = await lab([up.port], { bufferRequest: true });
  const c = RawClient.connect(http);
  open.push(() => void c.socket.destroy());
  // 100 Continue comes from here: no endpoint is there to say it
  c.send(`POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\n${head}`);
  await c.until((t) => t.startsWith("HTTP/1.1 100"));
  c.send(first);
  expect(await ask(http, get())).toMatch(/^HTTP\/1\.1 200 /);
  expect(up.accepted).toBe(1);
  c.send(rest);
  expect(await c.until((t) => t.endsWith("200"))).toMatch(/HTTP\/1\.1 200 /);
  expect(up.seen[1]?.head).toMatch(framing);
  // chunks of a body with trailers stay as they came
  expect(up.seen[1]?.body.replaceAll(/(^|\r\n)\d\r\n|\r\n/g, "")).toBe("abcdef");
});

const letters = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => 97 + (i % 23) + (i % 3)));

/** Files of bodies that this process has open. */
function spoolsOpen(): number {
  const links = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return "";
    }
  });
  return links.filter((l) => l.includes("fairway-body-")).length;
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test.for<[name: string, framing: string, coded: (bytes: Buffer) => string]>([
  ["of a length", `Content-Length: ${letters.length}`, (bytes) => bytes.toString()],
  ["in chunks", "Transfer-Encoding: chunked", (bytes) => `${bytes.length.toString(16)}\r\n${bytes.toString()}\r\n`],
])("a long body %s waits on a disk for its end, and comes whole", async ([, framing, coded]) => {
  const up = await endpoint(say(200));
  const { http } = await lab([up.port], { bufferRequest: true, bodyBufferBytes: 4096 });
  const c = RawClient.connect(http);
  open.push(() => void c.socket.destroy());
  c.send(`POST / HTTP/1.1\r\nHost: a.test\r\n${framing}\r\n\r\n${coded(letters.subarray(0, 2_000_000))}`);
  await until(() => spoolsOpen() > 0);
  expect(up.accepted).toBe(0);
  c.send(`${coded(letters.subarray(2_000_000))}${framing.startsWith("T") ? "0\r\n\r\n" : ""}`);
  expect(await c.until((t) => t.endsWith("200"))).toMatch(/^HTTP\/1\.1 200 /);
  expect(up.seen[0]?.head).toMatch(new RegExp(`^content-length: ${letters.length}$`, "im"));
  expect(up.seen[0]?.body === letters.toString()).toBe(true);
  await until(() => spoolsOpen() === 0);
});

test("a body that waits on a disk is sent again to another endpoint", async () => {
  const down = await endpoint((r) => r.socket.destroy());
  const up = await endpoint(say(200));
  const retry = { on: ["error"], nonIdempotent: true, withinSeconds: 0 } as const;
  const { http } = await lab([down.port, up.port], { bufferRequest: true, bodyBufferBytes: 4096, retry });
  const ask1 = (): Promise<string> =>
    ask(http, `PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${letters.length}\r\n\r\n${letters.toString()}`);
  for (let i = 0; i < 2; i++) expect(await ask1()).toMatch(/^HTTP\/1\.1 200 /);
  expect(down.seen.length).toBeGreaterThan(0);
  expect(up.seen.map((s) => s.body === letters.toString())).toEqual([true, true]);
  await until(() => spoolsOpen() === 0);
});

test("an endpoint that answers in the middle of such a body: its answer goes on, its connection is not used again", async () => {
  let asked = 0;
  const server = createServer((socket) => {
    asked++;
    socket.once("data", () => socket.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"));
    socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push(() => new Promise<void>((resolve) => void server.close(() => resolve())));
  const { http } = await lab([(server.address() as AddressInfo).port], { bufferRequest: true, bodyBufferBytes: 4096 });
  const post = `POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${letters.length}\r\n\r\n${letters.toString()}`;
  for (let i = 1; i < 3; i++) {
    expect(await ask(http, post)).toMatch(/^HTTP\/1\.1 413 /);
    expect(asked).toBe(i);
  }
  await until(() => spoolsOpen() === 0);
});

test("a client that goes away leaves nothing on the disk", async () => {
  const up = await endpoint(say(200));
  const { http } = await lab([up.port], { bufferRequest: true, bodyBufferBytes: 4096 });
  const c = RawClient.connect(http);
  c.send(`POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${letters.length}\r\n\r\n${letters.subarray(0, 1_000_000).toString()}`);
  await until(() => spoolsOpen() > 0);
  c.socket.destroy();
  await until(() => spoolsOpen() === 0);
  expect(up.accepted).toBe(0);
});

function mirrorRoute(withBody: boolean): Route {
  return makeRoute({ action: makeForward({ mirror: { pool: "m", withBody, target: "/copy", host: [{ kind: "text", text: "m.test" }] } }) });
}

test("a mirror outside the cluster is asked for what its URL says, filled from the request", async () => {
  const up = await endpoint(say(200));
  const copy = await endpoint(say(200));
  const url = [{ kind: "text", text: `http://127.0.0.1:${copy.port}/m` } as const, { kind: "uri" } as const];
  const { ingress, http } = await lab([up.port], {}, { routes: [makeRoute({ action: makeForward({ mirror: { url, withBody: true } }) })] });
  expect(await ask(http, get("/x?y=1", "X-A: b\r\n"))).toMatch(/^HTTP\/1\.1 200 /);
  while (!ingress.metrics().includes('mirror_requests_total{result="sent"} 1\n')) await new Promise((resolve) => setImmediate(resolve));
  expect(copy.seen[0]?.head).toMatch(/^GET \/m\/x\?y=1 HTTP\/1\.1\r\n/);
  expect(copy.seen[0]?.head).toMatch(new RegExp(`^host: 127.0.0.1:${copy.port}$`, "im"));
  expect(copy.seen[0]?.head).toMatch(/^x-a: b$/im);
});

test.for([true, false])("a mirror gets a copy (with the body: %s), and cannot be noticed", async (withBody) => {
  const up = await endpoint(say(200));
  const copy = await endpoint(() => undefined);
  const { ingress, http } = await lab([up.port], {}, { routes: [mirrorRoute(withBody)] });
  const nothing = { upserts: [], deletes: [] };
  ingress.apply({
    revision: 2,
    full: false,
    routes: nothing,
    certificates: nothing,
    pools: { upserts: [poolOf([copy.port], "m")], deletes: [] },
  });
  expect(await ask(http, post)).toMatch(/^HTTP\/1\.1 200 /);
  while (copy.seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
  expect(copy.seen[0]?.head).toMatch(/^POST \/copy HTTP\/1\.1\r\nhost: m\.test\r\n/i);
  expect(copy.seen[0]?.body).toBe(withBody ? "hi" : "");
  expect(up.seen[0]?.body).toBe("hi");
  await copy.close();
  expect(await ask(http, get())).toMatch(/^HTTP\/1\.1 200 /);
});
