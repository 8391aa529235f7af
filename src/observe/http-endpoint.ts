import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Running } from "../base/running.ts";
import type { Health, HealthEndpoint } from "./health.ts";
import { type Metrics, metricsContentType } from "./metrics.ts";

export interface ObserveResponse {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}
export type ObserveHandler = (url: URL) => ObserveResponse | Promise<ObserveResponse>;

export interface ObserveServerOptions {
  readonly bind: string;
  /** 0 takes any free port; the server's `port` says which. */
  readonly port: number;
  readonly metrics?: Metrics;
  readonly health?: Health;
  /** Extra GET paths, matched exactly: `/debug/plan`. */
  readonly routes?: Readonly<Record<string, ObserveHandler>>;
}

export interface ObserveServer extends Running {
  /** The port that is bound, known once `ready` has settled. */
  readonly port: number;
}

/** Serves /metrics, /healthz, /livez, /readyz and extra paths over plain HTTP, GET and HEAD only. */
export function startObserveServer(options: ObserveServerOptions): ObserveServer {
  let port = options.port;
  const server = createServer({ maxHeaderSize: 16 * 1024, requestTimeout: 10_000, headersTimeout: 5000 }, (request, response) => {
    void answer(options, request, response);
  });
  const ready = new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: options.bind, port: options.port, exclusive: true }, () => {
      server.off("error", reject);
      const address = server.address();
      if (typeof address === "object" && address !== null) port = address.port;
      resolve();
    });
  });
  return {
    ready,
    get port() {
      return port;
    },
    close: async () => {
      await ready.catch(() => {});
      if (!server.listening) return;
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      server.closeAllConnections();
      await closed.promise;
    },
  };
}

async function answer(options: ObserveServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  let result: ObserveResponse;
  try {
    result = await route(options, request);
  } catch (e) {
    result = text(500, `${e instanceof Error ? e.message : String(e)}\n`);
  }
  response.writeHead(result.status, {
    "content-type": result.contentType,
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache, private",
    "content-length": Buffer.byteLength(result.body),
    ...(result.status === 405 ? { allow: "GET, HEAD" } : {}),
  });
  response.end(request.method === "HEAD" ? undefined : result.body);
}

function route(options: ObserveServerOptions, request: IncomingMessage): ObserveResponse | Promise<ObserveResponse> {
  if (request.method !== "GET" && request.method !== "HEAD") return text(405, "only GET and HEAD are answered here\n");
  const url = URL.parse(request.url ?? "/", "http://observe");
  if (url === null) return text(400, "bad request target\n");
  const extra = Object.hasOwn(options.routes ?? {}, url.pathname) ? options.routes?.[url.pathname] : undefined;
  if (extra !== undefined) return extra(url);
  if (url.pathname === "/metrics" && options.metrics !== undefined) return metricsAnswer(options.metrics);
  const health = /^\/(healthz|livez|readyz)(?:\/([^/]+))?$/.exec(url.pathname);
  if (health !== null && options.health !== undefined) return healthAnswer(options.health, health[1] as HealthEndpoint, health[2], url);
  const paths = [
    ...(options.metrics === undefined ? [] : ["/metrics"]),
    ...(options.health === undefined ? [] : ["/healthz", "/livez", "/readyz"]),
    ...Object.keys(options.routes ?? {}),
  ];
  return url.pathname === "/" ? text(200, `${paths.join("\n")}\n`) : text(404, `no ${url.pathname} here; there is ${paths.join(", ")}\n`);
}

async function metricsAnswer(metrics: Metrics): Promise<ObserveResponse> {
  return { status: 200, contentType: metricsContentType, body: await metrics.print() };
}

async function healthAnswer(health: Health, endpoint: HealthEndpoint, only: string | undefined, url: URL): Promise<ObserveResponse> {
  const { status, body } = await health.ask(endpoint, {
    verbose: url.searchParams.has("verbose"),
    exclude: url.searchParams.getAll("exclude"),
    ...(only === undefined ? {} : { only }),
  });
  return text(status, body);
}

function text(status: number, body: string): ObserveResponse {
  return { status, contentType: "text/plain; charset=utf-8", body };
}
