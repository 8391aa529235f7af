import type { Clock } from "../../src/base/clock.ts";
import type { MakeResponseStep, ResponseHead, ResponseOutlet, ResponseSource, ResponseStep } from "../filter/response-step.ts";
import type { HeaderField } from "../route/filter.ts";
import { headerValue } from "../route/request-head.ts";
import type { ErrorPages, Pool } from "../route/route.ts";
import { goesOn } from "../upstream/wire/hop-headers.ts";
import type { IncomingRequest } from "./downstream.ts";
import { type OwnResponse, ownResponse } from "./outgoing-response.ts";
import { reasonOf } from "./status-page.ts";
import type { Subrequests } from "./subrequest.ts";

export interface ErrorPageContext {
  readonly clock: Clock;
  readonly subrequests: Subrequests;
  readonly request: IncomingRequest;
  readonly requestId: string;
  readonly clientIp: string;
  /** The object whose route it is. */
  readonly object: { readonly namespace?: string; readonly name: string };
  /** That the route leads to. */
  readonly service: Pick<Pool, "service" | "port"> | undefined;
  /** What this proxy puts on every response of the route. */
  readonly responseHeaders: readonly HeaderField[];
}

/** Answers with some statuses are not the client's: it gets the page of another Service, or this proxy's own. */
export function errorPageStep(pages: ErrorPages, context: ErrorPageContext): MakeResponseStep {
  return (next, source) => new ErrorPageStep(pages, context, { next, source });
}

class ErrorPageStep implements ResponseStep {
  readonly #pages: ErrorPages;
  readonly #context: ErrorPageContext;
  readonly #next: ResponseOutlet;
  readonly #source: ResponseSource;
  #state: "passing" | "replacing" | "closed" = "passing";

  constructor(pages: ErrorPages, context: ErrorPageContext, o: { readonly next: ResponseOutlet; readonly source: ResponseSource }) {
    this.#pages = pages;
    this.#context = context;
    this.#next = o.next;
    this.#source = o.source;
  }

  head(head: ResponseHead): void {
    if (!this.#pages.statuses.includes(head.status)) {
      this.#next.head(head);
      return;
    }
    this.#state = "replacing";
    this.#source.cancel();
    void this.#replace(head.status);
  }

  async #replace(status: number): Promise<void> {
    const page = (await pageOf(this.#pages, status, this.#context)) ?? ownPage(status, this.#context);
    if (this.#state === "closed") return;
    this.#next.head(page.head);
    if (page.body.length > 0) this.#next.body(page.body);
    this.#next.complete("", this.#context.clock.monotonic());
  }

  body(bytes: Buffer): boolean {
    return this.#state !== "passing" || this.#next.body(bytes);
  }

  flush(): void {
    if (this.#state === "passing") this.#next.flush();
  }

  complete(trailers: string, now: number): void {
    if (this.#state === "passing") this.#next.complete(trailers, now);
  }

  abort(): void {
    this.#next.abort();
  }

  drained(): void {
    this.#source.drained();
  }

  close(): void {
    this.#state = "closed";
  }
}

/** Bytes of a page. */
const pageBytes = 1024 * 1024;

/** `undefined` when nobody has one. */
async function pageOf({ pool }: ErrorPages, status: number, c: ErrorPageContext): Promise<OwnResponse | undefined> {
  if (pool === undefined) return undefined;
  const { request } = c;
  const headers = [
    { name: "host", value: request.authority },
    { name: "X-Code", value: String(status) },
    { name: "X-Format", value: headerValue(request.fields, "accept") ?? "" },
    { name: "X-Original-URI", value: request.target },
    { name: "X-Namespace", value: c.object.namespace ?? "" },
    { name: "X-Ingress-Name", value: c.object.name },
    { name: "X-Service-Name", value: c.service?.service.split("/")[1] ?? "" },
    { name: "X-Service-Port", value: c.service === undefined ? "" : String(c.service.port) },
    { name: "X-Request-ID", value: c.requestId },
    { name: "X-Real-IP", value: c.clientIp },
    { name: "X-Forwarded-For", value: c.clientIp },
  ].filter((h) => h.value !== "");
  try {
    const answer = await c.subrequests.send({ method: "GET", url: "http://error-page/", pool, headers, bodyBytes: pageBytes });
    const kept = answer.headers.filter((h) => goesOn(h.name, []) && h.name !== "content-length");
    return response(answer.status, { headers: kept, body: answer.body }, c);
  } catch {
    return undefined;
  }
}

function response(
  status: number,
  o: { readonly headers: readonly HeaderField[]; readonly body: Buffer },
  c: ErrorPageContext,
): OwnResponse {
  const set = new Set(c.responseHeaders.map((h) => h.name.toLowerCase()));
  const headers = [...o.headers.filter((h) => !set.has(h.name)), ...c.responseHeaders].flatMap((h) => [h.name, h.value]);
  const body = c.request.method === "HEAD" || status === 204 || status === 304 ? Buffer.alloc(0) : o.body;
  if (status !== 204 && status !== 304) headers.push("Content-Length", String(o.body.length));
  const framing = body.length === 0 ? ({ kind: "none" } as const) : ({ kind: "length", bytes: body.length } as const);
  return { head: { status, reason: reasonOf(status), headers, framing }, body };
}

function ownPage(status: number, c: ErrorPageContext): OwnResponse {
  return ownResponse(
    { status, headers: [], by: "proxy" },
    { method: c.request.method, date: new Date(c.clock.now()), requestId: c.requestId, set: c.responseHeaders },
  );
}
