import type { Reply } from "../filter/outcome.ts";
import type { ResponseSource } from "../filter/response-step.ts";
import type { HeaderField } from "../route/filter.ts";
import type { TracingSettings } from "../route/proxy-settings.ts";
import type { Forwarding, Route } from "../route/route.ts";
import type { Connection } from "../upstream/connection.ts";
import type { ResponseSink, UpstreamChannel, UpstreamFailure } from "../upstream/upstream-channel.ts";
import { noBody } from "../upstream/wire/body-framing.ts";
import { safeTrailers } from "../upstream/wire/hop-headers.ts";
import type { Http1Response } from "../upstream/wire/response-parser.ts";
import type { ProxyContext } from "./context.ts";
import type { Downstream, IncomingRequest } from "./downstream.ts";
import { ExchangeDeadlines } from "./exchange-deadlines.ts";
import { recordExchange } from "./exchange-record.ts";
import { type ClientIdentity, clientIdentity } from "./forwarded.ts";
import { grpcTimeoutMs, isGrpc } from "./grpc.ts";
import { type Holder, waitingBytes } from "./held-bytes.ts";
import { mirrorRequest } from "./mirror.ts";
import { outgoingHead } from "./outgoing-response.ts";
import { planRequest, type RequestPlan } from "./request-plan.ts";
import { RequestUpload, type UploadOwner } from "./request-upload.ts";
import { ResponsePath } from "./response-path.ts";
import { afterFailure, afterStatus, type RetryVerdict, type SpentTry } from "./retry-decision.ts";
import { type Trace, traceHeaders, traceOf } from "./trace-context.ts";
import { upstreamHead } from "./upstream-request.ts";
import { type TriesOwner, UpstreamTries } from "./upstream-tries.ts";

const noHeaders: readonly HeaderField[] = [];

/** `responding`: the endpoint's head, or an answer of this proxy, is on its way to the client. */
type Phase = "planning" | "pending" | "connecting" | "waiting" | "responding" | "done";

/**
 * One request from its head to the end of its response, whatever protocol the client speaks: what comes of its body goes
 * through RequestUpload, its way up through UpstreamTries, its response through the steps of its route and ClientResponse.
 */
export class Exchange implements ResponseSink, TriesOwner, UploadOwner, ResponseSource, Holder {
  readonly #context: ProxyContext;
  readonly #request: IncomingRequest;
  readonly #down: Downstream;
  readonly #client: ClientIdentity;
  readonly #requestId: string;
  readonly #startedAt: number;
  readonly #upload: RequestUpload;
  readonly #response: ResponsePath;
  readonly #tries: UpstreamTries;
  #phase: Phase = "planning";
  #plan: RequestPlan | undefined;
  #trace: Trace | undefined;
  /** The plan was not made at once: time has passed since the start. */
  #waited = false;
  readonly #deadlines = new ExchangeDeadlines();
  /** The client has no room: the endpoint is not read. */
  #stalled = false;
  /** Counted among what this process holds. */
  #isHeld = false;
  #lastStatus = 502;
  #trailers = "";
  /** When the bytes in hand were read; the clock is asked once for all of them. */
  #readAt: number | undefined;

