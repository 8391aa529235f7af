import { affinityCookie, affinityValue } from "../balance/affinity.ts";
import type { Reply } from "../filter/outcome.ts";
import { backendsFor, pickBackend } from "../route/backend-choice.ts";
import { cookieValue, headerValue, normalizeHost } from "../route/request-head.ts";
import type { Forwarding, HashBalance, Pool, PoolEndpoint, RetryOn, RetryPolicy } from "../route/route.ts";
import type { Connection, UpstreamAddress } from "../upstream/connection.ts";
import { endpointKey, type HashChoice, type Picked } from "../upstream/endpoint-picker.ts";
import type { ResponseSink, UpstreamChannel, UpstreamFailure } from "../upstream/upstream-channel.ts";
import { UpstreamConnection } from "../upstream/upstream-connection.ts";
import type { PendingConnect } from "../upstream/upstream-pool.ts";
import { type BodyFraming, noBody } from "../upstream/wire/body-framing.ts";
import type { Http1Response } from "../upstream/wire/response-parser.ts";
import type { ProxyContext } from "./context.ts";
import type { Downstream, IncomingRequest } from "./downstream.ts";
import { type ClientIdentity, clientIdentity } from "./forwarded.ts";
import { grpcReply, grpcTimeoutMs, isGrpc } from "./grpc.ts";
import { requestHash } from "./hash-key.ts";
import { safeTrailers } from "./hop-headers.ts";
import { sendMirror } from "./mirror.ts";
import { outgoingHead, ownResponse } from "./outgoing-response.ts";
import { planRequest, type RequestPlan } from "./request-plan.ts";
import { reasonOf } from "./status-page.ts";
import { isIdempotent, upstreamHead } from "./upstream-request.ts";

/** Bytes of a request body kept until the response begins, so that it can be sent to another endpoint. */
const maxReplayBytes = 64 * 1024;
/** A request that may not be sent twice takes only a connection that rested less than this. */
const freshMs = 1_000;

const none: ReadonlySet<string> = new Set();
/** Stands for a body of which nothing has come: replaced, never added to. */
const noBuffers: Buffer[] = [];

/** A slow-down ends by itself: it holds nothing that would have to be let go. */
const throttleLife = new AbortController().signal;

/** As ingress-nginx: proxy-next-upstream "error timeout". */
const defaultRetry: RetryPolicy = { on: ["error", "timeout"], nonIdempotent: false, withinSeconds: 0 };

function retryWord(failure: UpstreamFailure | "timeout"): RetryOn {
  return failure === "timeout" ? "timeout" : failure === "malformed" ? "invalid_header" : "error";
}

type Phase = "planning" | "connecting" | "waiting" | "responding" | "done";

/** One request from its head to the end of its response, whatever protocol the client speaks. */
export class Exchange implements ResponseSink {
  readonly #context: ProxyContext;
  readonly #request: IncomingRequest;
  readonly #down: Downstream;
  readonly #client: ClientIdentity;
  readonly #requestId: string;
  readonly #startedAt: number;
  #phase: Phase = "planning";
  #plan: RequestPlan | undefined;
  /** The plan was not made at once: time has passed since the start. */
  #waited = false;
  #deadline = Number.POSITIVE_INFINITY;
  /** The end of all tries and of the response. */
  #overallDeadline = Number.POSITIVE_INFINITY;
  // the request body
  #bodyDone = false;
  #bodyBytes = 0;
  #kept: Buffer[] | undefined = noBuffers;
  #keptBytes = 0;
  #requestPaused = false;
  #requestTrailers = "";
  // the endpoint
  #pending: PendingConnect | undefined;
  #upstream: UpstreamChannel | undefined;
  #pool: Pool | undefined;
  #picked: Picked | undefined;
  #lastEndpoint: PoolEndpoint | undefined;
  #reused = false;
  #tries = 0;
  #triedAt = 0;
  #lastStatus = 502;
  #tried: ReadonlySet<string> = none;
  #setCookie: string | undefined;
  #trailers = "";
  // the response
  /** When the bytes in hand were read; the clock is asked once for all of them. */
  #readAt: number | undefined;
  #status = 0;
  #responseBytes = 0;
  #downFull = false;
  /** Held back by a limit of bytes a second. */
  #throttled = false;
  #rateStartedAt: number | undefined;

