import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { Clock } from "../../src/base/clock.ts";
import type { Authority, AuthorityQuestion, Verdict } from "../filter/outcome.ts";
import type { HeaderField } from "../route/filter.ts";
import type { PoolEndpoint, PoolId } from "../route/route.ts";

export interface AuthoritiesDeps {
  readonly clock: Clock;
  /** An endpoint of a pool, another one each time; `undefined` when it has none. */
  readonly endpointOf: (pool: PoolId) => PoolEndpoint | undefined;
  readonly log: (message: string) => void;
  /** Milliseconds for a whole answer; default 5000. */
  readonly timeout?: number;
}

const unreachable: Verdict = { status: 500, headers: [] };
const maxRemembered = 10_000;
const maxSockets = 256;

/**
 * Asks the servers that `auth-url` names, over kept connections. node's own client: a judgement is another server's work of
 * milliseconds, and nothing of the body goes through here.
 */
export class Authorities implements Authority {
  readonly #deps: AuthoritiesDeps;
  readonly #http = new HttpAgent({ keepAlive: true, maxSockets });
  readonly #https = new HttpsAgent({ keepAlive: true, maxSockets });
  /** In the order in which they came, so that the oldest make room. */
  readonly #remembered = new Map<string, { readonly verdict: Verdict; readonly until: number }>();

  constructor(deps: AuthoritiesDeps) {
    this.#deps = deps;
  }

  async ask(question: AuthorityQuestion): Promise<Verdict> {
    const { cache } = question;
    if (cache === undefined) return this.#send(question);
    const key = JSON.stringify([question.url, cache.key]);
    const now = this.#deps.clock.monotonic();
    const known = this.#remembered.get(key);
    if (known !== undefined && known.until > now) return known.verdict;
    this.#remembered.delete(key);
    const verdict = await this.#send(question);
    const seconds = cache.seconds[verdict.status] ?? 0;
    if (seconds > 0) {
      for (const oldest of this.#remembered.keys()) {
        if (this.#remembered.size < maxRemembered) break;
        this.#remembered.delete(oldest);
      }
      this.#remembered.set(key, { verdict, until: this.#deps.clock.monotonic() + seconds * 1000 });
    }
    return verdict;
  }

  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }

  async #send(question: AuthorityQuestion): Promise<Verdict> {
    try {
      return await this.#exchange(question);
    } catch (error) {
      this.#deps.log(`${question.url} could not be asked for a judgement: ${error instanceof Error ? error.message : String(error)}`);
      return unreachable;
    }
  }

  #exchange(question: AuthorityQuestion): Promise<Verdict> {
    const url = new URL(question.url);
    const secure = url.protocol === "https:";
    if (!secure && url.protocol !== "http:") throw new TypeError("its scheme is neither http nor https");
    const endpoint = question.pool === undefined ? undefined : this.#deps.endpointOf(question.pool);
    if (question.pool !== undefined && endpoint === undefined) throw new Error("its Service has no endpoint");
    const headers: Record<string, string | string[]> = { host: url.host };
    for (const { name, value } of question.headers) {
      const before = headers[name];
      headers[name] = before === undefined ? value : [...(Array.isArray(before) ? before : [before]), value];
    }
    return new Promise((resolve, reject) => {
      const request = (secure ? httpsRequest : httpRequest)({
        agent: secure ? this.#https : this.#http,
        host: endpoint?.ip ?? url.hostname.replace(/^\[|\]$/g, ""),
        port: endpoint?.port ?? (url.port === "" ? (secure ? 443 : 80) : Number(url.port)),
        method: question.method,
        path: `${url.pathname}${url.search}`,
        headers,
        signal: AbortSignal.timeout(this.#deps.timeout ?? 5_000),
        ...(secure ? { servername: url.hostname } : {}),
      });
      request.on("error", reject);
      request.on("response", (response: IncomingMessage) => {
        response.on("error", reject);
        response.on("end", () => resolve({ status: response.statusCode ?? 500, headers: fieldsOf(response.rawHeaders) }));
        // the body is nobody's, but the connection is wanted again
        response.resume();
      });
      request.end();
    });
  }
}

function fieldsOf(raw: readonly string[]): readonly HeaderField[] {
  const fields: HeaderField[] = [];
  for (let i = 0; i < raw.length; i += 2) fields.push({ name: (raw[i] ?? "").toLowerCase(), value: raw[i + 1] ?? "" });
  return fields;
}
