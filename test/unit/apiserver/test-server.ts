import { mkdtempSync, rmSync } from "node:fs";
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KeyPair } from "../../../src/apiserver/pki.ts";
import { type ApiServer, type ApiServerConfig, type ApiServerDeps, startApiServer } from "../../../src/apiserver/server.ts";
import { parseCidr } from "../../../src/base/cidr.ts";
import { type Clock, systemClock } from "../../../src/base/clock.ts";

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** A value of the JSON body by its path: `get("metadata.name")`, `get("items.0.kind")`. */
  get(path: string): unknown;
}

export interface Ask {
  readonly type?: string;
  readonly accept?: string;
  readonly token?: string;
  readonly headers?: OutgoingHttpHeaders;
  /** undefined = the admin's certificate; "none" = no certificate. */
  readonly as?: KeyPair | "none";
}

export interface TestServer {
  readonly server: ApiServer;
  readonly dir: string;
  readonly admin: KeyPair;
  call(method: string, path: string, body?: unknown, ask?: Ask): Promise<Reply>;
  /** The events of a watch until `count` have come, or the server ends it. */
  watch(path: string, count: number, ask?: Ask): Promise<readonly WatchEvent[]>;
  close(): Promise<void>;
}

export interface WatchEvent {
  readonly type: string;
  readonly object: Readonly<Record<string, unknown>>;
}

/** What waits for seconds is done at once, what waits for longer waits until it is told to stop. */
const hastyClock: Clock = {
  ...systemClock,
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (ms <= 5000) setImmediate(resolve);
      if (signal?.aborted === true) reject(signal.reason);
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    }),
};

/** A server of its own, with everything in memory, on any port. */
export async function makeTestServer(config: Partial<ApiServerConfig> = {}, deps: ApiServerDeps = {}): Promise<TestServer> {
  const dir = mkdtempSync(join(tmpdir(), "fairway-api-"));
  const cidr = parseCidr("10.96.0.0/16");
  const server = await startApiServer(
    {
      dataDir: dir,
      bind: [{ ip: "127.0.0.1", port: 0 }],
      advertise: ["192.0.2.1"],
      serviceCidrs: cidr === undefined ? [] : [cidr],
      store: "memory",
      ...config,
    },
    { clock: hastyClock, ...deps },
  );
  const admin = await server.pki.issueClientCert("admin", ["system:masters"]);
  const agents = new Map<KeyPair | "none", Agent>();
  const agentFor = (as: KeyPair | "none"): Agent => {
    const agent =
      agents.get(as) ??
      new Agent({ ca: server.pki.caPem, keepAlive: true, ...(as === "none" ? {} : { cert: as.certPem, key: as.keyPem }) });
    agents.set(as, agent);
    return agent;
  };
  const send = (method: string, path: string, ask: Ask, body?: unknown) => {
    const text = body === undefined ? undefined : typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    const out = request({
      host: "127.0.0.1",
      port: server.port,
      method,
      path,
      agent: agentFor(ask.as ?? admin),
      headers: {
        ...(text === undefined ? {} : { "content-type": ask.type ?? "application/json", "content-length": Buffer.byteLength(text) }),
        ...(ask.accept === undefined ? {} : { accept: ask.accept }),
        ...(ask.token === undefined ? {} : { authorization: `Bearer ${ask.token}` }),
        ...ask.headers,
      },
    });
    out.end(text);
    return out;
  };
  return {
    server,
    dir,
    admin,
    call: (method, path, body, ask = {}) =>
      new Promise((resolve, reject) => {
        const out = send(method, path, ask, body);
        out.on("error", reject);
        out.on("response", (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("error", reject);
          response.on("end", () => {
            const text = Buffer.concat(chunks).toString();
            resolve({ status: response.statusCode ?? 0, headers: response.headers, text, get: (p) => at(JSON.parse(text), p) });
          });
        });
      }),
    watch: (path, count, ask = {}) =>
      new Promise((resolve, reject) => {
        const events: WatchEvent[] = [];
        const out = send("GET", path, ask);
        out.on("error", reject);
        out.on("response", (response) => {
          let rest = "";
          response.on("data", (chunk: Buffer) => {
            rest += chunk.toString();
            const lines = rest.split("\n");
            rest = lines.pop() ?? "";
            for (const line of lines) if (events.length < count) events.push(JSON.parse(line));
            if (events.length < count) return;
            response.destroy();
            resolve(events);
          });
          response.on("end", () => resolve(events));
          response.on("error", () => resolve(events));
        });
      }),
    close: async () => {
      for (const agent of agents.values()) agent.destroy();
      await server.close();
      rmSync(dir, { recursive: true });
    },
  };
}

function at(value: unknown, path: string): unknown {
  let node: unknown = value;
  for (const part of path.split(".")) {
    if (Array.isArray(node)) node = node[Number(part)];
    else node = typeof node === "object" && node !== null ? Object.entries(node).find(([key]) => key === part)?.[1] : undefined;
  }
  return node;
}

/** A server with the namespace shop, and its service account, which pods need. */
export async function makeShopServer(): Promise<TestServer> {
  const api = await makeTestServer();
  await api.call("POST", "/api/v1/namespaces", { metadata: { name: "shop" } });
  await api.call("POST", "/api/v1/namespaces/shop/serviceaccounts", { metadata: { name: "default" } });
  return api;
}
