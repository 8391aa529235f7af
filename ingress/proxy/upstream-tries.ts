import { fillText, type TextPart } from "../route/request-text.ts";
import type { Forwarding, Pool, PoolEndpoint } from "../route/route.ts";
import type { UpstreamAddress } from "../upstream/connection.ts";
import { endpointKey, type Picked } from "../upstream/endpoint-picker.ts";
import type { UpstreamChannel } from "../upstream/upstream-channel.ts";
import { UpstreamConnection } from "../upstream/upstream-connection.ts";
import type { PendingConnect } from "../upstream/upstream-pool.ts";
import type { LimitReason, ProxyContext } from "./context.ts";
import type { IncomingRequest } from "./downstream.ts";
import { chooseEndpoint, upstreamAddress } from "./endpoint-choice.ts";
import type { ClientIdentity } from "./forwarded.ts";
import { textSource } from "./text-source.ts";
import { isIdempotent } from "./upstream-request.ts";

/** A request that may not be sent twice takes only a connection that rested less than this. */
const freshMs = 1_000;

/** So often one request goes to the same endpoint again, over another connection. */
const mostAgain = 3;

const none: ReadonlySet<string> = new Set();

/** Who waits for the way to an endpoint. */
export interface TriesOwner {
  /** No endpoint has room: it waits for one until `deadline` (monotonic). */
  onPending(deadline: number): void;
  /** A new connection is being made: it has until `deadline`. */
  onConnecting(deadline: number): void;
  onChannel(channel: UpstreamChannel, now: number): void;
  onNoChannel(): void;
}

/** What is asked, and by whom. */
export interface Asked {
  readonly request: IncomingRequest;
  readonly client: ClientIdentity;
  readonly requestId: string;
}

/** One try, as its span tells of it. Times are monotonic. */
export interface TryRecord {
  readonly spanId: string;
  readonly endpoint: PoolEndpoint;
  readonly startedAt: number;
  endedAt: number;
  /** Of the endpoint's answer; 0 where there was none. */
  status: number;
  failed: boolean;
}

/** The tries of one request: which endpoint each goes to, the way there, and which are left. */
export class UpstreamTries {
  /** Tries begun. */
  count = 0;
  /** When the last of them began. */
  startedAt = 0;
  /** When its channel was there. */
  channelAt = 0;
  /** When its endpoint began to answer; 0 before. */
  answeredAt = 0;
  pool: Pool | undefined;
  /** The endpoint that was asked last. */
  endpoint: PoolEndpoint | undefined;
  setCookie: string | undefined;
  /** What endpoints are asked for. */
  host = "";
  /** The channel had served another request before. */
  reused = false;
  refusal: LimitReason | undefined;
  /** All of them, where they are traced. */
  records: TryRecord[] | undefined;
  #newSpanId: (() => string) | undefined;
  #leaveQueue: (() => void) | undefined;
  readonly #context: ProxyContext;
  readonly #request: IncomingRequest;
  readonly #client: ClientIdentity;
  readonly #requestId: string;
  readonly #owner: TriesOwner;
  #picked: Picked | undefined;
  #tried: ReadonlySet<string> = none;
  #pending: PendingConnect | undefined;
  #channel: UpstreamChannel | undefined;
  #again = 0;

  constructor(context: ProxyContext, asked: Asked, owner: TriesOwner) {
    this.#context = context;
    this.#request = asked.request;
    this.#client = asked.client;
    this.#requestId = asked.requestId;
    this.#owner = owner;
  }

  /** The way to the endpoint of this try, once it is there. */
  get channel(): UpstreamChannel | undefined {
    return this.#channel;
  }

  /** Each try from now on has a span of its own. */
  trace(newSpanId: () => string): void {
    this.records = [];
    this.#newSpanId = newSpanId;
  }

  /** Of the try that is under way; undefined where tries are not traced. */
  get spanId(): string | undefined {
    return this.records?.at(-1)?.spanId;
  }

