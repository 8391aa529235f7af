import { Agent, type IncomingMessage, request } from "node:http";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { IngressServer } from "../../ingress/index.ts";
import { runs, timeLimit } from "../support/runs.ts";
import { RawEndpoint, startLab } from "../unit/ingress/proxy-lab.ts";

/** What Node's own client (llhttp), strict, makes of one answer. */
interface Reading {
  readonly status: number;
  /** The endpoint said it, not the proxy. */
  readonly forwarded: boolean;
  readonly headers: readonly string[];
  readonly body: string;
  /** It ended where its head said. */
  readonly whole: boolean;
}

function read(port: number, method: string, path: string): Promise<Reading | "refused"> {
  return new Promise((resolve) => {
    const agent = new Agent({ keepAlive: false });
    let response: IncomingMessage | undefined;
    const parts: Buffer[] = [];
    const done = (): void => {
      agent.destroy();
      if (response === undefined) resolve("refused");
      else {
        const { statusCode = 0, headers, complete } = response;
        const forwarded = headers["x-up"] === "1";
        const kept = Object.entries(headers).flatMap(([name, value]) => (name.startsWith("x-") ? [`${name}=${String(value)}`] : []));
        resolve({ status: statusCode, forwarded, headers: kept, body: Buffer.concat(parts).toString("latin1"), whole: complete });
      }
    };
    const asked = request({ host: "127.0.0.1", port, method, path, agent, headers: { host: "a.test" }, insecureHTTPParser: false });
    asked.on("response", (r) => {
      response = r;
      r.on("data", (b: Buffer) => parts.push(b));
      r.on("error", () => undefined);
      r.on("close", done);
    });
    asked.on("error", () => {
      if (response === undefined) done();
    });
    asked.end();
  });
}

/** Mostly right, now and then wrong: pure noise would hardly ever be accepted by anyone. */
function mostly<T>(right: readonly T[], wrong: readonly T[]): fc.Arbitrary<T> {
  return fc.oneof({ weight: 14, arbitrary: fc.constantFrom(...right) }, { weight: 1, arbitrary: fc.constantFrom(...wrong) });
}

const noise = fc
  .array(
    fc.constantFrom(
      " ",
      "\t",
      "\r",
      "\n",
      "\0",
      ":",
      ",",
      ";",
      "chunked",
      "0",
      "5",
      "+1",
      "0x1",
      "\xe9",
      "\x7f",
      "\r\n ",
      "HTTP/1.1 200 OK\r\n",
    ),
    {
      maxLength: 3,
    },
  )
  .map((parts) => parts.join(""));
const lineEnd = mostly(["\r\n"], ["\n", "\r", "\r\r\n"]);
const statusLine = fc
  .tuple(
    mostly(["HTTP/1.1", "HTTP/1.0"], ["HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", "ICY", ""]),
    mostly([" "], ["  ", "\t", ""]),
    mostly(["200", "200", "404", "500", "204", "304", "299", "599", "205"], ["2000", "20", "099", "2x0", "101", "100"]),
    mostly([" OK", "", " ", " caf\xe9"], ["\tOK", " a\0b", " a\rb"]),
    lineEnd,
  )
  .map((parts) => parts.join(""));
