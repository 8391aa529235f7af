import { createServer, type Server } from "node:http";
import { connect } from "node:net";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { IngressServer } from "../../ingress/index.ts";
import { runs, timeLimit } from "../support/runs.ts";
import { makeRoute, RawClient, startLab } from "../unit/ingress/proxy-lab.ts";

/** One request as a reader of a whole connection makes it out. */
type Seen = readonly [method: string, path: string, body: string];

let ours: Seen[] = [];
let theirs: Seen[] = [];
const endpoint = recorder((seen) => ours.push(seen));
const reader = recorder((seen) => theirs.push(seen));
let ingress: IngressServer;
let proxy = 0;

/** Node's own server (llhttp), strict; tells of requests it has read wholly. */
function recorder(record: (seen: Seen) => void): Server {
  const server = createServer({ insecureHTTPParser: false, requireHostHeader: true }, (request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (b: Buffer) => parts.push(b));
    request.on("error", () => undefined);
    request.on("end", () => {
      record([request.method ?? "", request.url ?? "", Buffer.concat(parts).toString("latin1")]);
      response.end();
    });
  });
  return server;
}

async function listening(server: Server): Promise<void> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

beforeAll(async () => {
  await listening(endpoint);
  await listening(reader);
  ({ ingress, http: proxy } = await startLab([portOf(endpoint)], { routes: [makeRoute({ host: { kind: "any" } })] }));
});
afterAll(async () => {
  await ingress.close();
  for (const server of [endpoint, reader]) await new Promise<void>((resolve) => void server.close(() => resolve()));
});

/** Sends the bytes in two pieces, says its last, and waits for the other side's. */
async function say(port: number, text: string, cut: number): Promise<void> {
  const c = new RawClient(connect({ port, host: "127.0.0.1", allowHalfOpen: true }));
  c.send(text.slice(0, cut));
  await new Promise((resolve) => setImmediate(resolve));
  c.send(text.slice(cut));
  c.socket.end();
  await c.untilEnd();
  c.socket.destroy();
}

const rarely = (right: readonly string[], wrong: readonly string[]): fc.Arbitrary<string> =>
  fc.oneof({ weight: 15, arbitrary: fc.constantFrom(...right) }, { weight: 1, arbitrary: fc.constantFrom(...wrong) });
const eol = rarely(["\r\n"], ["\n", "\r", "\r\r\n", "\r\n\r\n", ""]);
const size = rarely(["3", "03", "3;a=b", '3;a="b"'], ["4", "2", "3 ", " 3", "0x3", "3;\n", "3;\r", "+3", "-3", "g", "", "3\0"]);
const chunks = fc
  .tuple(
    fc.array(fc.tuple(size, eol, rarely(["abc", "G /"], ["ab", "abcd"]), eol), { maxLength: 3 }),
    rarely(["0"], ["00", "0;x", "", "1"]),
    eol,
    eol,
  )
  .map(([list, last, a, b]) => `${list.map((c) => c.join("")).join("")}${last}${a}${b}`);
const framed = fc.oneof(
  fc.constant("\r\n"),
  rarely(["Content-Length: 3"], ["Content-Length: 4", "Content-Length: 3, 3", "Content-Length: +3", "Content-Length:"]).map(
    (h) => `${h}\r\n\r\nabc`,
  ),
  fc
    .tuple(
      rarely(
        ["Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked\r\nContent-Length: 3", "Transfer-Encoding:\tchunked", "Transfer-Encoding: x, chunked"],
      ),
      chunks,
    )
    .map(([h, body]) => `${h}\r\n\r\n${body}`),
);
const message = fc
  .tuple(fc.constantFrom("GET", "POST", "PUT"), fc.integer({ min: 0, max: 99 }), rarely(["1.1"], ["1.0"]), eol, framed)
  .map(([m, n, v, e, rest]) => `${m} /${n} HTTP/${v}${e}Host: a.test\r\n${rest}`);
const stream = fc.array(message, { minLength: 1, maxLength: 4 }).map((m) => m.join(""));

test("of a whole connection the endpoint gets the requests that llhttp reads, in their order, and nothing else", {
  timeout: timeLimit(60_000),
}, async () => {
  let forwarded = 0;
  await fc.assert(
    fc.asyncProperty(stream, fc.integer({ min: 0, max: 200 }), async (text, cut) => {
      ours = [];
      theirs = [];
      await Promise.all([say(proxy, text, cut), say(portOf(reader), text, cut)]);
      forwarded += ours.length;
      expect(theirs.slice(0, ours.length)).toEqual(ours);
    }),
    runs(400, 7),
  );
  expect(forwarded).toBeGreaterThan(100);
});