  /** Goes to the next endpoint, or waits for one that has room; false when there is none. */
  next(forward: Forwarding, now: number): boolean {
    return this.#begin(forward, now) || this.#wait(forward, now);
  }

  #wait(forward: Forwarding, now: number): boolean {
    const { pool } = this;
    if (pool?.limits === undefined || !this.#context.picker.waitsForRoom(pool, this.#tried)) return false;
    this.drop();
    this.#leaveQueue = this.#context.pending.enter(pool, () => this.#begin(forward, this.#context.clock.monotonic()));
    if (this.#leaveQueue === undefined) {
      this.#refuse("pending-full");
      return false;
    }
    this.#owner.onPending(now + pool.limits.pendingSeconds * 1000);
    return true;
  }

  /** It has waited for an endpoint as long as it may. */
  waitedInVain(): void {
    this.#refuse("pending-timeout");
  }

  #refuse(reason: LimitReason): void {
    this.refusal = reason;
    this.#context.metrics.refused[reason]++;
  }

  #begin(forward: Forwarding, now: number): boolean {
    if (this.host === "") this.host = this.#hostFor(forward);
    const state = {
      request: this.#request,
      client: this.#client,
      requestId: this.#requestId,
      pool: this.pool,
      tried: this.#tried,
      now,
    };
    const choice = chooseEndpoint(this.#context, forward, state);
    this.pool = choice?.pool;
    this.setCookie = choice?.setCookie ?? this.setCookie;
    const picked = choice?.picked;
    if (picked === undefined) return false;
    this.count++;
    this.startedAt = now;
    this.#enter(picked);
    const address = upstreamAddress(picked, forward, this);
    if (isHttp2(forward)) {
      this.#open(address, forward, now);
      return true;
    }
    const idle = this.#context.pool.take(address, now, isIdempotent(this.#request.method) ? Number.POSITIVE_INFINITY : freshMs);
    if (idle === undefined) this.#connect(address, forward, now);
    else {
      this.reused = true;
      this.#connected(idle, now);
    }
    return true;
  }

  get mayAskAgain(): boolean {
    return this.#again < mostAgain;
  }

  /** The same endpoint again, on a new connection: the old one had been closed while it rested, or takes no more requests. */
  again(forward: Forwarding, now: number): void {
    this.#again++;
    const picked = this.#picked;
    if (picked === undefined) return;
    this.#abandon();
    picked.load.inFlight++;
    this.#record(picked.endpoint, now);
    const address = upstreamAddress(picked, forward, this);
    if (isHttp2(forward)) this.#open(address, forward, now);
    else this.#connect(address, forward, now);
  }

  /** The endpoint of this try answered. */
  answered(now: number, status: number): void {
    this.answeredAt = now;
    this.#told(status);
    if (this.#picked !== undefined) this.#context.picker.answered(this.#picked, this.startedAt, now);
  }

  /** The endpoint of this try failed: others are left alone with it for a while. */
  failed(now: number): void {
    const record = this.records?.at(-1);
    if (record !== undefined) record.failed = true;
    if (this.#picked !== undefined) this.#context.picker.failed(this.#picked, now);
    this.passOver();
  }

  /** The endpoint's answer is not handed on: this request asks it no more. */
  rejected(status: number): void {
    this.#told(status);
    this.passOver();
  }

  #told(status: number): void {
    const record = this.records?.at(-1);
    if (record !== undefined) record.status = status;
  }

  /** This request asks the endpoint of this try no more. */
  passOver(): void {
    if (this.#picked !== undefined) this.#tried = new Set(this.#tried).add(endpointKey(this.#picked.endpoint));
  }

  /** True when the pool has endpoints that this request has not tried, but for the one of this try. */
  get othersLeft(): boolean {
    const { endpoint } = this;
    return this.pool?.endpoints.some((e) => e !== endpoint && !this.#tried.has(endpointKey(e))) ?? false;
  }

  /** True while the door of one of these endpoints is being knocked at. */
  knocksAt(endpoints: ReadonlySet<string>): boolean {
    return this.#pending !== undefined && this.endpoint !== undefined && endpoints.has(endpointKey(this.endpoint));
  }

  /** The response has come to its end; the channel can serve others if `reusable`. */
  completed(reusable: boolean, now: number): void {
    const channel = this.#channel;
    this.#channel = undefined;
    if (channel === undefined) return;
    // an answer before the end of the question: neither connection is in a known state (RFC 9112 section 9.3)
    if (!reusable) channel.abort();
    else if (channel instanceof UpstreamConnection) this.#context.pool.release(channel, now);
  }

  /** The channel is gone, or belongs to another now. */
  detached(): void {
    this.#channel = undefined;
  }

  /** Ends what is under way. */
  drop(): void {
    this.#leaveQueue?.();
    this.#leaveQueue = undefined;
    if (this.#picked !== undefined) this.#abandon();
    this.#picked = undefined;
  }

  #hostFor({ host }: Forwarding): string {
    return host === undefined ? this.#request.authority : this.fill(host);
  }

  /** A text of the route, filled from the request. */
  fill(text: readonly TextPart[]): string {
    return fillText(text, textSource(this.#request, this.#client, { requestId: this.#requestId, clock: this.#context.clock }));
  }

  #enter(picked: Picked): void {
    if (this.#picked !== undefined) this.#abandon();
    this.#picked = picked;
    this.endpoint = picked.endpoint;
    picked.load.inFlight++;
    this.#record(picked.endpoint, this.startedAt);
  }

  #record(endpoint: PoolEndpoint, startedAt: number): void {
    if (this.#newSpanId === undefined) return;
    const before = this.records?.at(-1);
    if (before !== undefined) before.endedAt = Math.min(before.endedAt, startedAt);
    this.records?.push({ spanId: this.#newSpanId(), endpoint, startedAt, endedAt: startedAt, status: 0, failed: false });
  }

  #abandon(): void {
    this.#pending?.cancel();
    this.#pending = undefined;
    this.#channel?.abort();
    this.#channel = undefined;
    const record = this.records?.at(-1);
    if (record !== undefined) record.endedAt = this.#context.clock.monotonic();
    if (this.#picked === undefined) return;
    this.#picked.load.inFlight--;
    if (this.pool !== undefined) this.#context.pending.roomIn(this.pool.id);
  }

  #connect(address: UpstreamAddress, forward: Forwarding, now: number): void {
    this.#await(forward, now, (onReady, onError) => this.#context.pool.connect(address, onReady, onError));
  }

  /** A stream on a session that may be there already. */
  #open(address: UpstreamAddress, forward: Forwarding, now: number): void {
    this.#await(forward, now, (onReady, onError) => this.#context.http2.open(address, now, { onReady, onError }));
  }

  #await(forward: Forwarding, now: number, start: (onReady: (c: UpstreamChannel) => void, onError: () => void) => PendingConnect): void {
    this.reused = false;
    this.#owner.onConnecting(now + forward.timeouts.connectSeconds * 1000);
    let settled = false;
    try {
      const pending = start(
        (c) => {
          settled = true;
          this.#pending = undefined;
          if (this.#picked === undefined) c.abort();
          else this.#connected(c, this.#context.clock.monotonic());
        },
        () => {
          settled = true;
          this.#pending = undefined;
          if (this.#picked !== undefined) this.#owner.onNoChannel();
        },
      );
      if (!settled) this.#pending = pending;
    } catch {
      // certificates of the route that cannot be used: no endpoint can be reached on its terms
      this.#owner.onNoChannel();
    }
  }

  #connected(channel: UpstreamChannel, now: number): void {
    this.channelAt = now;
    this.#channel = channel;
    this.#owner.onChannel(channel, now);
  }
}

function isHttp2({ protocol }: Forwarding): boolean {
  return protocol === "grpc" || protocol === "grpcs";
}