const informational = mostly(
  ["", "", "", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"],
  [
    "HTTP/1.1 100 x\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.1 102 x\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
  ],
);
const framing = mostly(
  [
    "Content-Length: 5",
    "Content-Length: 0",
    "Transfer-Encoding: chunked",
    "transfer-encoding:chunked",
    "Connection: close",
    "Connection: keep-alive",
    "X-More: 1",
    "X-Empty:",
  ],
  [
    ...[
      "Content-Length: 05",
      "Content-Length: +5",
      "Content-Length: 5, 5",
      "Content-Length: 5 5",
      "Content-Length: -1",
      "Content-Length:",
      "Content-Length : 5",
    ],
    ...[
      "Content-Length: 99999999999999999999",
      "Transfer-Encoding: gzip, chunked",
      "Transfer-Encoding: chunked, chunked",
      "Transfer-Encoding: chunked, identity",
    ],
    ...[
      "Transfer-Encoding: xchunked",
      "Transfer-Encoding : chunked",
      "Transfer-Encoding:\tchunked",
      "Transfer-Encoding: \x0bchunked",
      "Content-Length: 6",
      " X-Folded: 1",
      "X A: 1",
      ": 1",
    ],
  ],
);
const header = fc.oneof(
  { weight: 12, arbitrary: fc.tuple(framing, lineEnd).map((parts) => parts.join("")) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("X-N: "), noise, fc.constant("\r\n")).map((parts) => parts.join("")) },
);
const body = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      "hello",
      "5\r\nhello\r\n0\r\n\r\n",
      "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
      "",
      "0\r\n\r\n",
      "5;a=b\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      ...[
        "5\nhello\n0\n\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5;\nhello\r\n0\r\n\r\n",
        '5;a="\r\n"\r\nhello\r\n0\r\n\r\n',
      ],
      ...[
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "05\r\nhello\r\n00\r\n\r\n",
        "5\r\nhello\r\n0\r\nX T: 1\r\n\r\n",
        "5\r\nhel",
        "5\r\nhello\r\n0\r\n",
      ],
    ),
  },
  { weight: 1, arbitrary: noise },
);
const answers = fc.record({
  text: fc
    .tuple(
      informational,
      statusLine,
      fc.constant("X-Up: 1\r\n"),
      fc.array(header, { maxLength: 3 }).map((h) => h.join("")),
      fc.constant("\r\n"),
      body,
    )
    .map((parts) => parts.join("")),
  /** Bytes that nobody asked for: whole answers, and parts of them. */
  surplus: fc.constantFrom(
    "",
    "",
    "",
    "HTTP/1.1 200 OK\r\nX-Up: 1\r\nContent-Length: 5\r\n\r\nwrong",
    "wrong",
    "HTTP/1.1 200 OK\r\nX-Up: 1\r\nContent-Le",
    "\r\n",
  ),
  method: fc.constantFrom("GET", "GET", "HEAD"),
  /** Within the head: an answer's last byte and those that nobody asked for come in one read, before the connection can be used again. */
  cut: fc.nat({ max: 20 }),
});

let answer: { readonly text: string; readonly cut: number; readonly lingers: boolean };
let endpoint: RawEndpoint;
beforeAll(async () => {
  endpoint = await RawEndpoint.start(({ head, socket }) => {
    const path = head.split(" ")[1] ?? "";
    if (path !== "/x") {
      socket.write(`HTTP/1.1 200 OK\r\nX-Up: 1\r\nContent-Length: ${path.length}\r\n\r\n${path}`);
      return;
    }
    const { text, cut, lingers } = answer;
    socket.write(text.slice(0, cut), "latin1");
    setImmediate(() => {
      socket.write(text.slice(cut), "latin1");
      // one that goes on is asked again over the same connection; who waits for more of this answer must not wait for long
      if (lingers) setTimeout(() => socket.end(), 10);
      else socket.end();
    });
  });
});
afterAll(() => endpoint.close());

describe.each(["auto", "portable"] as const)("%s transport", (transport) => {
  let ingress: IngressServer;
  let http = 0;
  beforeAll(async () => {
    ({ ingress, http } = await startLab([endpoint.port], { config: { transport } }));
  });
  afterAll(() => ingress.close());

  test("what is forwarded, llhttp frames the same; what is not is 502 or cut off; and the next request gets its own answer", {
    timeout: timeLimit(120_000),
  }, async () => {
    let compared = 0;
    let n = 0;
    await fc.assert(
      fc.asyncProperty(answers, async ({ text, surplus, method, cut }) => {
        answer = { text: text + surplus, cut, lingers: surplus !== "" };
        const ours = await read(http, method, "/x");
        const path = `/own-${++n}`;
        expect(await read(http, "GET", path)).toMatchObject({ status: 200, body: path, whole: true });
        // broken off before a byte of it had left
        if (ours === "refused") return;
        if (!ours.forwarded) expect(ours).toMatchObject({ status: 502, whole: true });
        if (!ours.forwarded || surplus !== "") return;
        answer = { text, cut: text.length, lingers: false };
        const theirs = await read(endpoint.port, method, "/x");
        if (!ours.whole) return;
        compared++;
        expect(ours).toEqual(theirs);
      }),
      runs(250, 20261123),
    );
    expect(compared).toBeGreaterThan(40);
  });
});
