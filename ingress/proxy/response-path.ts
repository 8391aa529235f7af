import { changedAnswer } from "../filter/answer-changes.ts";
import type { Reply } from "../filter/outcome.ts";
import { joinSteps, type ResponseOutlet, type ResponseSource, type ResponseSteps } from "../filter/response-step.ts";
import type { HeaderField } from "../route/filter.ts";
import type { Http1Response } from "../upstream/wire/response-parser.ts";
import { ClientResponse, type OnResponseEnd } from "./client-response.ts";
import type { ProxyContext } from "./context.ts";
import type { Downstream, IncomingRequest } from "./downstream.ts";
import type { ClientIdentity } from "./forwarded.ts";
import { grpcReply, isGrpc } from "./grpc.ts";
import { outgoingHead, outgoingLines, ownResponse } from "./outgoing-response.ts";
import type { RequestPlan } from "./request-plan.ts";
import { responseSteps } from "./response-steps.ts";
import { reasonOf } from "./status-page.ts";
import { textSource } from "./text-source.ts";

/** Whose response it is, and who hears of it. */
export interface ResponseOwner {
  readonly request: IncomingRequest;
  readonly requestId: string;
  readonly client: ClientIdentity;
  readonly down: Downstream;
  /** Where bodies come from: held back where there is no room. */
  readonly source: ResponseSource;
  readonly onEnd: OnResponseEnd;
}

const noHeaders: readonly HeaderField[] = [];

/**
 * The way of one response to its client, the endpoint's or one made here: what the route changes of its headers, the steps of
 * its filters, and last the ClientResponse.
 */
export class ResponsePath {
  readonly #context: ProxyContext;
  readonly #owner: ResponseOwner;
  readonly #last: ClientResponse;
  #first: ResponseOutlet;
  #steps: ResponseSteps | undefined;
  #plan: RequestPlan | undefined;

  constructor(context: ProxyContext, owner: ResponseOwner) {
    this.#context = context;
    this.#owner = owner;
    this.#last = new ClientResponse(owner.down, owner);
    this.#first = this.#last;
  }

  /** What the client got; 0 before the head. */
  get status(): number {
    return this.#last.status;
  }

  /** Of the body. */
  get bytes(): number {
    return this.#last.bytes;
  }

  /** Goes the way of this plan from here on. */
  follow(plan: RequestPlan): void {
    const { request, requestId, client, source } = this.#owner;
    this.#plan = plan;
    const makers = responseSteps(this.#context, plan, { request, requestId, clientIp: client.ip });
    if (makers.length === 0) return;
    const steps = joinSteps(makers, this.#last, source);
    this.#steps = steps;
    this.#first = steps.outlet;
    this.#last.source = steps;
  }

  /** The endpoint's head; `setCookie` binds the client to it. */
  head(response: Http1Response, setCookie: string | undefined): void {
    const { forward, chain } = this.#plan ?? {};
    const set = chain?.responseHeaders ?? noHeaders;
    const answer = forward?.answer;
    if (this.#steps === undefined && answer === undefined && this.#last.takesLines) {
      this.#last.headLines(response, outgoingLines(response, set, setCookie));
      return;
    }
    const head = outgoingHead(response, set, setCookie);
    if (answer === undefined) this.#first.head(head);
    else {
      const { request, client, requestId } = this.#owner;
      const source = textSource(request, client, { requestId, clock: this.#context.clock });
      this.#first.head({ ...head, headers: changedAnswer(head.headers, answer, source) });
    }
  }

  /** A whole answer made here. `now` is monotonic. */
  reply(reply: Reply, now: number): void {
    const { request, requestId } = this.#owner;
    if (reply.status >= 400 && isGrpc(request.fields)) {
      this.#last.head(grpcReply(reply.status, reasonOf(reply.status)));
      this.#last.status = reply.status;
      this.#last.complete("", now);
      return;
    }
    const own = ownResponse(reply, {
      method: request.method,
      date: new Date(this.#context.clock.now()),
      requestId,
      set: this.#plan?.chain?.responseHeaders ?? noHeaders,
    });
    this.#first.head(own.head);
    if (own.body.length > 0) this.#first.body(own.body);
    this.#first.complete("", now);
  }

  /** False: wait for the source's drained. */
  body(bytes: Buffer): boolean {
    return this.#first.body(bytes);
  }

  flush(): void {
    this.#first.flush();
  }

  complete(trailers: string, now: number): void {
    this.#first.complete(trailers, now);
  }

  abort(): void {
    this.#first.abort();
  }

  /** The client has room again. */
  drained(): void {
    this.#last.drained();
  }

  /** Nothing more is sent: the client is gone, or speaks another protocol now. */
  endWith(status: number): void {
    this.#last.status = status;
    this.#last.close();
  }

  /** The request has ended: once, last. */
  close(): void {
    this.#last.close();
    this.#steps?.close();
  }
}