  constructor(context: ProxyContext, request: IncomingRequest, down: Downstream) {
    this.#context = context;
    this.#request = request;
    this.#down = down;
    this.#startedAt = context.clock.monotonic();
    this.#bodyDone = request.framing.kind === "none" || (request.framing.kind === "length" && request.framing.bytes === 0);
    this.#overallDeadline =
      this.#startedAt + ((isGrpc(request.fields) ? grpcTimeoutMs(request.fields) : undefined) ?? Number.POSITIVE_INFINITY);
    this.#client = clientIdentity(request, request.fields, context.trustedProxies);
    this.#requestId = context.requestIds.of(request.fields);
  }

  /** True once the whole request has been read: only then may the connection carry another. */
  get requestComplete(): boolean {
    return this.#bodyDone;
  }

  get done(): boolean {
    return this.#phase === "done";
  }

  start(): void {
    const context = this.#context;
    const plan = planRequest(context.table, this.#request, this.#client, {
      now: this.#startedAt,
      httpsPort: context.httpsPortBeside(this.#request.localPort),
      limits: context.limits,
      passwords: context.passwords,
      authority: context.authority,
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
    this.#bodyBytes += bytes.length;
    const limit = this.#plan?.chain?.bodyLimit ?? 0;
    if (limit > 0 && this.#bodyBytes > limit) {
      this.#fail(413);
      return;
    }
    const { framing } = this.#request;
    if (framing.kind === "length" && this.#bodyBytes > framing.bytes) {
      // more than announced would be read as the next request by the endpoint
      this.#fail(400);
      return;
    }
    if (this.#kept !== undefined) {
      if (this.#upstream !== undefined && this.#keptBytes + bytes.length > maxReplayBytes) this.#kept = undefined;
      else {
        if (this.#kept === noBuffers) this.#kept = [];
        this.#kept.push(Buffer.from(bytes));
        this.#keptBytes += bytes.length;
      }
    }
    if (this.#upstream !== undefined) this.#sendBody(this.#upstream, bytes);
    else if (this.#keptBytes >= maxReplayBytes) this.#pauseRequest();
  }

  /** Lines of the request's trailers, before bodyEnd. */
  bodyTrailers(text: string): void {
    this.#requestTrailers = safeTrailers(text);
  }

  bodyEnd(): void {
    if (this.#bodyDone || this.#phase === "done") return;
    const { framing } = this.#request;
    if (framing.kind === "length" && this.#bodyBytes < framing.bytes) {
      this.#fail(400);
      return;
    }
    this.#bodyDone = true;
    if (this.#plan?.forward?.mirror?.withBody === true) this.#mirror(this.#plan.forward);
    if (this.#upstream !== undefined) this.#sendBodyEnd(this.#upstream);
  }

  /** The client has room again. */
  drained(): void {
    if (this.#phase === "responding") this.#touch(this.#context.clock.monotonic());
    this.#downFull = false;
    if (!this.#throttled) this.#upstream?.resume();
  }

  /** The client is gone. */
  clientGone(): void {
    if (this.#phase === "done") return;
    this.#status = this.#status === 0 ? 499 : this.#status;
    this.#dropUpstream();
    this.#finish();
  }

  /** An endpoint that left may never answer a knock: who still waits at its door tries the next at once. */
  endpointsGone(gone: ReadonlySet<string>): void {
    if (this.#phase === "connecting" && this.#picked !== undefined && gone.has(endpointKey(this.#picked.endpoint)))
      this.#retryOr("connect", 502);
  }

  /** Called now and then; `now` is monotonic. */
  sweep(now: number): void {
    if (now >= this.#overallDeadline && this.#phase !== "done") {
      this.#fail(504);
      return;
    }
    if (now < this.#deadline || this.#phase === "done") return;
    if (this.#phase === "connecting") this.#retryOr("connect", 504);
    else if (this.#phase === "waiting") this.#retryOr("timeout", 504);
    else if (this.#phase === "responding") this.#fail(504);
  }

  #act(plan: RequestPlan): void {
    this.#plan = plan;
    if (this.#phase === "done") {
      for (const release of plan.chain?.releases ?? []) release();
      return;
    }
    if (plan.reply !== undefined) {
      this.#reply(plan.reply);
      return;
    }
    const limit = plan.chain?.bodyLimit ?? 0;
    if (limit > 0 && this.#bodyBytes > limit) this.#fail(413);
    else {
      const mirror = plan.forward?.mirror;
      // one that carries the body waits for its end, and is sent there (see bodyEnd)
      if (plan.forward !== undefined && mirror !== undefined && (this.#bodyDone || !mirror.withBody)) this.#mirror(plan.forward);
      this.#try();
    }
  }

  #mirror(forward: Forwarding): void {
    const { mirror } = forward;
    const chain = this.#plan?.chain;
    const body = mirror?.withBody === true ? this.#kept : noBuffers;
    if (mirror === undefined || chain === undefined || body === undefined || (mirror.withBody && this.#keptBytes < this.#bodyBytes)) return;
    const bytes = mirror.withBody ? this.#bodyBytes : 0;
    const framing: BodyFraming = bytes > 0 ? { kind: "length", bytes } : noBody;
    const head = upstreamHead(
      { ...this.#request, framing, upgrade: undefined },
      {
        target: mirror.target ?? chain.request.target,
        host: mirror.host ?? this.#request.authority,
        client: this.#client,
        requestId: this.#requestId,
        set: chain.requestHeaders,
      },
    );
    sendMirror(this.#context, { ...forward, mirror }, { head, body });
  }

  // the way up

  #try(): void {
    const forward = this.#plan?.forward;
    if (forward === undefined) return;
    const now = this.#tries === 0 && !this.#waited ? this.#startedAt : this.#context.clock.monotonic();
    const picked = this.#pick(forward, now);
    if (picked === undefined) {
      this.#fail(this.#tries === 0 ? 503 : this.#lastStatus);
      return;
    }
    this.#picked = picked;
    this.#lastEndpoint = picked.endpoint;
    this.#tries++;
    this.#triedAt = now;
    picked.load.inFlight++;
    const address = this.#addressOf(picked, forward);
    if (forward.protocol === "grpc" || forward.protocol === "grpcs") {
      this.#open(address, forward, now);
      return;
    }
    const idle = this.#context.pool.take(address, now, isIdempotent(this.#request.method) ? Number.POSITIVE_INFINITY : freshMs);
    if (idle !== undefined) {
      this.#reused = true;
      this.#connected(idle, now);
    } else this.#connect(address, forward, now);
  }

  #connect(address: UpstreamAddress, forward: Forwarding, now: number): void {
    this.#wait(forward, now, (onReady, onError) => this.#context.pool.connect(address, onReady, onError));
  }

  /** A stream on a session that may be there already. */
  #open(address: UpstreamAddress, forward: Forwarding, now: number): void {
    this.#wait(forward, now, (onReady, onError) => this.#context.http2.open(address, now, { onReady, onError }));
  }

  #wait(forward: Forwarding, now: number, start: (onReady: (c: UpstreamChannel) => void, onError: () => void) => PendingConnect): void {
    this.#reused = false;
    this.#phase = "connecting";
    this.#deadline = now + forward.timeouts.connectSeconds * 1000;
    let settled = false;
    try {
      const pending = start(
        (c) => {
          settled = true;
          this.#pending = undefined;
          if (this.#phase === "done") c.abort();
          else this.#connected(c, this.#context.clock.monotonic());
        },
        () => {
          settled = true;
          this.#pending = undefined;
          if (this.#phase !== "done") this.onFailure("connect");
        },
      );
      if (!settled) this.#pending = pending;
    } catch {
      // certificates of the route that cannot be used: no endpoint can be reached on its terms
      this.onFailure("connect");
    }
  }

  #pick(forward: Forwarding, now: number): Picked | undefined {
    const { table, picker, random } = this.#context;
    const affinity = forward.affinity;
    const cookie = affinity === undefined ? undefined : cookieValue(this.#request.fields, affinity.cookie);
    const candidates = backendsFor(forward, this.#request.fields, table.pools);
    if (cookie !== undefined && (this.#tries === 0 || affinity?.changeOnFailure === false)) {
      for (const backend of candidates) {
        const pool = table.pools.get(backend.pool);
        const picked = pool === undefined ? undefined : picker.pickByCookie(pool, cookie, this.#tried);
        if (picked === undefined) continue;
        this.#pool = pool;
        return picked;
      }
    }
    // a pool that was chosen stays chosen while its endpoints are tried
    const chosen = this.#pool?.id ?? pickBackend(candidates, random())?.pool;
    const pool = chosen === undefined ? undefined : table.pools.get(chosen);
    if (pool === undefined) return undefined;
    this.#pool = pool;
    const picked = picker.pick(pool, {
      balance: forward.balance,
      tried: this.#tried,
      now,
      random: random(),
      ...(forward.hash === undefined ? {} : { hash: this.#hashChoice(forward.hash) }),
      ...(forward.maxRequestsPerEndpoint === undefined ? {} : { maxRequests: forward.maxRequestsPerEndpoint }),
    });
    if (picked !== undefined && affinity !== undefined) {
      this.#setCookie = affinityCookie(affinity, affinityValue(pool.id, picked.endpoint), this.#client.secure);
    }
    return picked;
  }

  #hashChoice(hash: HashBalance): HashChoice {
    const value = requestHash(hash, this.#request, this.#client);
    return { value, algorithm: hash.algorithm, ...(hash.bound === undefined ? {} : { bound: hash.bound }) };
  }

  #addressOf(picked: Picked, forward: Forwarding): UpstreamAddress {
    const { protocol, tls } = forward;
    if (protocol === "http" || protocol === "grpc") return picked.plain;
    const { ip, port } = picked.endpoint;
    const name = tls?.name ?? normalizeHost(forward.host ?? this.#request.authority);
    if (tls === undefined) return { ip, port, tls: true, serverName: name };
    return { ip, port, tls: true, tlsOptions: tls, expectedName: name, ...(tls.sendServerName ? { serverName: name } : {}) };
  }

  #connected(upstream: UpstreamChannel, now: number): void {
    const { forward, chain } = this.#plan ?? {};
    if (forward === undefined || chain === undefined) return;
    this.#upstream = upstream;
    this.#phase = "waiting";
    const request = this.#request;
    const head = upstreamHead(request, {
      target: chain.request.target,
      host: forward.host ?? request.authority,
      client: this.#client,
      requestId: this.#requestId,
      set: chain.requestHeaders,
    });
    this.#resumeRequest();
    if (request.framing.kind === "none") upstream.begin(head, this);
    else {
      upstream.cork();
      upstream.begin(head, this);
      for (const bytes of this.#kept ?? []) this.#sendBody(upstream, bytes);
      if (this.#bodyDone) this.#sendBodyEnd(upstream);
      upstream.uncork();
    }
    this.#expectProgress(forward, now);
    if (!this.#bodyDone) this.#down.continue();
  }

  #sendBody(upstream: UpstreamChannel, bytes: Buffer): void {
    if (!upstream.sendBody(bytes)) this.#pauseRequest();
    const forward = this.#plan?.forward;
    if (forward !== undefined) this.#expectProgress(forward, this.#context.clock.monotonic());
  }

  #sendBodyEnd(upstream: UpstreamChannel): void {
    upstream.sendEnd(this.#requestTrailers);
    const forward = this.#plan?.forward;
    if (forward !== undefined) this.#expectProgress(forward, this.#context.clock.monotonic());
  }

  #expectProgress(forward: Forwarding, now: number): void {
    const seconds = this.#bodyDone ? forward.timeouts.readSeconds : Math.max(forward.timeouts.sendSeconds, forward.timeouts.readSeconds);
    this.#deadline = now + seconds * 1000;
  }

  #pauseRequest(): void {
    if (this.#requestPaused || this.#bodyDone) return;
    this.#requestPaused = true;
    this.#down.pauseRequest();
  }

  #resumeRequest(): void {
    if (!this.#requestPaused) return;
    this.#requestPaused = false;
    this.#down.resumeRequest();
  }

  // the way down

  onDrain(): void {
    this.#resumeRequest();
  }

  onInformational(response: Http1Response): void {
    // 100 was answered here already
    if (response.status !== 100) this.#down.informational({ ...outgoingHead(response, [], undefined), framing: noBody });
  }

  onHead(response: Http1Response): void {
    const now = this.#context.clock.monotonic();
    if (this.#plan?.forward?.retry !== undefined && response.status >= 400 && this.#retriesStatus(response.status, now)) return;
    this.#readAt = now;
    if (this.#picked !== undefined) this.#context.picker.answered(this.#picked, this.#triedAt, now);
    this.#phase = "responding";
    this.#status = response.status;
    this.#kept = undefined;
    this.#touch(now);
    this.#down.head(outgoingHead(response, this.#plan?.chain?.responseHeaders ?? [], this.#setCookie));
  }

  onBody(bytes: Buffer): void {
    if (this.#phase !== "responding") return;
    this.#responseBytes += bytes.length;
    if (!this.#down.body(bytes)) {
      this.#downFull = true;
      this.#upstream?.pause();
    }
    const rate = this.#plan?.forward?.responseRate;
    if (rate !== undefined) this.#slowDown(rate);
  }

  /** Holds the endpoint back until what was sent so far is due. */
  #slowDown(rate: { readonly bytesPerSecond: number; readonly afterBytes: number }): void {
    const counted = this.#responseBytes - rate.afterBytes;
    if (counted <= 0 || this.#throttled) return;
    const { clock } = this.#context;
    const now = clock.monotonic();
    this.#rateStartedAt ??= now;
    const wait = this.#rateStartedAt + (counted / rate.bytesPerSecond) * 1000 - now;
    if (wait < 1) return;
    this.#throttled = true;
    this.#upstream?.pause();
    const goOn = (): void => {
      this.#throttled = false;
      if (this.#phase !== "responding") return;
      this.#touch(clock.monotonic());
      if (!this.#downFull) this.#upstream?.resume();
    };
    void clock.sleep(wait, throttleLife).then(goOn, goOn);
  }

  onTrailers(text: string): void {
    this.#trailers = safeTrailers(text);
  }

  onBatchEnd(): void {
    if (this.#phase === "done") return;
    this.#readAt = undefined;
    this.#touch(this.#context.clock.monotonic());
    this.#down.flush();
  }

  onComplete(): void {
    const upstream = this.#upstream;
    const now = this.#readAt ?? this.#context.clock.monotonic();
    this.#readAt = now;
    this.#upstream = undefined;
    // an answer before the end of the question: neither connection is in a known state (RFC 9112 section 9.3)
    if (upstream !== undefined) {
      if (!this.#bodyDone) upstream.abort();
      else if (upstream instanceof UpstreamConnection) this.#context.pool.release(upstream, now);
    }
    if (this.#phase === "done") return;
    this.#finish();
    this.#down.complete(this.#trailers, now);
  }

  onSwitched(response: Http1Response, connection: Connection, rest: Buffer | undefined): void {
    this.#status = 101;
    this.#upstream = undefined;
    this.#phase = "responding";
    this.#deadline = Number.POSITIVE_INFINITY;
    const idleMs = (this.#plan?.forward?.timeouts.readSeconds ?? 60) * 1000;
    // limits count a tunnel as long as it is open
    this.#down.switched(response, connection, rest, { idleMs, onClosed: () => this.clientGone() });
  }

  onFailure(failure: UpstreamFailure): void {
    this.#upstream = undefined;
    this.#context.metrics.upstreamFailures++;
    this.#retryOr(failure, 502);
  }

  /** The answer is one that asks for another endpoint, and there may be one. */
  #retriesStatus(status: number, now: number): boolean {
    const forward = this.#plan?.forward;
    const pool = this.#pool;
    const picked = this.#picked;
    if (forward?.retry === undefined || pool === undefined || picked === undefined || this.#kept === undefined) return false;
    const policy = forward.retry;
    if (!policy.on.some((on) => on === `http_${status}`) || !this.#mayRepeat(policy) || this.#tries >= forward.tries) return false;
    if (pool.endpoints.every((e) => this.#tried.has(endpointKey(e)) || e === picked.endpoint)) return false;
    if (!this.#hasTime(policy, now) || !this.#context.picker.mayRetry(pool, now)) return false;
    this.#dropUpstream();
    this.#lastStatus = status;
    this.#tried = new Set(this.#tried).add(endpointKey(picked.endpoint));
    this.#context.metrics.retries++;
    this.#try();
    return true;
  }

  #mayRepeat(policy: RetryPolicy): boolean {
    return policy.nonIdempotent || isIdempotent(this.#request.method);
  }

  #hasTime(policy: RetryPolicy, now: number): boolean {
    return policy.withinSeconds === 0 || now - this.#startedAt < policy.withinSeconds * 1000;
  }

  #retryOr(failure: UpstreamFailure | "timeout", status: number): void {
    const stale = failure === "closed" && this.#reused && this.#phase === "waiting";
    const picked = this.#picked;
    this.#dropUpstream();
    if (this.#phase === "responding") {
      this.#fail(status);
      return;
    }
    this.#lastStatus = status;
    const now = this.#context.clock.monotonic();
    if (picked !== undefined && !stale) {
      this.#context.picker.failed(picked, now);
      this.#tried = new Set(this.#tried).add(endpointKey(picked.endpoint));
    }
    const untouched = failure === "connect" || failure === "refused";
    const forward = this.#plan?.forward;
    const policy = forward?.retry ?? defaultRetry;
    const repeatable = this.#kept !== undefined && (untouched || (policy.on.includes(retryWord(failure)) && this.#mayRepeat(policy)));
    const wellSpent = untouched || stale || this.#pool === undefined || this.#context.picker.mayRetry(this.#pool, now);
    if (forward === undefined || !repeatable || (!stale && (this.#tries >= forward.tries || !this.#hasTime(policy, now) || !wellSpent))) {
      this.#fail(status);
      return;
    }
    this.#context.metrics.retries++;
    if (stale && picked !== undefined) {
      // the endpoint may be well: only the connection had been closed meanwhile
      picked.load.inFlight++;
      this.#picked = picked;
      this.#connect(this.#addressOf(picked, forward), forward, now);
    } else this.#try();
  }

  #touch(now: number): void {
    const seconds = this.#plan?.forward?.timeouts.readSeconds ?? 60;
    this.#deadline = now + seconds * 1000;
  }

  #dropUpstream(): void {
    this.#pending?.cancel();
    this.#pending = undefined;
    this.#upstream?.abort();
    this.#upstream = undefined;
    if (this.#picked !== undefined) {
      this.#picked.load.inFlight--;
      this.#picked = undefined;
    }
  }

  // the end

  #fail(status: number): void {
    if (this.#phase === "done") return;
    this.#dropUpstream();
    if (this.#phase === "responding") {
      this.#finish();
      this.#down.abort();
      return;
    }
    this.#reply({ status, headers: [], by: "proxy" });
  }

  #reply(reply: Reply): void {
    if (reply.status >= 400 && isGrpc(this.#request.fields)) {
      this.#status = reply.status;
      this.#finish();
      this.#down.head(grpcReply(reply.status, reasonOf(reply.status)));
      this.#down.complete("", this.#context.clock.monotonic());
      return;
    }
    const own = ownResponse(reply, {
      method: this.#request.method,
      date: new Date(this.#context.clock.now()),
      requestId: this.#requestId,
      set: this.#plan?.chain?.responseHeaders ?? [],
    });
    this.#status = reply.status;
    this.#responseBytes = own.body.length;
    this.#finish();
    this.#down.head(own.head);
    if (own.body.length > 0) this.#down.body(own.body);
    this.#down.complete("", this.#context.clock.monotonic());
  }

  #finish(): void {
    this.#phase = "done";
    this.#deadline = Number.POSITIVE_INFINITY;
    if (this.#picked !== undefined) this.#picked.load.inFlight--;
    const route = this.#plan?.route;
    const releases = this.#plan?.chain?.releases;
    if (releases !== undefined) for (const release of releases) release();
    const { clock, metrics, accessLog } = this.#context;
    const ms = (this.#readAt ?? clock.monotonic()) - this.#startedAt;
    metrics.request({
      route,
      service: this.#pool?.service ?? "",
      method: this.#request.method,
      status: this.#status,
      seconds: ms / 1000,
      responseBytes: this.#responseBytes,
    });
    accessLog?.({
      time: clock.now(),
      clientIp: this.#client.ip,
      method: this.#request.method,
      host: this.#request.authority,
      target: this.#request.target,
      protocol: this.#request.http2 ? "HTTP/2.0" : "HTTP/1.1",
      status: this.#status,
      requestBytes: this.#bodyBytes,
      responseBytes: this.#responseBytes,
      milliseconds: ms,
      route: route?.rule ?? "",
      service: this.#pool?.service ?? "",
      upstream: this.#lastEndpoint === undefined ? "" : endpointKey(this.#lastEndpoint),
      referer: headerValue(this.#request.fields, "referer") ?? "",
      userAgent: headerValue(this.#request.fields, "user-agent") ?? "",
      requestId: this.#requestId,
    });
    this.#picked = undefined;
  }
}
