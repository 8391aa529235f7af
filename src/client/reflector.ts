import type { Status } from "../api/types/meta-v1.generated.ts";
import { type BackoffPolicy, backoffDelay } from "../base/backoff.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import type { Running } from "../base/running.ts";
import { objectKey } from "../snapshot/cluster-snapshot.ts";
import { apiError, createClient, readText } from "./client.ts";
import { ApiError, ClientError, isGone } from "./errors.ts";
import { type KubeObject, type Resource, type Rev, resourcePath } from "./resource.ts";
import type { Transport } from "./transport.ts";
import { LineSplitter } from "./watch-lines.ts";

/** One object's change; for a delete, `object` is its last state. */
export interface Change<T> {
  readonly type: "put" | "delete";
  /** `namespace/name`, or `name`. */
  readonly key: string;
  readonly object: T;
  readonly rev: Rev;
}

/** Where objects go. Calls are synchronous, in the order of the resource's versions. */
export interface Sink<T> {
  /** All there is at `rev`; what is not among `items` is gone. */
  replace(items: readonly T[], rev: Rev): void;
  apply(e: Change<T>): void;
  /** Nothing changed up to `rev`. */
  bookmark(rev: Rev): void;
}

export interface ReflectorOptions {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: (() => number) | undefined;
  readonly backoff?: BackoffPolicy | undefined;
  /** A server that tells its watchers one after the other is asked to begin with this one (RFC 9218). */
  readonly urgent?: boolean | undefined;
  /** Longest event accepted; etcd's own limit for an object is 1.5 MiB. */
  readonly maxEventBytes?: number | undefined;
  /** Told of every failure before the wait; the reflector goes on by itself. */
  readonly onFailure?: ((error: unknown, retryInMs: number) => void) | undefined;
  /** The server gave a sign of life: an answer's head, or a part of its body. Called often. */
  readonly onHeard?: (() => void) | undefined;
}

/** A server that was away for long is found again within seconds: every minute without a view is a minute of stale rules. */
const defaultBackoff: BackoffPolicy = { first: 100, factor: 2, max: 10_000, jitter: 0.5 };
/** What is kept of an object; `text` is the JSON it came in, where it came alone: in it a word is found sooner than in the object. */
export type Project<T> = (object: unknown, text?: string) => T;

const initialEventsEnd = "k8s.io/initial-events-end";
/** Silence after which a server that does not know `sendInitialEvents` is taken for what it is. */
const initialSilenceMs = 10_000;
const minWatchSeconds = 300;
/** Time past the asked-for end of a watch until the connection is held to be dead. */
const graceMs = 30_000;
const defaultMaxEventBytes = 16 * 1024 * 1024;

/**
 * Keeps `to` equal to the resource's collection, for ever: a streamed list (WatchList) or, where the server has none,
 * a paged list, then a watch that is resumed at the last version. `ready` settles at the first full list, and rejects
 * only when it is closed before.
 */
export function startReflector<T>(t: Transport, of: Resource, project: Project<T>, to: Sink<T>, o: ReflectorOptions = {}): Running {
  const stop = new AbortController();
  const ready = Promise.withResolvers<void>();
  ready.promise.catch(() => undefined);
  const done = new Reflection(t, of, project, to, o, stop.signal, ready.resolve).run().finally(() => {
    ready.reject(new Error(`the reflector of ${of.plural} was closed before its first list`));
  });
  return {
    ready: ready.promise,
    async close() {
      stop.abort(new Error("closed"));
      await done;
    },
  };
}

type WatchEnd = { readonly kind: "ended" } | { readonly kind: "expired" } | { readonly kind: "unsupported" };

interface WatchEvent {
  readonly type: string;
  readonly object: KubeObject & { readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> } };
}

