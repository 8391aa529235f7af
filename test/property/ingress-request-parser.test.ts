import { createServer, type IncomingMessage } from "node:http";
import { connect, Socket } from "node:net";
import type { Duplex } from "node:stream";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { defaultHeadLimits, parseRequestHead } from "../../ingress/upstream/wire/request-parser.ts";
import { runs } from "../support/runs.ts";

/** What Node's own parser (llhttp) makes of the bytes of one connection: the first request, or a refusal. */
interface Reading {
  readonly method: string;
  readonly url: string;
  readonly length: string | undefined;
  readonly chunked: boolean;
  readonly headers: number;
}

const server = createServer({ keepAlive: false, insecureHTTPParser: false, requireHostHeader: true });
let port = 0;

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  port = typeof address === "object" && address !== null ? address.port : 0;
});
afterAll(() => new Promise<void>((resolve) => void server.close(() => resolve())));

function llhttp(text: string): Promise<Reading | "refused"> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    // connections of earlier runs may still have something to say
    const isOurs = (other: Duplex): boolean => other instanceof Socket && other.remotePort === socket.localPort;
    const seen = (request: IncomingMessage): void => {
      if (!isOurs(request.socket)) return;
      request.socket.destroy();
      done({
        method: request.method ?? "",
        url: request.url ?? "",
        length: request.headers["content-length"],
        chunked: request.headers["transfer-encoding"]?.toLowerCase() === "chunked",
        headers: request.rawHeaders.length / 2,
      });
    };
    const refused = (_error: Error, other: Duplex): void => {
      if (isOurs(other)) done("refused");
    };
    const done = (reading: Reading | "refused"): void => {
      for (const event of ["request", "checkContinue", "upgrade"]) server.off(event, seen);
      server.off("clientError", refused);
      resolve(reading);
      socket.destroy();
    };
    for (const event of ["request", "checkContinue", "upgrade"]) server.on(event, seen);
    server.on("clientError", refused);
    socket.on("error", () => undefined);
    socket.on("end", () => done("refused"));
    socket.write(text, "latin1");
  });
}

/** Mostly right, now and then wrong: pure noise would hardly ever be accepted by anyone. */
function mostly(right: readonly string[], wrong: readonly string[]): fc.Arbitrary<string> {
  return fc.oneof({ weight: 12, arbitrary: fc.constantFrom(...right) }, { weight: 1, arbitrary: fc.constantFrom(...wrong) });
}

const noise = fc
  .array(fc.constantFrom(" ", "\t", "\r", "\n", "\0", "\x0b", ":", ",", ";", "chunked", "0", "1", "+1", "0x1", "é", "\x7f", "\r\n ", "a"), {
    maxLength: 3,
  })
  .map((parts) => parts.join(""));
const lineEnd = mostly(["\r\n"], ["\n", "\r", "\r\r\n"]);
const space = mostly([" "], ["  ", "\t", ""]);
const names = ["Content-Length", "content-length", "Transfer-Encoding", "Connection", "Upgrade", "X-A", "X-B_c", "Expect"];
const values = ["chunked", "Chunked", "3", "03", "keep-alive", "upgrade", "websocket", "100-continue", "", "x é"];
const header = fc
  .tuple(
    mostly(names, ["Host", "X A", "X-A ", "", "Transfer-Encoding "]),
    mostly([": ", ":", ":\t"], [" : ", "", ":\x0b"]),
    fc.oneof(
      { weight: 6, arbitrary: mostly(values, [" chunked", "gzip, chunked", "identity", "-3", "3 3", "3,3"]) },
      { weight: 1, arbitrary: noise },
    ),
    lineEnd,
  )
  .map((parts) => parts.join(""));
const target = fc.oneof(
  {
    weight: 6,
    arbitrary: mostly(["/", "/a/b?c=d", "http://a.test/", "http://a.test", "//", "/%00", "*"], ["/a b", "a", "/#x", "", "/é", "/\x7f"]),
  },
  { weight: 1, arbitrary: noise.map((n) => `/${n}`) },
);
const request = fc
  .tuple(
    mostly(["GET", "POST", "OPTIONS", "HEAD", "DELETE", "PUT"], ["G T", "G:T", ""]),
    space,
    target,
    space,
    mostly(["HTTP/1.1", "HTTP/1.0"], ["HTTP/1.2", "HTTP/2.0", "http/1.1"]),
    lineEnd,
    mostly(["Host: a.test\r\n"], ["", "Host: a.test\r\nHost: a.test\r\n", "Host: a b\r\n"]),
    fc.array(header, { maxLength: 3 }).map((headers) => headers.join("")),
  )
  .map((parts) => `${parts.join("")}\r\n`);

// methods: any token is one here, and llhttp has a list of its own: they are drawn from what both know
test("what is accepted here, llhttp accepts, with the same framing", async () => {
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(request, async (text) => {
      const end = text.indexOf("\r\n\r\n");
      const ours = end < 0 ? undefined : parseRequestHead(text.slice(0, end), defaultHeadLimits);
      if (ours === undefined || "status" in ours) return;
      accepted++;
      // what is remembered of it by then is the same
      for (let i = 0; i < 2; i++) expect(parseRequestHead(text.slice(0, end), defaultHeadLimits)).toEqual(ours);
      const theirs = await llhttp(`${text.slice(0, end)}\r\n\r\n`);
      expect(theirs).not.toBe("refused");
      if (theirs === "refused") return;
      expect(theirs.method).toBe(ours.method);
      expect(theirs.headers).toBe(ours.names.length);
      expect(theirs.chunked).toBe(ours.framing.kind === "chunked");
      expect(theirs.length === undefined ? undefined : Number(theirs.length)).toBe(
        ours.framing.kind === "length" ? ours.framing.bytes : undefined,
      );
    }),
    runs(2000, 20260101),
  );
  expect(accepted).toBeGreaterThan(300);
});