  constructor(context: ProxyContext, request: IncomingRequest, down: Downstream) {
    this.#context = context;
    this.#request = request;
    this.#down = down;
    this.#startedAt = context.clock.monotonic();
    this.#upload = new RequestUpload(context, request, down, this);
    if (isGrpc(request.fields)) this.#deadlines.endBy(this.#startedAt + (grpcTimeoutMs(request.fields) ?? Number.POSITIVE_INFINITY));
    this.#client = clientIdentity(request, request.fields, context);
    this.#requestId = context.requestIds.of(request.fields);
    this.#tries = new UpstreamTries(context, { request, client: this.#client, requestId: this.#requestId }, this);
    this.#response = new ResponsePath(context, {
      request,
      requestId: this.#requestId,
      client: this.#client,
      down,
      source: this,
      onEnd: (now) => this.#finish(now),
    });
  }

  /** True once the whole request has been read: only then may the connection carry another. */
  get requestComplete(): boolean {
    return this.#upload.body.done;
  }

  start(): void {
    const context = this.#context;
    const plan = planRequest(context.table, this.#request, this.#client, {
      now: this.#startedAt,
      httpsPort: context.httpsPortBeside(this.#request.localPort),
      world: context.world,
      requestId: this.#requestId,
    });
    if (plan instanceof Promise) {
      this.#waited = true;
      plan.then(
        (p) => this.#act(p),
        () => this.#fail(500),
      );
    } else this.#act(plan);
  }

  /** Bytes of the body, decoded from their transfer coding. */
  body(bytes: Buffer): void {
    if (this.#phase === "done") return;
    this.#upload.take(bytes, this.#bodyLimit());
  }

  /** Lines of the request's trailers, before bodyEnd. */
  bodyTrailers(text: string): void {
    this.#upload.body.trailers = safeTrailers(text);
  }

  bodyEnd(): void {
    const { body } = this.#upload;
    if (body.done || this.#phase === "done") return;
    if (!body.end()) {
      this.#fail(400);
      return;
    }
    if (this.#plan?.forward?.mirror?.withBody === true) this.#mirror(this.#plan.forward);
    this.#upload.end();
  }

  get channel(): UpstreamChannel | undefined {
    return this.#tries.channel;
  }

  onBodyReady(): void {
    const forward = this.#plan?.forward;
    if (forward !== undefined && this.#phase === "planning") this.#try(forward);
  }

  onBodyMoved(): void {
    this.#expectProgress(this.#context.clock.monotonic());
  }

  onBodyHeld(): void {
    this.#hold();
  }

  onBodyFailed(status: number): void {
    this.#fail(status);
  }

  /** The client has room again. */
  clientDrained(): void {
    this.progressed();
    this.#response.drained();
  }

  /** The client is gone. */
  clientGone(): void {
    if (this.#phase === "done") return;
    if (this.#response.status === 0) this.#response.endWith(499);
    this.#finish(undefined);
  }

  /** An endpoint that left may never answer a knock: who still waits at its door tries the next at once. */
  endpointsGone(gone: ReadonlySet<string>): void {
    if (this.#phase === "connecting" && this.#tries.knocksAt(gone)) this.#retryOr("connect", 502);
  }

  /** Called now and then; `now` is monotonic. */
  sweep(now: number): void {
    if (this.#phase === "done") return;
    if (this.#deadlines.isOver(now)) this.#fail(504);
    else if (this.#deadlines.isLate(now)) {
      if (this.#phase === "pending") this.#waitedInVain();
      else if (this.#phase === "connecting") this.#retryOr("connect", 504);
      else if (this.#phase === "waiting") this.#retryOr("timeout", 504);
      else if (this.#phase === "responding") this.#retryOr("timeout", 504);
    }
  }

  #act(plan: RequestPlan): void {
    this.#plan = plan;
    const { chain, forward } = plan;
    const { body } = this.#upload;
    if (this.#phase === "done") {
      for (const release of chain?.releases ?? []) release();
      return;
    }
    const { tracing } = this.#context.table.settings;
    if (tracing !== undefined || plan.route?.tracing !== undefined) this.#startTrace(tracing, plan.route);
    this.#response.follow(plan);
    if (forward !== undefined) this.#deadlines.follow(forward.timeouts, this.#startedAt);
    if (plan.reply !== undefined) this.#reply(plan.reply);
    else if (this.#bodyLimit() > 0 && body.bytes > this.#bodyLimit()) this.#fail(413);
    else if (forward !== undefined) {
      if (forward.bufferRequest === true && this.#upload.awaitWhole(forward.bodyBufferBytes)) this.#waited = true;
      else this.#try(forward);
      // after the request itself; one that carries the body waits for its end, and is sent there (see bodyEnd)
      if (forward.mirror !== undefined && (body.done || !forward.mirror.withBody)) this.#mirror(forward);
    }
  }

  #startTrace(tracing: TracingSettings | undefined, route: Route | undefined): void {
    const newId = (): string => this.#context.requestIds.next();
    this.#trace = traceOf(tracing, route, { fields: this.#request.fields, newId });
    if (this.#trace?.sampled === true) this.#tries.trace(() => newId().slice(0, 16));
  }

  #bodyLimit(): number {
    return this.#plan?.chain?.bodyLimit ?? 0;
  }

  #mirror(forward: Forwarding): void {
    const chain = this.#plan?.chain;
    if (chain === undefined) return;
    mirrorRequest(this.#context, forward, {
      request: this.#request,
      client: this.#client,
      requestId: this.#requestId,
      body: this.#upload.body,
      target: chain.request.target,
      set: chain.requestHeaders,
    });
  }

  // the way up

  #try(forward: Forwarding): void {
    const first = this.#tries.count === 0;
    const now = first && !this.#waited ? this.#startedAt : this.#context.clock.monotonic();
    if (!this.#tries.next(forward, now)) this.#fail(first ? 503 : this.#lastStatus);
  }

  onPending(deadline: number): void {
    this.#phase = "pending";
    this.#deadlines.waitUntil(deadline);
  }

  #waitedInVain(): void {
    this.#tries.waitedInVain();
    this.#fail(503);
  }

  onConnecting(deadline: number): void {
    this.#phase = "connecting";
    this.#deadlines.waitUntil(deadline);
  }

  onNoChannel(): void {
    this.onFailure("connect");
  }

  onChannel(upstream: UpstreamChannel, now: number): void {
    const { forward, chain } = this.#plan ?? {};
    if (forward === undefined || chain === undefined) return;
    this.#phase = "waiting";
    const request = this.#request;
    const { framing } = this.#upload;
    const head = upstreamHead(framing === request.framing ? request : { ...request, framing }, {
      target: chain.request.target,
      host: this.#tries.host,
      client: this.#client,
      requestId: this.#requestId,
      set:
        this.#trace === undefined
          ? chain.requestHeaders
          : [...chain.requestHeaders, ...traceHeaders(this.#trace, this.#tries.spanId ?? this.#trace.spanId)],
      underscores: this.#context.table.settings.underscoresInHeaders,
      connection: forward.connectionHeader,
    });
    this.#expectProgress(now);
    this.#upload.begin(upstream, head, this);
  }

  #expectProgress(now: number): void {
    this.#deadlines.expect({
      now,
      bodySent: this.#upload.body.done,
      tryStartedAt: this.#phase === "waiting" ? this.#tries.startedAt : undefined,
    });
  }

  onDrain(): void {
    this.#upload.drained();
  }

  // the way down

  onInformational(response: Http1Response): void {
    this.#expectProgress(this.#context.clock.monotonic());
    // 100 was answered here already
    if (response.status !== 100) this.#down.informational({ ...outgoingHead(response, noHeaders, undefined), framing: noBody });
  }

  onHead(response: Http1Response): void {
    const now = this.#context.clock.monotonic();
    if (response.status >= 400 && this.#retriesStatus(response.status, now)) return;
    this.#readAt = now;
    this.#tries.answered(now, response.status);
    this.#phase = "responding";
    this.#upload.body.forget();
    if (this.#isHeld) this.#hold();
    this.#deadlines.progressed(now);
    this.#response.head(response, this.#tries.setCookie);
  }

  onBody(bytes: Buffer): void {
    if (this.#phase !== "responding" || this.#response.body(bytes)) return;
    this.#tries.channel?.pause();
    this.#stalled = true;
    this.#hold();
  }

  onTrailers(text: string): void {
    this.#trailers = safeTrailers(text);
  }

  onBatchEnd(): void {
    // a piece of a head is no progress: it has to be whole in the time for an answer
    if (this.#phase !== "responding") return;
    this.#readAt = undefined;
    this.#deadlines.progressed(this.#context.clock.monotonic());
    this.#response.flush();
  }

  onComplete(): void {
    const now = this.#readAt ?? this.#context.clock.monotonic();
    this.#tries.completed(this.#upload.sent, now);
    this.#response.complete(this.#trailers, now);
  }

  onSwitched(response: Http1Response, connection: Connection, rest: Buffer | undefined): void {
    this.#response.endWith(101);
    this.#tries.detached();
    this.#phase = "responding";
    this.#deadlines.stop();
    // limits count a tunnel as long as it is open
    this.#down.switched(response, connection, rest, { idleMs: this.#deadlines.idleMs, onClosed: () => this.clientGone() });
  }

  onFailure(failure: UpstreamFailure): void {
    this.#tries.detached();
    this.#retryOr(failure, 502);
  }

  /** What comes after has room again. */
  drained(): void {
    if (this.#phase !== "responding") return;
    this.#deadlines.progressed(this.#context.clock.monotonic());
    if (this.#stalled) {
      this.#stalled = false;
      this.#hold();
    }
    this.#tries.channel?.resume();
  }

  /** A step of the response sends what it held. */
  progressed(): void {
    if (this.#phase === "responding") this.#deadlines.progressed(this.#context.clock.monotonic());
  }

  /** What is only kept to be sent again is forgotten; a request that cannot go on without what it holds fails. */
  letGo(): void {
    if (this.#stalled || this.#upload.paused || this.#tries.channel === undefined) this.#fail(503);
    else {
      this.#upload.body.forget();
      this.#hold();
    }
  }

  #hold(): void {
    if (this.#phase === "done") return;
    const bytes = this.#upload.heldBytes + (this.#stalled ? waitingBytes + this.#down.queuedBytes : 0);
    this.#isHeld = bytes > 0;
    this.#context.held.set(this, bytes);
  }

  /** A step of the response answers by itself. */
  cancel(): void {
    this.#tries.drop();
  }

  // another try

  #spent(now: number): SpentTry {
    return {
      method: this.#request.method,
      replayable: this.#upload.body.kept !== undefined,
      tries: this.#tries.count,
      elapsedMs: now - this.#startedAt,
    };
  }

  /** The answer is one that asks for another endpoint, and there may be one. */
  #retriesStatus(status: number, now: number): boolean {
    const forward = this.#plan?.forward;
    if (forward?.retry === undefined || !this.#tries.othersLeft) return false;
    if (!this.#affords(afterStatus(forward, this.#spent(now), status), now)) return false;
    this.#lastStatus = status;
    this.#tries.rejected(status);
    this.#context.metrics.retries++;
    this.#try(forward);
    return true;
  }

  #retryOr(failure: UpstreamFailure | "timeout", status: number): void {
    if (this.#phase === "responding" || this.#phase === "done") {
      if (this.#phase === "responding") this.#context.metrics.upstreamFailures++;
      this.#fail(status);
      return;
    }
    const rested = (failure === "closed" || failure === "unasked") && this.#tries.reused && this.#phase === "waiting";
    const stale = rested || (failure === "goaway" && this.#tries.mayAskAgain);
    this.#lastStatus = status;
    const now = this.#context.clock.monotonic();
    if (!stale) {
      this.#context.metrics.upstreamFailures++;
      this.#tries.failed(now);
    }
    const forward = this.#plan?.forward;
    if (forward === undefined || !this.#affords(afterFailure(forward, this.#spent(now), { failure, stale }), now)) {
      this.#fail(status);
      return;
    }
    this.#context.metrics.retries++;
    if (stale) this.#tries.again(forward, now);
    else this.#try(forward);
  }

  #affords(verdict: RetryVerdict, now: number): boolean {
    const { pool } = this.#tries;
    return verdict === "yes" || (verdict === "budget" && (pool === undefined || this.#context.picker.mayRetry(pool, now)));
  }

  // the end

  #fail(status: number): void {
    if (this.#phase === "done") return;
    this.#tries.drop();
    if (this.#phase === "responding") this.#response.abort();
    else this.#reply({ status, headers: [], by: "proxy" });
  }

  /** An answer made here; it goes the way of all responses. */
  #reply(reply: Reply): void {
    this.#phase = "responding";
    const now = this.#context.clock.monotonic();
    this.#deadlines.progressed(now);
    this.#response.reply(reply, now);
  }

  #finish(now: number | undefined): void {
    if (this.#phase === "done") return;
    this.#phase = "done";
    this.#deadlines.stop();
    this.#response.close();
    this.#tries.drop();
    if (this.#isHeld) this.#context.held.set(this, 0);
    this.#upload.close();
    const releases = this.#plan?.chain?.releases;
    if (releases !== undefined) for (const release of releases) release();
    const endedAt = now ?? this.#context.clock.monotonic();
    recordExchange(this.#context, {
      request: this.#request,
      requestId: this.#requestId,
      client: this.#client,
      user: this.#plan?.chain?.user ?? "",
      route: this.#plan?.route,
      tries: this.#tries,
      status: this.#response.status,
      requestBytes: this.#upload.body.bytes,
      responseBytes: this.#response.bytes,
      endedAt,
      trace: this.#trace,
      milliseconds: endedAt - this.#startedAt,
    });
  }
}
