import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { HeaderField } from "../route/filter.ts";
import type { PoolEndpoint, PoolId } from "../route/route.ts";
import { callGrpc, type GrpcCall, isAddress } from "./grpc-call.ts";

export interface SubrequestsDeps {
  /** An endpoint of a pool, another one each time; `undefined` when it has none. */
  readonly endpointOf: (pool: PoolId) => PoolEndpoint | undefined;
}

export interface Subrequest {
  readonly method: string;
  /** http or https. */
  readonly url: string;
  /** What stands for the URL's host. */
  readonly pool?: PoolId;
  /** The URL's host is asked for unless `host` is among them. */
  readonly headers: readonly HeaderField[];
  readonly body?: Buffer;
  /** Bytes of the answer's body that are wanted; a longer one is a failure. 0: it is thrown away. */
  readonly bodyBytes: number;
  /** For the whole answer; default 5000. */
  readonly timeoutMs?: number;
}

export interface SubrequestAnswer {
  readonly status: number;
  /** Names in lower case; a name may stand there more than once. */
  readonly headers: readonly HeaderField[];
  readonly body: Buffer;
}

const maxSockets = 256;

/**
 * Requests of this proxy's own, over kept connections: judgements, keys, traces. node's own client: they are other servers'
 * work of milliseconds, and nothing that clients send or get goes through here.
 */
export class Subrequests {
  readonly #deps: SubrequestsDeps;
  readonly #http = new HttpAgent({ keepAlive: true, maxSockets });
  readonly #https = new HttpsAgent({ keepAlive: true, maxSockets });

  constructor(deps: SubrequestsDeps) {
    this.#deps = deps;
  }

  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }

  /** How a call of gRPC ended, over HTTP/2; rejects where there was no end in time. */
  async call(o: Pick<Subrequest, "url" | "pool"> & Pick<GrpcCall, "path" | "message" | "timeoutMs">): Promise<number> {
    const url = new URL(o.url);
    return callGrpc({ address: this.#addressOf(url, o.pool), url, path: o.path, message: o.message, timeoutMs: o.timeoutMs });
  }

  #addressOf(url: URL, pool: PoolId | undefined): { readonly ip: string; readonly port: number } {
    const endpoint = pool === undefined ? undefined : this.#deps.endpointOf(pool);
    if (pool !== undefined && endpoint === undefined) throw new Error("its Service has no endpoint");
    const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
    return endpoint ?? { ip: url.hostname.replace(/^\[|\]$/g, ""), port };
  }

  /** Rejects where there is no whole answer in time. */
  async send(o: Subrequest): Promise<SubrequestAnswer> {
    const url = new URL(o.url);
    const secure = url.protocol === "https:";
    if (!secure && url.protocol !== "http:") throw new TypeError("its scheme is neither http nor https");
    const { ip: host, port } = this.#addressOf(url, o.pool);
    const headers: Record<string, string | string[]> = {};
    for (const { name, value } of o.headers) {
      const before = headers[name];
      headers[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value];
    }
    headers["host"] ??= url.host;
    return new Promise((resolve, reject) => {
      const request = (secure ? httpsRequest : httpRequest)({
        agent: secure ? this.#https : this.#http,
        host,
        port,
        method: o.method,
        path: `${url.pathname}${url.search}`,
        headers,
        signal: AbortSignal.timeout(o.timeoutMs ?? 5_000),
        ...(secure && !isAddress(url) ? { servername: url.hostname } : {}),
      });
      request.on("error", reject);
      request.on("response", (response: IncomingMessage) => {
        const parts: Buffer[] = [];
        let bytes = 0;
        response.on("error", reject);
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 500, headers: fieldsOf(response.rawHeaders), body: Buffer.concat(parts) }),
        );
        response.on("data", (part: Buffer) => {
          // a body that is nobody's is read all the same: the connection is wanted again
          if (o.bodyBytes === 0) return;
          bytes += part.length;
          if (bytes > o.bodyBytes) request.destroy(new Error(`its answer is longer than ${o.bodyBytes} bytes`));
          else parts.push(part);
        });
      });
      request.end(o.body);
    });
  }
}

function fieldsOf(raw: readonly string[]): readonly HeaderField[] {
  const fields: HeaderField[] = [];
  for (let i = 0; i < raw.length; i += 2) fields.push({ name: (raw[i] ?? "").toLowerCase(), value: raw[i + 1] ?? "" });
  return fields;
}