class Reflection<T> {
  readonly #transport: Transport;
  readonly #of: Resource;
  readonly #project: Project<T>;
  readonly #to: Sink<T>;
  readonly #o: ReflectorOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #signal: AbortSignal;
  readonly #synced: () => void;
  /** The version that everything up to has been given to the sink; undefined: a full list is needed. */
  #rev: Rev | undefined;
  #mode: "stream" | "list" = "stream";
  /** What was given to the sink in this try: a watch that brought something is no failure, however it ended. */
  #progress = 0;
  /** Events that came at all. */
  #seen = 0;

  constructor(
    transport: Transport,
    of: Resource,
    project: Project<T>,
    to: Sink<T>,
    o: ReflectorOptions,
    signal: AbortSignal,
    synced: () => void,
  ) {
    this.#transport = transport;
    this.#of = of;
    this.#project = project;
    this.#to = to;
    this.#o = o;
    this.#clock = o.clock ?? systemClock;
    this.#random = o.random ?? Math.random;
    this.#signal = signal;
    this.#synced = synced;
  }

  async run(): Promise<void> {
    let failures = 0;
    while (!this.#signal.aborted) {
      const began = this.#clock.monotonic();
      let error: unknown;
      this.#progress = 0;
      try {
        if (this.#rev === undefined && this.#mode === "list") await this.#list();
        const known = this.#rev !== undefined;
        const end = await this.#watch();
        if (end.kind === "expired") this.#rev = undefined;
        if (end.kind === "unsupported") this.#mode = "list";
        // A version may be too old once; that a list just made is too old again and again is the server's trouble.
        if (end.kind === "unsupported" || (end.kind === "expired" && known && this.#mode === "stream")) continue;
        if (end.kind === "ended" && (this.#progress > 0 || this.#clock.monotonic() - began > 1000)) {
          failures = 0;
          continue;
        }
        const why = end.kind === "expired" ? "was too old at once" : "ended at once, without an event";
        error = new ClientError("protocol", `the watch of ${this.#of.plural} ${why}`);
      } catch (e) {
        if (this.#signal.aborted) return;
        if (isGone(e)) this.#rev = undefined;
        if (this.#progress > 0) failures = 0;
        error = e;
      }
      const asked = error instanceof ApiError ? (error.retryAfterSeconds ?? 0) * 1000 : 0;
      const delay = Math.max(asked, backoffDelay(this.#o.backoff ?? defaultBackoff, failures++, this.#random()));
      this.#o.onFailure?.(error, delay);
      await this.#clock.sleep(delay, this.#signal).catch(() => undefined);
    }
  }

  async #list(): Promise<void> {
    const { namespace, labelSelector, fieldSelector } = this.#o;
    const heard: Transport = {
      request: async (r, s) => {
        const response = await this.#transport.request(r, s);
        this.#o.onHeard?.();
        return response;
      },
    };
    const { items, rev } = await createClient(heard).list<unknown>(this.#of, { namespace, labelSelector, fieldSelector }, this.#signal);
    this.#replace(
      items.map((item) => this.#project(item)),
      rev,
    );
  }

  async #watch(): Promise<WatchEnd> {
    const from = this.#rev;
    const seconds = Math.round(minWatchSeconds * (1 + this.#random()));
    const session = new AbortController();
    const signal = AbortSignal.any([this.#signal, session.signal]);
    const path = resourcePath(this.#of, {
      namespace: this.#o.namespace,
      query: {
        watch: true,
        allowWatchBookmarks: true,
        timeoutSeconds: seconds,
        labelSelector: this.#o.labelSelector,
        fieldSelector: this.#o.fieldSelector,
        ...(from === undefined ? { sendInitialEvents: true, resourceVersionMatch: "NotOlderThan" } : { resourceVersion: from }),
      },
    });
    // Nothing but the clock notices a connection whose other end has vanished.
    void this.#clock.sleep(seconds * 1000 + graceMs, signal).then(
      () => session.abort(new ClientError("connection", `the watch of ${this.#of.plural} did not end when it should have`)),
      () => undefined,
    );
    try {
      const response = await this.#transport.request(
        { method: "GET", path, ...(this.#o.urgent === true ? { headers: { priority: "u=0" } } : {}) },
        signal,
      );
      this.#o.onHeard?.();
      if (response.status !== 200) {
        const error = apiError(response, await readText(response));
        if (error.code === 410) return { kind: "expired" };
        if (from === undefined && (error.code === 400 || error.code === 422)) return { kind: "unsupported" };
        throw error;
      }
      return await this.#read(response.body, from === undefined, session);
    } catch (e) {
      // Whatever the transport makes of an aborted body, the reason is what happened.
      if (!this.#signal.aborted && session.signal.aborted) {
        if (session.signal.reason === unsupported) return { kind: "unsupported" };
        throw session.signal.reason;
      }
      throw e;
    } finally {
      session.abort();
    }
  }

  async #read(body: AsyncIterable<Uint8Array>, streamed: boolean, session: AbortController): Promise<WatchEnd> {
    const splitter = new LineSplitter(this.#o.maxEventBytes ?? defaultMaxEventBytes);
    /** The streamed list, until its end is announced; then undefined. */
    let initial = streamed ? new Map<string, T>() : undefined;
    if (streamed) void this.#endOnSilence(() => initial, session);
    for await (const chunk of body) {
      this.#o.onHeard?.();
      for (const line of splitter.push(chunk)) {
        const event = parseEvent(line, this.#of);
        const rev = event.object.metadata?.resourceVersion ?? "";
        if (event.type === "ERROR") return this.#endOf(event.object as Status);
        this.#seen++;
        const key = objectKey(event.object);
        if (event.type === "BOOKMARK") {
          if (initial === undefined) {
            this.#rev = rev;
            this.#progress++;
            this.#to.bookmark(rev);
          } else if (event.object.metadata?.annotations?.[initialEventsEnd] === "true") {
            const items = [...initial.values()];
            initial = undefined;
            this.#replace(items, rev);
          }
        } else if (initial !== undefined) {
          if (event.type === "DELETED") initial.delete(key);
          else initial.set(key, this.#project(event.object, line));
        } else {
          const type = event.type === "DELETED" ? "delete" : "put";
          this.#to.apply({ type, key, object: this.#project(event.object, line), rev });
          // After the sink has it: an event the sink refused is seen again.
          this.#rev = rev;
          this.#progress++;
        }
      }
    }
    return { kind: "ended" };
  }

  /** Servers before 1.27 ignore `sendInitialEvents`: they send objects, but never say that they are done. */
  async #endOnSilence(initial: () => ReadonlyMap<string, T> | undefined, session: AbortController): Promise<void> {
    const signal = AbortSignal.any([this.#signal, session.signal]);
    for (let seen = -1; initial() !== undefined && seen !== this.#seen; ) {
      seen = this.#seen;
      await this.#clock.sleep(initialSilenceMs, signal).catch(() => undefined);
      if (signal.aborted) return;
    }
    if (initial() !== undefined) session.abort(unsupported);
  }

  #endOf(status: Status): WatchEnd {
    const error = new ApiError(status, status.code ?? 500);
    if (isGone(error)) return { kind: "expired" };
    throw error;
  }

  #replace(items: readonly T[], rev: Rev): void {
    this.#to.replace(items, rev);
    this.#rev = rev;
    this.#progress++;
    this.#synced();
  }
}

const unsupported = new Error("the server has no streamed lists");

function parseEvent(line: string, of: Resource): WatchEvent {
  try {
    const event = JSON.parse(line) as Partial<WatchEvent> | null;
    if (typeof event?.type === "string" && typeof event.object === "object" && event.object !== null) return event as WatchEvent;
  } catch {
    // Told below, with the line.
  }
  throw new ClientError("protocol", `not a watch event of ${of.plural}: ${line.slice(0, 100)}`);
}
