import type { IncomingMessage, RequestOptions } from "node:http";
import * as http from "node:http";
import * as https from "node:https";
import { BodyChunks } from "./body-chunks.ts";
import type { ClusterAccess } from "./cluster-access.ts";
import { type Credentials, createCredentials, type TlsMaterial } from "./credentials.ts";
import { ClientError } from "./errors.ts";

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Path and query, from `resourcePath`. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

export interface ApiResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Bytes as they arrive. Must be read to the end or the request's signal aborted, else the connection is held. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** The seam between the client and the world. Rejects with a ClientError, or with the signal's reason when it aborts. */
export interface Transport {
  request(r: ApiRequest, s: AbortSignal): Promise<ApiResponse>;
}

const keepAliveMs = 30_000;

/**
 * HTTP/1.1 over TLS with kept-alive connections. Credentials are looked at for every request, so rotated files take
 * effect at once; on 401 they are fetched anew and the request is sent once more.
 */
export function createHttpTransport(access: ClusterAccess): Transport & { close(): void } {
  const credentials = createCredentials(access);
  const base = new URL(access.server);
  const agents = new AgentCache(base.protocol === "https:");
  return {
    async request(r, s) {
      const first = await send(base, agents, credentials, r, s);
      if (first.status !== 401 || !(await credentials.refresh(s))) return first;
      await drain(first.body);
      return send(base, agents, credentials, r, s);
    },
    close: () => agents.close(),
  };
}

async function send(base: URL, agents: AgentCache, credentials: Credentials, r: ApiRequest, s: AbortSignal): Promise<ApiResponse> {
  const { headers, tls } = await credentials.current(s);
  s.throwIfAborted();
  const body = typeof r.body === "string" ? Buffer.from(r.body) : r.body;
  const options: RequestOptions = {
    protocol: base.protocol,
    hostname: base.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: base.port === "" ? (base.protocol === "https:" ? 443 : 80) : Number(base.port),
    method: r.method,
    path: base.pathname.replace(/\/$/, "") + r.path,
    headers: {
      accept: "application/json",
      "user-agent": "fairway",
      ...headers,
      ...r.headers,
      ...(body === undefined ? {} : { "content-length": String(body.length) }),
    },
    agent: agents.agent(tls),
  };
  const idempotent = r.method === "GET" || r.method === "PUT" || r.method === "DELETE";
  try {
    return await attempt(options, body, s);
  } catch (e) {
    s.throwIfAborted();
    // A kept-alive connection may be closed by the server just as it is used again: nothing was answered, try a new one.
    if (e instanceof StaleConnection && idempotent) return attempt({ ...options, agent: agents.fresh(tls) }, body, s).catch(fail);
    return fail(e);
  }

  function fail(e: unknown): never {
    if (s.aborted) throw s.reason;
    const error = e instanceof StaleConnection ? e.cause : e;
    throw new ClientError("connection", `${access(base)}: ${error instanceof Error ? error.message : String(error)}`, error);
  }
}

function access(base: URL): string {
  return `API server ${base.host}`;
}

class StaleConnection extends Error {}

function attempt(options: RequestOptions, body: Uint8Array | undefined, s: AbortSignal): Promise<ApiResponse> {
  return new Promise((resolve, reject) => {
    const request = options.protocol === "https:" ? https.request(options) : http.request(options);
    let response: IncomingMessage | undefined;
    const stop = (): void => {
      response?.destroy(asError(s.reason));
      request.destroy(asError(s.reason));
    };
    s.addEventListener("abort", stop, { once: true });
    request.once("socket", (socket) => socket.setKeepAlive(true, keepAliveMs));
    request.on("response", (r) => {
      response = r;
      r.once("close", () => s.removeEventListener("abort", stop));
      resolve({ status: r.statusCode ?? 0, headers: r.headers as ApiResponse["headers"], body: new BodyChunks(r) });
    });
    request.on("error", (e: Error & { code?: string }) => {
      s.removeEventListener("abort", stop);
      const stale = request.reusedSocket && (e.code === "ECONNRESET" || e.code === "EPIPE");
      reject(stale ? new StaleConnection(e.message, { cause: e }) : e);
    });
    request.end(body);
  });
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}

async function drain(body: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of body);
}

/** One agent for each set of TLS material. When files rotate, idle connections go at once, busy ones when they are done. */
class AgentCache {
  readonly #secure: boolean;
  #tls: TlsMaterial | undefined;
  #agent: http.Agent | undefined;
  readonly #retired = new Set<http.Agent>();

  constructor(secure: boolean) {
    this.#secure = secure;
  }

  agent(tls: TlsMaterial): http.Agent {
    if (this.#agent !== undefined && this.#tls !== undefined && sameTls(this.#tls, tls)) return this.#agent;
    if (this.#agent !== undefined) this.#retire(this.#agent);
    this.#tls = tls;
    // No limit on connections: each watch holds one for minutes.
    // The agent's own word for how long says the same as the sockets' first: where they differ, each request sets it anew, twice.
    this.#agent = this.#create(tls, { keepAlive: true, keepAliveMsecs: keepAliveMs, maxFreeSockets: 8, scheduling: "lifo" });
    return this.#agent;
  }

  /** For one request that must not meet an old connection. */
  fresh(tls: TlsMaterial): http.Agent {
    return this.#create(tls, { keepAlive: false });
  }

  /** Watches go on to their end on the connections they have. */
  #retire(agent: http.Agent): void {
    agent.maxFreeSockets = 0;
    for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
    for (const old of this.#retired) if (Object.keys(old.sockets).length === 0) this.#retired.delete(old);
    this.#retired.add(agent);
  }

  close(): void {
    for (const agent of this.#retired) agent.destroy();
    this.#retired.clear();
    this.#agent?.destroy();
    this.#agent = undefined;
  }

  #create(tls: TlsMaterial, common: http.AgentOptions): http.Agent {
    if (!this.#secure) return new http.Agent(common);
    return new OneServerAgent({
      ...common,
      rejectUnauthorized: !tls.insecureSkipVerify,
      ...(tls.ca === undefined ? {} : { ca: tls.ca }),
      ...(tls.cert === undefined ? {} : { cert: tls.cert }),
      ...(tls.key === undefined ? {} : { key: tls.key }),
      ...(tls.serverName === undefined ? {} : { servername: tls.serverName }),
    });
  }
}

/** All its connections are alike: no name made of keys and certificates is needed, at each request, to tell them apart. */
class OneServerAgent extends https.Agent {
  override getName(): string {
    return "api";
  }
}

function sameTls(a: TlsMaterial, b: TlsMaterial): boolean {
  return (
    a.ca === b.ca && a.cert === b.cert && a.key === b.key && a.serverName === b.serverName && a.insecureSkipVerify === b.insecureSkipVerify
  );
}
