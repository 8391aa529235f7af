import { createHash } from "node:crypto";
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
import { selfSignedCertificate } from "../../../ingress/proxy/default-certificate.ts";
import { makeForward, makeRoute, startLab } from "./proxy-lab.ts";

const open: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

const pair = selfSignedCertificate(Date.now());
const calls = 240;
const atOnce = 24;

/** The same of each seed. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((state / 2 ** 31) * below);
  };
}

/** What a call of this name is answered: no two are alike. */
function answerTo(name: string, bytes: number): Buffer {
  const part = createHash("sha256").update(name).digest("hex");
  return Buffer.from(part.repeat(Math.ceil(bytes / part.length)).slice(0, bytes));
}

/** Answers with what only this call has, or not, as the call asks. */
function serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  const [name = "", way = "", size = "0", asked = "0"] = String(headers["x-call"]).split(" ");
  stream.on("error", () => undefined);
  const body = answerTo(name, Number(size));
  stream.resume();
  const answer = (): void => {
    if (stream.destroyed) return;
    if (way === "reset") {
      stream.close(2);
      return;
    }
    stream.respond({ ":status": 200, "content-type": "application/grpc", "x-call": name });
    if (way === "cut") {
      // and with it all that its connection carries
      stream.write(body.subarray(0, body.length >> 1), () => stream.session?.destroy());
      return;
    }
    stream.end(body);
    if (way === "goaway") stream.session?.goaway(0);
  };
  if (way === "early" || Number(asked) === 0) answer();
  else stream.on("end", answer);
}

async function endpoint(tls: boolean): Promise<number> {
  // well above what is asked at once: node:http2 counts streams that are over for a while
  const settings = { maxConcurrentStreams: 200 };
  const server: Http2Server = tls ? createSecureServer({ key: pair.key, cert: pair.certificate, settings }) : createServer({ settings });
  server.on("session", (s) => void open.push(() => s.destroy()));
  server.on("stream", serve);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push(() => void server.close());
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** `whole`, with all that is its own; `cut`, which the client was told; or what is wrong. */
async function call(
  session: ClientHttp2Session,
  name: string,
  o: { readonly way: string; readonly size: number; readonly asked: number },
): Promise<string> {
  const stream = session.request({
    ":method": "POST",
    ":path": "/bench.Echo/Say",
    ":authority": "a.test",
    "content-type": "application/grpc",
    te: "trailers",
    "x-call": `${name} ${o.way} ${o.size} ${o.asked}`,
  });
  let headers: IncomingHttpHeaders = {};
  const parts: Buffer[] = [];
  stream.on("response", (h) => {
    headers = h;
    if (o.way === "given up") stream.close(8);
    if (o.way === "slow") {
      stream.pause();
      setImmediate(() => setImmediate(() => stream.resume()));
    }
  });
  stream.on("data", (b: Buffer) => parts.push(b));
  stream.on("error", () => undefined);
  stream.end(Buffer.alloc(o.asked));
  await new Promise<void>((resolve) => void stream.on("close", () => resolve()));
  const body = Buffer.concat(parts);
  const own = answerTo(name, o.size);
  if (headers["x-call"] !== undefined && headers["x-call"] !== name) return `the head of ${headers["x-call"]}`;
  if (!body.equals(own.subarray(0, body.length))) return "the body of another";
  if (headers["grpc-status"] === "14") return "refused";
  if (stream.rstCode !== 0) return "cut";
  return body.length === own.length ? "whole" : "cut, as if it were whole";
}

/** What a call may be told when others leave its connection alone. */
const calm: Readonly<Record<string, readonly string[]>> = {
  plain: ["whole"],
  slow: ["whole"],
  early: ["whole"],
  reset: ["refused"],
  "given up": ["cut", "whole"],
};
/** And where the endpoint gives up connections. */
const told = ["whole", "cut", "refused"];
const rough: Readonly<Record<string, readonly string[]>> = {
  ...calm,
  plain: told,
  slow: told,
  early: told,
  reset: told,
  "given up": told,
  goaway: told,
  cut: told,
};

test.for([
  { name: "calm", transport: "auto", tls: false, wanted: calm },
  { name: "rough", transport: "auto", tls: false, wanted: rough },
  { name: "calm", transport: "portable", tls: false, wanted: calm },
  { name: "rough", transport: "portable", tls: false, wanted: rough },
  { name: "calm", transport: "auto", tls: true, wanted: calm },
  { name: "rough", transport: "auto", tls: true, wanted: rough },
] as const)(
  "each call gets its own answer, whole, or is told that it is not: $name endpoints, $transport, TLS $tls",
  async ({ transport, tls, wanted }) => {
    const ports = [await endpoint(tls), await endpoint(tls)];
    const timeouts = { connectSeconds: 50, sendSeconds: 50, readSeconds: 50 };
    const { ingress, https } = await startLab(ports, {
      routes: [makeRoute({ action: makeForward({ protocol: tls ? "grpcs" : "grpc", tries: 3, timeouts }) })],
      config: { https: [{ ip: "127.0.0.1", port: 0 }], timeouts: { grace: 0 }, transport },
    });
    open.push(() => ingress.close());
    const sessions = [0, 1, 2].map(() => connect(`https://127.0.0.1:${https}`, { rejectUnauthorized: false }));
    for (const s of sessions) {
      s.on("error", () => undefined);
      open.push(() => s.destroy());
    }
    const pick = numbers(7);
    const ways = Object.keys(wanted);
    let next = 0;
    const wrong: string[] = [];
    let whole = 0;
    const worker = async (): Promise<void> => {
      while (next < calls) {
        const name = `call${next++}`;
        const way = ways[pick(ways.length)] ?? "plain";
        const o = { way, size: 2 + pick(pick(2) === 0 ? 2_000 : 150_000), asked: pick(2) === 0 ? 0 : pick(100_000) };
        const session = sessions[pick(sessions.length)];
        const got = session === undefined ? "no session" : await call(session, name, o);
        if (got === "whole") whole++;
        if (wanted[way]?.includes(got) !== true) wrong.push(`${name} ${JSON.stringify(o)}: ${got}`);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
    expect(wrong).toEqual([]);
    expect(whole).toBeGreaterThan(calls / 10);
  },
);
