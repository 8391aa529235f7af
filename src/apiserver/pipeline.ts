import type { Duplex } from "node:stream";
import { type ApiError, badRequest, internal, isApiError, notAcceptable, notFoundPath, tooLarge } from "../api/status-error.ts";
import { type Answer, failure } from "./answer.ts";
import type { Authenticator } from "./authn/authenticator.ts";
import { impersonated } from "./authn/impersonation.ts";
import { attributesOf, isAllowed, refusal } from "./authz/authorizer.ts";
import type { ApiContext, Call } from "./call.ts";
import { formFor } from "./handlers/answer-object.ts";
import { reviews } from "./handlers/review.ts";
import { Lifetime } from "./lifetime.ts";
import type { Metrics } from "./metrics.ts";
import { type PathContext, routePath } from "./path-router.ts";
import { parseRequestInfo, type RequestInfo, type ResourceRequest } from "./request-info.ts";
import { route } from "./router.ts";
import { sendAnswer, sendOnSocket } from "./send.ts";
import type { User } from "./user.ts";
import { viewOf } from "./view.ts";
import { connectionOf, distinctHeaders, type WireRequest, type WireResponse } from "./wire.ts";

/** What etcd and Kubernetes take at most. */
const maxBody = 3 << 20;
const agent = "299 - ";

export interface PipelineOptions {
  readonly context: ApiContext;
  readonly authenticator: Authenticator;
  readonly paths: PathContext;
  readonly metrics: Metrics;
  /** Aborts when the server closes. */
  readonly closing: AbortSignal;
}

/** From a request to its answer: who asks, may they, what do they want. */
export class Pipeline {
  readonly #options: PipelineOptions;

  constructor(options: PipelineOptions) {
    this.#options = options;
  }

  async serve(request: WireRequest, response: WireResponse): Promise<void> {
    const life = new Lifetime(response, this.#options.closing);
    const warnings: string[] = [];
    const started = this.#options.context.clock.monotonic();
    const answer = await this.#answer(request, life, (text) => warnings.push(text));
    const headers: Readonly<Record<string, string>> =
      warnings.length === 0 ? {} : { warning: warnings.map((w) => agent + JSON.stringify(w)).join(", ") };
    this.#options.metrics.observe(request.method ?? "GET", statusOf(answer), this.#options.context.clock.monotonic() - started);
    try {
      await sendAnswer(request, response, answer, headers, life);
    } catch (error) {
      // The head may be out already: all that is left is to break off.
      if (!life.over) this.#options.context.log("warn", "an answer broke off", { url: request.url, error: String(error) });
      response.destroy();
    }
  }

  async upgrade(request: WireRequest, socket: Duplex, head: Uint8Array): Promise<void> {
    socket.on("error", () => undefined); // its close is what counts
    const answer = await this.#answer(request, new Lifetime(socket, this.#options.closing), () => undefined);
    if (socket.destroyed && answer.kind === "tunnel") answer.to.destroy();
    else await sendOnSocket(socket, head, answer);
  }

  async #answer(request: WireRequest, life: Lifetime, warn: (text: string) => void): Promise<Answer> {
    try {
      return await this.#handle(request, life, warn);
    } catch (error) {
      return failure(this.#told(error, request));
    }
  }

  async #handle(request: WireRequest, life: Lifetime, warn: (text: string) => void): Promise<Answer> {
    const { authenticator, paths, context } = this.#options;
    const url = request.url ?? "/";
    const mark = url.indexOf("?");
    const path = mark < 0 ? url : url.slice(0, mark);
    const query = new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1));
    context.passed(1);
    const info = parseInfo(request.method ?? "GET", path, query);
    const caller = authenticator.authenticate(request.headers.authorization, connectionOf(request));
    const user = impersonated(caller, request.headers, () => distinctHeaders(request));
    const attributes = attributesOf(info);
    if (!isAllowed(user, attributes)) throw refusal(user, attributes);
    if (info.kind === "path") return routePath(info, request.headers.accept, query, paths);
    return this.#forObjects(info, { request, query, user, life, warn, context });
  }

  #forObjects(info: ResourceRequest, given: Given): Promise<Answer> {
    const review = reviews.find((r) => r.group === info.group && r.plural === info.plural && info.version === "v1");
    const resource = info.resource ?? (review === undefined ? undefined : reviewResource(review));
    if (resource === undefined) throw notFoundPath();
    const view = viewOf(resource);
    const { request, query, user, life, warn, context } = given;
    const call: Call = {
      context,
      info,
      resource: view.stored,
      view,
      method: request.method ?? "GET",
      query,
      headers: request.headers,
      user,
      get signal() {
        return life.signal;
      },
      body: () => readAll(request),
      warn,
    };
    if (review === undefined) return route(call);
    if (info.verb !== "create" || info.name !== "") throw notFoundPath();
    if (formFor(call).kind !== "object") throw notAcceptable(["application/json"]);
    return review.answer(call);
  }

  #told(error: unknown, request: WireRequest): ApiError {
    if (isApiError(error)) return error;
    this.#options.context.log("error", "a request failed", {
      method: request.method,
      url: request.url?.split("?")[0],
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
    return internal(error instanceof Error ? error.message : String(error));
  }
}

interface Given {
  readonly request: WireRequest;
  readonly query: URLSearchParams;
  readonly user: User;
  readonly life: Lifetime;
  readonly warn: (text: string) => void;
  readonly context: ApiContext;
}

function parseInfo(method: string, path: string, query: URLSearchParams): RequestInfo {
  try {
    return parseRequestInfo(method, path, query);
  } catch (error) {
    if (isApiError(error)) throw error;
    throw badRequest(`the path ${JSON.stringify(path)} is not properly encoded`);
  }
}

function reviewResource({ group, plural, kind }: (typeof reviews)[number]): Call["resource"] {
  const none: readonly string[] = [];
  return {
    group,
    version: "v1",
    kind,
    plural,
    singular: "",
    shortNames: none,
    categories: none,
    namespaced: false,
    type: "",
    verbs: ["create"],
    subresources: [],
    fieldSelectors: none,
  };
}

/** Not by `for await`: that would destroy the connection when the body is too large, before the client is told. */
function readAll(request: WireRequest): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const chunks: Buffer[] = [];
  let size = Number(request.headers["content-length"] ?? 0) > maxBody ? maxBody : 0;
  let complete = false;
  request.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size <= maxBody) chunks.push(chunk);
    else {
      chunks.length = 0;
      reject(tooLarge(`limit is ${maxBody}`));
    }
  });
  request.on("end", () => {
    complete = true;
    resolve(chunks.length === 1 ? (chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(chunks));
  });
  request.on("error", reject);
  // It closes each time; an error that nobody hears would still cost its stack.
  request.on("close", () => {
    if (!complete) reject(badRequest("the body ended before its end"));
  });
  return promise;
}

function statusOf(answer: Answer): number {
  if (answer.kind === "bytes" || answer.kind === "relay") return answer.status;
  return answer.kind === "tunnel" ? 101 : 200;
}
