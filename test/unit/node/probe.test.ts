import { createServer, type Server } from "node:http";
import { createServer as createHttp2Server, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Probe } from "../../../src/api/types/core-v1.generated.ts";
import { type ProbeKind, type ProbeTarget, runProbe, startProbe } from "../../../src/node/probe.ts";
import { FakeClock } from "../../support/fake-clock.ts";

/** Answers of an exec probe in order, the last for ever: `+` good, `-` bad. */
function probing(kind: ProbeKind, probe: Probe, answers: string) {
  const clock = new FakeClock();
  const stop = new AbortController();
  const told: string[] = [];
  let calls = 0;
  const target: ProbeTarget = {
    ip: "127.0.0.1",
    port: () => undefined,
    exec: async () => ({ code: (answers[calls++] ?? answers.at(-1)) === "+" ? 0 : 1, output: "no" }),
  };
  const at = (): number => clock.monotonic() / 1000;
  startProbe(
    { kind, probe: { exec: { command: ["x"] }, ...probe }, startedAt: clock.now(), target: () => target, clock },
    { changed: (ok) => told.push(`${at()} ${ok ? "good" : "bad"}`), failed: (message) => told.push(`${at()} ${message}`) },
    stop.signal,
  );
  return { clock, told, stop, calls: () => calls };
}

test.each<{ name: string; kind: ProbeKind; probe: Probe; answers: string; want: readonly string[] }>([
  { name: "ready at the first success", kind: "Readiness", probe: { periodSeconds: 1 }, answers: "+", want: ["0 good"] },
  { name: "after the delay", kind: "Readiness", probe: { periodSeconds: 1, initialDelaySeconds: 3 }, answers: "+", want: ["3 good"] },
  {
    name: "after so many successes",
    kind: "Readiness",
    probe: { periodSeconds: 1, successThreshold: 3 },
    answers: "++-+",
    want: ["2 no", "5 good"],
  },
  {
    name: "unready after so many failures",
    kind: "Readiness",
    probe: { periodSeconds: 2, failureThreshold: 2 },
    answers: "+-+--",
    want: ["0 good", "2 no", "6 no", "8 no", "8 bad", "10 no"],
  },
  {
    name: "dead again after each threshold",
    kind: "Liveness",
    probe: { periodSeconds: 1, failureThreshold: 2 },
    answers: "+-",
    want: [
      "0 good",
      "1 no",
      "2 no",
      "2 bad",
      "3 no",
      "4 no",
      "4 bad",
      "5 no",
      "6 no",
      "6 bad",
      "7 no",
      "8 no",
      "8 bad",
      "9 no",
      "10 no",
      "10 bad",
    ],
  },
  {
    name: "a startup probe ends with its success",
    kind: "Startup",
    probe: { periodSeconds: 1 },
    answers: "--+",
    want: ["0 no", "1 no", "2 good"],
  },
])("$name", async ({ kind, probe, answers, want }) => {
  const { clock, told, stop } = probing(kind, probe, answers);
  await clock.advance(10_000);
  stop.abort();
  expect(told).toEqual(want);
});

test("a stopped probe asks no more", async () => {
  const { clock, stop, calls } = probing("Liveness", { periodSeconds: 1 }, "+");
  await clock.advance(2500);
  stop.abort();
  const before = calls();
  await clock.advance(10_000);
  expect([before, calls()]).toEqual([3, 3]);
});

