import type { ConnectionFactory, UpstreamAddress } from "./connection.ts";
import { EndpointSession, maxStreams, type SessionKeeper } from "./endpoint-session.ts";
import type { UpstreamChannel } from "./upstream-channel.ts";
import { addressKey, type PendingConnect } from "./upstream-pool.ts";

/** Who asks for a stream. */
export interface StreamSeeker {
  readonly onReady: (c: UpstreamChannel) => void;
  readonly onError: (detail: string) => void;
}

/** Sessions of HTTP/2 to endpoints: many requests on one connection, by prior knowledge or ALPN. */
export class Http2Upstreams {
  readonly #factory: ConnectionFactory;
  readonly #endpoints = new Map<string, EndpointSessions>();

  constructor(factory: ConnectionFactory) {
    this.#factory = factory;
  }

  get sessionCount(): number {
    let count = 0;
    for (const e of this.#endpoints.values()) count += e.count;
    return count;
  }

  /** A stream's place on a session. Either callback comes once, later or at once; neither after cancel. */
  open(address: UpstreamAddress, now: number, seeker: StreamSeeker): PendingConnect {
    const key = addressKey(address);
    const known = this.#endpoints.get(key);
    const endpoint = known ?? new EndpointSessions(this.#factory, address, () => this.#endpoints.delete(key));
    const pending = endpoint.open(seeker, now);
    if (known === undefined) this.#endpoints.set(key, endpoint);
    return pending;
  }

  /** Closes what has no stream and rested too long; endpoints that are no longer wanted get no new stream. */
  sweep(now: number, isWanted: (key: string) => boolean): void {
    for (const [key, endpoint] of [...this.#endpoints]) endpoint.sweep(now, isWanted(key));
  }

  close(): void {
    for (const endpoint of [...this.#endpoints.values()]) endpoint.destroy();
  }
}

/** The sessions of one endpoint, on the same terms. */
class EndpointSessions implements SessionKeeper {
  readonly #factory: ConnectionFactory;
  readonly #address: UpstreamAddress;
  readonly #onEmpty: () => void;
  /** Those that leave too; who seeks a stream waits at one that is being made. */
  readonly #sessions = new Map<EndpointSession, Set<StreamSeeker>>();
  /** Streams that the endpoint took at once, when it last said so. */
  #takes = maxStreams;
  #now = 0;

  constructor(factory: ConnectionFactory, address: UpstreamAddress, onEmpty: () => void) {
    this.#factory = factory;
    this.#address = address;
    this.#onEmpty = onEmpty;
  }

  get count(): number {
    return this.#sessions.size;
  }

  open(seeker: StreamSeeker, now: number): PendingConnect {
    this.#now = now;
    for (const [session, seekers] of this.#sessions)
      if (seekers.size === 0 && session.room > 0) {
        seeker.onReady(session.channel());
        return settled;
      }
    this.#await(seeker);
    return { cancel: () => this.#cancel(seeker) };
  }

  /** At a session that will have room, as far as is known. */
  #await(seeker: StreamSeeker): void {
    for (const [session, seekers] of this.#sessions)
      if (session.isNew && session.streamCount + seekers.size < this.#takes) {
        seekers.add(seeker);
        return;
      }
    const session = new EndpointSession(this.#factory, this.#address, { keeper: this, now: this.#now });
    this.#sessions.set(session, new Set([seeker]));
  }

  #cancel(seeker: StreamSeeker): void {
    for (const seekers of this.#sessions.values()) seekers.delete(seeker);
  }

  onRoom(session: EndpointSession): void {
    const seekers = this.#sessions.get(session);
    if (seekers === undefined) return;
    if (!session.isNew) this.#takes = Math.max(1, session.takes);
    for (const seeker of seekers) {
      if (session.room === 0) break;
      seekers.delete(seeker);
      seeker.onReady(session.channel());
    }
    if (session.isNew) return;
    for (const seeker of [...seekers]) {
      seekers.delete(seeker);
      if (session.takes > 0) this.#await(seeker);
      else seeker.onError("the endpoint takes no requests");
    }
  }

  onLeaving(session: EndpointSession, detail: string): void {
    const seekers = [...(this.#sessions.get(session) ?? [])];
    this.#sessions.get(session)?.clear();
    for (const seeker of seekers) seeker.onError(detail);
  }

  onGone(session: EndpointSession): void {
    this.#sessions.delete(session);
    if (this.#sessions.size === 0) this.#onEmpty();
  }

  sweep(now: number, isWanted: boolean): void {
    this.#now = now;
    for (const session of [...this.#sessions.keys()]) {
      if (!isWanted) session.finish();
      session.sweep(now);
    }
  }

  destroy(): void {
    for (const session of [...this.#sessions.keys()]) session.destroy();
  }
}

const settled: PendingConnect = { cancel: () => undefined };
