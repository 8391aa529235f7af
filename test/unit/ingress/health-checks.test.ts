import { createServer as createHttp2, createSecureServer, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { createServer as createHttps } from "node:https";
import type { Server } from "node:net";
import { afterEach, expect, test } from "vitest";
import type { Pool } from "../../../ingress/index.ts";
import { selfSignedCertificate } from "../../../ingress/proxy/default-certificate.ts";
import type { Forwarding, HealthCheck } from "../../../ingress/route/route.ts";
import { type Answer, fastClock, get, makeForward, makeRoute, makeTable, poolOf, RawClient, RawEndpoint, startLab } from "./proxy-lab.ts";

const open: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

/** An endpoint that says its name to requests, and to health checks what `state.health` says. */
async function endpoint(name: string): Promise<{ up: RawEndpoint; state: { health: number | undefined }; checks: () => number }> {
  const state: { health: number | undefined } = { health: 200 };
  const answer: Answer = (r) => {
    if (!r.head.includes("fairway-health")) r.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${name}`);
    else if (state.health !== undefined) r.socket.write(`HTTP/1.1 ${state.health} X\r\nContent-Length: 0\r\n\r\n`);
  };
  const up = await RawEndpoint.start(answer);
  open.push(() => up.close());
  return { up, state, checks: () => up.seen.filter((s) => s.head.includes("fairway-health")).length };
}

const times = { intervalSeconds: 2, timeoutSeconds: 20, failures: 2, successes: 2 };
const health: HealthCheck = { asks: { kind: "http", path: "/healthz" }, tls: false, host: "h.test", ...times };

async function lab(ports: readonly number[], protocol: Forwarding["protocol"] = "http", check: Partial<HealthCheck> = {}) {
  // seconds pass fifty times as fast, on a machine that may be busy
  const timeouts = { connectSeconds: 1000, sendSeconds: 1000, readSeconds: 1000 };
  const routes = [makeRoute({ action: makeForward({ protocol, timeouts }) })];
  const { ingress, http } = await startLab(ports, { clock: fastClock(50), random: Math.random, routes });
  open.push(() => ingress.close());
  const pools = (pool: Pool, revision: number): void =>
    ingress.apply({ ...makeTable(ports, routes), revision, full: false, pools: { upserts: [pool], deletes: [] } });
  pools({ ...poolOf(ports), health: { ...health, ...check } }, 2);
  const c = RawClient.connect(http);
  open.push(() => void c.socket.destroy());
  /** Who answers the next requests. */
  const ask = async (count = 4): Promise<string> => {
    let names = "";
    for (let i = 0; i < count; i++) {
      c.text = "";
      names += (await c.send(get()).until((t) => /\r\n\r\n.$/.test(t))).slice(-1);
    }
    return names;
  };
  const until = async (test: (names: string) => boolean): Promise<string> => {
    for (;;) {
      const names = await ask();
      if (test(names)) return names;
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { ask, until, pools };
}

test.for<[name: string, health: number | undefined]>([
  ["answers with an error", 503],
  ["is sent elsewhere by nobody: 404", 404],
  ["says nothing in time", undefined],
])("an endpoint whose health check %s gets nothing until it is well again", async ([, status]) => {
  const [a, b] = [await endpoint("a"), await endpoint("b")];
  const { until } = await lab([a.up.port, b.up.port]);
  await until((names) => names.includes("a") && names.includes("b") && a.checks() > 1);
  expect(a.up.seen.find((s) => s.head.includes("fairway-health"))?.head).toMatch(/^GET \/healthz HTTP\/1\.1\r\nHost: h\.test\r\n/);
  a.state.health = status;
  await until((names) => names === "bbbb");
  a.state.health = 204;
  await until((names) => names.includes("a") && names.includes("b"));
});

test("one that refuses connections is unwell, whoever else asks for it", async () => {
  const [a, b] = [await endpoint("a"), await endpoint("b")];
  const { until } = await lab([a.up.port, b.up.port]);
  await until(() => a.checks() > 0 && b.checks() > 0);
  await a.up.close();
  await until((names) => names === "bbbb");
});

test("when none is well, all are asked; without the check, what it found is forgotten", async () => {
  const [a, b] = [await endpoint("a"), await endpoint("b")];
  const { until, pools } = await lab([a.up.port, b.up.port]);
  a.state.health = 500;
  await until((names) => names === "bbbb");
  b.state.health = 500;
  await until((names) => names.includes("a") && names.includes("b"));
  b.state.health = 200;
  await until((names) => names === "bbbb");
  pools(poolOf([a.up.port, b.up.port]), 3);
  await until((names) => names.includes("a") && names.includes("b"));
});

const pair = selfSignedCertificate(Date.now());
const secure = { key: pair.key, cert: pair.certificate };

/** What grpc.health.v1 says: a status of the call, and SERVING (1) or not (2). */
interface GrpcState {
  grpcStatus: number;
  serving: number;
}

/** An endpoint that says its name, and whether it is well, over TLS, by gRPC, or both. */
async function endpointOf(protocol: "https" | "grpc" | "grpcs", name: string) {
  const state = { status: 200, grpcStatus: 0, serving: 1 };
  const asked: string[] = [];
  const server = serverOf(protocol, { name, state, asked });
  server.on("error", () => undefined);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push(() => void server.close());
  const address = server.address();
  return { port: typeof address === "object" && address !== null ? address.port : 0, state, asked };
}

function serverOf(
  protocol: "https" | "grpc" | "grpcs",
  o: { readonly name: string; readonly state: GrpcState & { status: number }; readonly asked: string[] },
): Server {
  if (protocol === "https") {
    const server = createHttps(secure, (request, response) => {
      const isCheck = request.headers["user-agent"] === "fairway-health";
      if (isCheck) o.asked.push(`${request.url} ${request.headers.host}`);
      response.writeHead(isCheck ? o.state.status : 200, { "content-length": isCheck ? 0 : 1 }).end(isCheck ? "" : o.name);
    });
    open.push(() => server.closeAllConnections());
    return server;
  }
  const server = protocol === "grpcs" ? createSecureServer(secure) : createHttp2();
  server.on("session", (session) => void open.push(() => session.destroy()));
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on("error", () => undefined);
    if (headers[":path"] !== "/grpc.health.v1.Health/Check") {
      stream.respond({ ":status": 200, "content-length": "1" });
      stream.end(o.name);
      return;
    }
    let body = "";
    stream.on("data", (b: Buffer) => {
      body += b.toString("hex");
    });
    stream.on("end", () => {
      o.asked.push(`${body} ${headers[":authority"]}`);
      const { grpcStatus, serving } = o.state;
      if (grpcStatus !== 0) {
        stream.respond({ ":status": 200, "grpc-status": String(grpcStatus) }, { endStream: true });
        return;
      }
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, serving]));
    });
  });
  return server;
}

const byGrpc = { asks: { kind: "grpc", service: "shop" }, tls: false } as const;

test.for<
  [protocol: "https" | "grpc" | "grpcs", check: Partial<HealthCheck>, unwell: Partial<GrpcState & { status: number }>, question: string]
>([
  ["https", { tls: true }, { status: 503 }, "/healthz h.test"],
  ["grpc", byGrpc, { serving: 2 }, "00000000060a0473686f70 h.test"],
  ["grpc", byGrpc, { grpcStatus: 12 }, "00000000060a0473686f70 h.test"],
  ["grpcs", { ...byGrpc, asks: { kind: "grpc", service: "" }, tls: true }, { serving: 0 }, "0000000000 h.test"],
])("over %s: %o, unwell is %o", async ([protocol, check, unwell, question]) => {
  const [a, b] = [await endpointOf(protocol, "a"), await endpointOf(protocol, "b")];
  const { until } = await lab([a.port, b.port], protocol, { timeoutSeconds: 250, intervalSeconds: 5, ...check });
  await until((names) => names.includes("a") && names.includes("b") && a.asked.length > 1);
  expect(a.asked[0]).toBe(question);
  const well = { ...a.state };
  Object.assign(a.state, unwell);
  await until((names) => names === "bbbb");
  Object.assign(a.state, well);
  await until((names) => names.includes("a") && names.includes("b"));
});