let server: Server;
let port: number;
beforeAll(async () => {
  server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://x");
    const to: Record<string, string> = { "/local": "/ok", "/away": "http://192.0.2.1/", "/round": "/round" };
    if (pathname === "/slow") return;
    if (to[pathname] !== undefined) response.writeHead(302, { location: to[pathname] }).end();
    else if (pathname === "/agent") response.writeHead(request.headers["user-agent"] === "kube-probe/1.36" ? 200 : 500).end();
    else if (pathname === "/header") response.writeHead(request.headers["x-a"] === "1" ? 200 : 500).end();
    else response.writeHead(pathname === "/ok" ? 204 : 503).end("x".repeat(100_000));
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  port = typeof address === "object" && address !== null ? address.port : 0;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

test.each<{ probe: (port: number) => Probe; want: string | true }>([
  { probe: () => ({ httpGet: { port: "web", path: "/ok" } }), want: true },
  { probe: () => ({ httpGet: { port: "web", path: "/bad" } }), want: "HTTP probe failed with statuscode: 503" },
  { probe: () => ({ httpGet: { port: "web", path: "/local" } }), want: true },
  { probe: () => ({ httpGet: { port: "web", path: "/away" } }), want: true },
  { probe: () => ({ httpGet: { port: "web", path: "/agent" } }), want: true },
  { probe: () => ({ httpGet: { port: "web", path: "/header", httpHeaders: [{ name: "X-A", value: "1" }] } }), want: true },
  { probe: () => ({ httpGet: { port: "none" } }), want: "couldn't find port: none" },
  { probe: () => ({ tcpSocket: { port: "web" } }), want: true },
  { probe: () => ({ exec: { command: ["good"] } }), want: true },
  { probe: () => ({ exec: { command: ["bad"] } }), want: "said no" },
])("$want", async ({ probe, want }) => {
  const result = await runProbe(probe(port), target(), AbortSignal.timeout(60_000));
  expect(result.ok ? true : result.message).toBe(want);
});

test("nobody listens: told in the words people search for, and as refused", async () => {
  const closed = createServer();
  await new Promise<void>((resolve) => void closed.listen(0, "127.0.0.1", resolve));
  const address = closed.address();
  const free = typeof address === "object" && address !== null ? address.port : 0;
  await new Promise((resolve) => closed.close(resolve));
  const at = { ...target(), port: () => free };
  expect(await runProbe({ httpGet: { port: 1, path: "/x" } }, at, AbortSignal.timeout(60_000))).toEqual({
    ok: false,
    message: `Get "http://127.0.0.1:${free}/x": dial tcp 127.0.0.1:${free}: connect: connection refused`,
    refused: true,
  });
  expect(await runProbe({ tcpSocket: { port: 1 } }, at, AbortSignal.timeout(60_000))).toMatchObject({ ok: false, refused: true });
});

function target(): ProbeTarget {
  return {
    ip: "127.0.0.1",
    port: (named) => (named === "web" ? port : undefined),
    exec: async ([command]) => (command === "good" ? { code: 0, output: "" } : { code: 1, output: "said no" }),
  };
}

/** Says SERVING for "good", NOT_SERVING for "" and NOT_FOUND (5) for the rest, as gRPC's own health service does. */
function startHealthService(): Http2Server {
  const health = createHttp2Server();
  health.on("stream", (stream: ServerHttp2Stream, headers) => {
    const chunks: Buffer[] = [];
    stream.on("data", (d: Buffer) => chunks.push(d));
    stream.on("end", () => {
      const service = Buffer.concat(chunks).subarray(7).toString();
      const status = headers[":path"] === "/grpc.health.v1.Health/Check" ? { good: 1, "": 2 }[service] : undefined;
      if (status === undefined) {
        stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "5" }, { endStream: true });
        return;
      }
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, status]));
    });
  });
  return health;
}

test("gRPC: health of a service, of the server, and of none", async () => {
  const health = startHealthService();
  await new Promise<void>((resolve) => void health.listen(0, "127.0.0.1", resolve));
  const address = health.address();
  const at = typeof address === "object" && address !== null ? address.port : 0;
  const ask = async (service?: string): Promise<string | true> => {
    const grpc = { port: at, ...(service === undefined ? {} : { service }) };
    const result = await runProbe({ grpc }, target(), AbortSignal.timeout(60_000));
    return result.ok ? true : result.message;
  };
  expect([await ask("good"), await ask(), await ask("other")]).toEqual([
    true,
    'service unhealthy (responded with "NOT_SERVING")',
    "rpc error: code = 5",
  ]);
  await new Promise((resolve) => health.close(resolve));
  expect(await runProbe({ grpc: { port: at } }, target(), AbortSignal.timeout(60_000))).toMatchObject({ ok: false, refused: true });
});
