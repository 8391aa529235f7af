import type { ResponseSink, UpstreamChannel, UpstreamHead } from "../upstream/upstream-channel.ts";
import type { BodyFraming } from "../upstream/wire/body-framing.ts";
import { BodySpool } from "./body-spool.ts";
import type { ProxyContext } from "./context.ts";
import type { Downstream, IncomingRequest } from "./downstream.ts";
import { leastHeld, waitingBytes } from "./held-bytes.ts";
import { RequestBody } from "./request-body.ts";

/** In memory of one request's body, where it is asked to be read before an endpoint is: what is longer waits on a disk. */
const bufferedBytes = 1024 * 1024;
/** Bodies read so at once; past it, they go on as they come. */
const mostBuffering = 128;
/** What endpoint and client have on the way of a body that the endpoint does not take. */
const pausedBytes = 64 * 1024 + waitingBytes;

/** Whose request it is. */
export interface UploadOwner {
  /** Where the body goes; undefined until an endpoint is there. */
  readonly channel: UpstreamChannel | undefined;
  /** The body that was to be read first is there. */
  onBodyReady(): void;
  /** Some of it has gone to the endpoint. */
  onBodyMoved(): void;
  /** `heldBytes` is another. */
  onBodyHeld(): void;
  /** It cannot go on; with the status that says why. */
  onBodyFailed(status: number): void;
}

/**
 * The way of a request's body from its client to the endpoint, no faster than that takes it; by memory and a disk where it is to be
 * whole first.
 */
export class RequestUpload {
  readonly body: RequestBody;
  readonly #context: ProxyContext;
  readonly #framing: BodyFraming;
  readonly #down: Downstream;
  readonly #owner: UploadOwner;
  /** The client is not read: the endpoint, or the disk, has no room. */
  #paused = false;
  /** The body is read before an endpoint is asked. */
  #buffers = false;
  /** The body follows from a disk: its end has not been sent. */
  #spooling = false;
  /** Goes on with that once the endpoint has room. */
  #onRoom: (() => void) | undefined;
  #closed = false;

  constructor(context: ProxyContext, request: IncomingRequest, down: Downstream, owner: UploadOwner) {
    this.#context = context;
    this.#framing = request.framing;
    this.body = new RequestBody(request.framing);
    this.#down = down;
    this.#owner = owner;
  }

  /** The client has sent all of it, and the endpoint was given all of it. */
  get sent(): boolean {
    return this.body.done && !this.#spooling;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** What this process holds of it that counts. */
  get heldBytes(): number {
    const { keptBytes } = this.body;
    return (keptBytes < leastHeld ? 0 : keptBytes) + (this.#paused ? pausedBytes : 0);
  }

  /** As the endpoint is told of it: what has been read wholly has a length, which more endpoints understand than chunks. */
  get framing(): BodyFraming {
    const { bytes, done, trailers } = this.body;
    return this.#buffers && done && this.#framing.kind === "chunked" && trailers === "" ? { kind: "length", bytes } : this.#framing;
  }

  /** True: no endpoint is to be asked before the body is there. False: it is, or too many wait so already. */
  awaitWhole(mostKept = bufferedBytes): boolean {
    if (this.body.done || this.#context.buffering >= mostBuffering) return false;
    this.body.mostKept = Math.min(bufferedBytes, mostKept);
    this.body.spool = new BodySpool(this.#context.spools);
    this.#context.buffering++;
    this.#buffers = true;
    this.resume();
    this.#down.continue();
    return true;
  }

  /** Bytes of the body, decoded from their transfer coding; `limit` 0: none. */
  take(bytes: Buffer, limit: number): void {
    const refused = this.body.count(bytes.length, limit);
    if (refused !== undefined) {
      this.#owner.onBodyFailed(refused);
      return;
    }
    const { channel } = this.#owner;
    this.body.keep(bytes, channel !== undefined);
    if (channel !== undefined) this.#send(channel, bytes);
    else if (this.body.spool !== undefined) this.#waitForDisk(this.body.spool);
    else if (this.body.full) this.#pause();
    if (this.body.keptBytes >= leastHeld) this.#owner.onBodyHeld();
  }

  /** The body has ended where it was announced to. */
  end(): void {
    const { channel } = this.#owner;
    if (channel !== undefined) this.#sendEnd(channel);
    else if (this.#buffers) this.#offerWhole();
  }

  /** Sends the head, and what there is of the body; the rest follows as it comes. */
  begin(upstream: UpstreamChannel, head: UpstreamHead, sink: ResponseSink): void {
    this.resume();
    if (this.#framing.kind === "none") {
      upstream.begin(head, sink);
      return;
    }
    upstream.cork();
    upstream.begin(head, sink);
    for (const bytes of this.body.kept ?? []) this.#send(upstream, bytes);
    const { spool } = this.body;
    this.#spooling = spool !== undefined && spool.size > 0;
    if (spool !== undefined && this.#spooling) void this.#sendSpooled(upstream, spool);
    else if (this.body.done) this.#sendEnd(upstream);
    upstream.uncork();
    if (!this.body.done) this.#down.continue();
  }

  /** The endpoint has room again. */
  drained(): void {
    this.resume();
    this.#onRoom?.();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#down.resumeRequest();
    this.#owner.onBodyHeld();
  }

  /** The exchange is over. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#buffers) this.#context.buffering--;
    this.body.spool?.close();
  }

  #pause(): void {
    if (this.#paused || this.body.done) return;
    this.#paused = true;
    this.#down.pauseRequest();
    this.#owner.onBodyHeld();
  }

  /** No more is read of a client than the disk takes. */
  #waitForDisk(spool: BodySpool): void {
    if (spool.failed) this.#owner.onBodyFailed(503);
    else if (spool.isBehind && !this.#paused) {
      this.#pause();
      void spool.written().then(() => this.resume());
    }
  }

  /** What was waited for is there, once the disk has its part. */
  #offerWhole(): void {
    const { spool } = this.body;
    if (spool === undefined || spool.size === 0) this.#owner.onBodyReady();
    else void spool.written().then(() => (spool.failed ? this.#owner.onBodyFailed(503) : this.#owner.onBodyReady()));
  }

  #send(upstream: UpstreamChannel, bytes: Buffer): void {
    if (!upstream.sendBody(bytes)) this.#pause();
    this.#owner.onBodyMoved();
  }

  #sendEnd(upstream: UpstreamChannel): void {
    upstream.sendEnd(this.body.trailers);
    this.#owner.onBodyMoved();
  }

  /** What waits on a disk, after what was kept in memory, as fast as the endpoint takes it. */
  async #sendSpooled(upstream: UpstreamChannel, spool: BodySpool): Promise<void> {
    const isOver = (): boolean => this.#owner.channel !== upstream || this.#closed;
    for (let at = 0; at < spool.size; ) {
      const bytes = await spool.read(at).catch(() => undefined);
      if (isOver()) return;
      if (bytes === undefined) {
        this.#owner.onBodyFailed(503);
        return;
      }
      at += bytes.length;
      const room = Promise.withResolvers<void>();
      this.#onRoom = room.resolve;
      if (!upstream.sendBody(bytes)) await room.promise;
      if (isOver()) return;
      this.#owner.onBodyMoved();
    }
    this.#spooling = false;
    this.#sendEnd(upstream);
  }
}
