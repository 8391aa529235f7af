import { connect as connectHttp2 } from "node:http2";
import type { Socket } from "node:net";
import { brotliDecompressSync, constants, gunzipSync, zstdDecompressSync } from "node:zlib";
import { afterEach, expect, test } from "vitest";
import { type Coding, preferredCoding } from "../../../ingress/filter/accept-encoding.ts";
import type { IngressServer, ProxySettings } from "../../../ingress/index.ts";
import { type Answer, get, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

test.for<[header: string | undefined, want: Coding | undefined]>([
  [undefined, undefined],
  ["", undefined],
  ["gzip", "gzip"],
  ["x-gzip", "gzip"],
  ["gzip, deflate, br, zstd", "zstd"],
  ["gzip;q=1.0, br;q=0.5, zstd;q=0", "gzip"],
  ["br;q=0.1", "br"],
  ["*", "zstd"],
  ["*;q=0.5, zstd;q=0, br;q=0.2", "gzip"],
  ["gzip;q=0", undefined],
  ["gzip;q=0.000", undefined],
  ["gzip;q=0.5, identity", undefined],
  ["gzip;q=nonsense", undefined],
  ["gzip;q=2", undefined],
  ["GZIP ; Q=0.4", "gzip"],
  ["deflate", undefined],
])("Accept-Encoding %s: %s", ([header, want]) => {
  expect(preferredCoding(header, ["zstd", "br", "gzip"])).toBe(want);
});

const all: NonNullable<ProxySettings["compression"]> = {
  gzip: { level: 5 },
  brotli: { level: 4 },
  zstd: { level: 3 },
  types: ["application/json", "text/event-stream"],
  minBytes: 256,
};

async function lab(answer: Answer, compression = all): Promise<{ http: number; ingress: IngressServer }> {
  const up = await RawEndpoint.start(answer);
  const { ingress, http } = await startLab([up.port]);
  const none = { upserts: [], deletes: [] };
  ingress.apply({ revision: 2, full: false, routes: none, pools: none, certificates: none, settings: { compression } });
  open.push(up, ingress);
  return { http, ingress };
}

/** The head of an answer, and its body out of its chunks. */
async function ask(port: number, request: string): Promise<{ head: string; body: Buffer }> {
  const client = RawClient.connect(port);
  open.push({ close: async () => void client.socket.destroy() });
  const text = await client.send(request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).untilEnd();
  const end = text.indexOf("\r\n\r\n");
  const [head, rest] = [text.slice(0, end + 2), text.slice(end + 4)];
  return { head, body: Buffer.from(/^transfer-encoding: chunked/im.test(head) ? unchunk(rest) : rest, "latin1") };
}

function unchunk(text: string): string {
  let out = "";
  for (let at = 0; ; ) {
    const line = text.indexOf("\r\n", at);
    const size = Number.parseInt(text.slice(at, line), 16);
    if (!(size > 0)) return out;
    out += text.slice(line + 2, line + 2 + size);
    at = line + 2 + size + 2;
  }
}

const page = "<p>hello</p>".repeat(1000);
const say =
  (headers: string, body = page): Answer =>
  (r) =>
    r.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${headers}\r\n${r.head.startsWith("HEAD") ? "" : body}`);
const html = "Content-Type: text/html; charset=utf-8\r\n";

test.for<[coding: string, decode: (b: Buffer) => Buffer]>([
  ["gzip", (b) => gunzipSync(b)],
  ["br", (b) => brotliDecompressSync(b)],
  ["zstd", (b) => zstdDecompressSync(b)],
])("%s: what comes out is what went in, with a head that says so", async ([coding, decode]) => {
  const { http } = await lab(say(`${html}ETag: "abc"\r\nAccept-Ranges: bytes\r\nContent-MD5: x\r\nVary: Origin\r\n`));
  const { head, body } = await ask(http, get("/", `Accept-Encoding: ${coding}\r\n`));
  expect(decode(body).toString()).toBe(page);
  expect(body.length).toBeLessThan(page.length / 10);
  expect(head).toMatch(new RegExp(`\r\nContent-Encoding: ${coding}\r\n`));
  expect(head).toContain('ETag: W/"abc"\r\n');
  expect(head).toContain("Vary: Origin\r\nVary: Accept-Encoding\r\n");
  expect(head).not.toMatch(/content-length|accept-ranges|content-md5/i);
});

test.for<[name: string, answer: Answer, request: string, vary: boolean]>([
  ["a client that takes none", say(html), get(), true],
  ["a type that is not on the list", say("Content-Type: image/png\r\n"), get("/", "Accept-Encoding: gzip\r\n"), false],
  ["no type", say(""), get("/", "Accept-Encoding: gzip\r\n"), false],
  ["a body that is coded already", say(`${html}Content-Encoding: br\r\n`), get("/", "Accept-Encoding: gzip\r\n"), false],
  ["a body that must stay as it is", say(`${html}Cache-Control: public, No-Transform\r\n`), get("/", "Accept-Encoding: gzip\r\n"), false],
  ["a short body", say(html, "x".repeat(255)), get("/", "Accept-Encoding: gzip\r\n"), false],
  ["HEAD", say(html), "HEAD / HTTP/1.1\r\nHost: a.test\r\nAccept-Encoding: gzip\r\n\r\n", true],
  [
    "a part",
    (r) =>
      r.socket.write(
        `HTTP/1.1 206 Partial Content\r\n${html}Content-Range: bytes 0-999/2000\r\nContent-Length: 1000\r\n\r\n${"x".repeat(1000)}`,
      ),
    get("/", "Accept-Encoding: gzip\r\n"),
    false,
  ],
])("left as it is: %s", async ([, answer, request, vary]) => {
  const { http } = await lab(answer);
  const { head } = await ask(http, request);
  expect(head).toMatch(/\r\nContent-Length: \d+\r\n/);
  expect(head).not.toMatch(/\r\nContent-Encoding: gzip/);
  expect(/\r\nVary: Accept-Encoding\r\n/.test(head)).toBe(vary);
});

test("nothing is done where nothing is set", async () => {
  const up = await RawEndpoint.start(say(html));
  const { ingress, http } = await startLab([up.port]);
  open.push(up, ingress);
  const { head } = await ask(http, get("/", "Accept-Encoding: gzip\r\n"));
  expect(head).not.toMatch(/vary|content-encoding/i);
});

test("events arrive while the stream is open", async () => {
  let stream: Socket | undefined;
  const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
  const { http } = await lab((r) => {
    stream = r.socket;
    r.socket.write(`HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n${chunk("data: 1\n\n")}`);
  });
  const client = RawClient.connect(http);
  open.push({ close: async () => void client.socket.destroy() });
  client.send(get("/", "Accept-Encoding: gzip\r\n"));
  /** What can be read of it so far. */
  const heard = (text: string): string => {
    const body = Buffer.from(unchunk(text.slice(text.indexOf("\r\n\r\n") + 4)), "latin1");
    return body.length < 10 ? "" : gunzipSync(body, { finishFlush: constants.Z_SYNC_FLUSH }).toString();
  };
  const until = (text: string): Promise<string> => client.until((t) => heard(t) === text);
  await until("data: 1\n\n");
  stream?.write(chunk("data: 2\n\n"));
  await until("data: 1\n\ndata: 2\n\n");
  stream?.write("0\r\n\r\n");
  await client.until((t) => t.endsWith("0\r\n\r\n"));
});

test("a large body, slowly read, over HTTP/2: whole, and the endpoint held back meanwhile", async () => {
  // digits that do not compress to nothing
  let seed = 1;
  const next = (): string => {
    seed = (seed * 48_271) % 2_147_483_647;
    return String(seed);
  };
  const noise = Array.from({ length: 400_000 }, next).join("");
  const { http } = await lab(say("Content-Type: application/json\r\n", noise), { ...all, minBytes: 0 });
  const session = connectHttp2(`http://127.0.0.1:${http}`);
  open.push({ close: async () => session.destroy() });
  const stream = session.request({ ":path": "/", ":authority": "a.test", "accept-encoding": "gzip" });
  const parts: Buffer[] = [];
  let coding: unknown;
  stream.on("response", (h) => (coding = h["content-encoding"]));
  await new Promise((resolve, reject) => {
    stream.on("error", reject);
    stream.on("end", resolve);
    stream.on("data", (b: Buffer) => {
      parts.push(b);
      stream.pause();
      setImmediate(() => stream.resume());
    });
  });
  expect(coding).toBe("gzip");
  expect(gunzipSync(Buffer.concat(parts)).toString() === noise).toBe(true);
});

test("an endpoint that dies in the middle: the client sees that", async () => {
  const { http } = await lab((r) => {
    r.socket.write(`HTTP/1.1 200 OK\r\n${html}Content-Length: 100000\r\n\r\n${page}`);
    setImmediate(() => r.socket.destroy());
  });
  const client = RawClient.connect(http);
  open.push({ close: async () => void client.socket.destroy() });
  const text = await client.send(get("/", "Accept-Encoding: gzip\r\n")).untilEnd();
  expect(text).not.toMatch(/\r\n0\r\n\r\n$/);
});
