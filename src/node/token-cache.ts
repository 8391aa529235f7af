import type { Pod } from "../api/types/core-v1.generated.ts";
import type { Clock } from "../base/clock.ts";
import type { TokenWish } from "./volume-plan.ts";

export interface BoundToken {
  readonly token: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

interface Entry {
  token: BoundToken;
  readonly stop: AbortController;
}

/** A token is renewed when this share of its life has passed, as the kubelet does. */
const renewAt = 0.8;
const retryMs = 10_000;

/** Tokens of this node's pods, renewed in time. */
export class TokenCache {
  readonly #clock: Clock;
  readonly #request: (pod: Pod, wish: TokenWish, signal: AbortSignal) => Promise<BoundToken>;
  readonly #entries = new Map<string, Map<string, Entry>>();

  constructor(clock: Clock, request: (pod: Pod, wish: TokenWish, signal: AbortSignal) => Promise<BoundToken>) {
    this.#clock = clock;
    this.#request = request;
  }

  /** Fetches a token unless there is one; `renewed` is called whenever a newer one has come. */
  async fetch(pod: Pod, wish: TokenWish, signal: AbortSignal, renewed: () => Promise<void>): Promise<void> {
    const uid = pod.metadata?.uid ?? "";
    const known = this.#entries.get(uid)?.get(key(wish));
    if (known !== undefined && known.token.expiresAt > this.#clock.now()) return;
    const entry: Entry = { token: await this.#request(pod, wish, signal), stop: new AbortController() };
    known?.stop.abort();
    const ofPod = this.#entries.get(uid) ?? new Map<string, Entry>();
    this.#entries.set(uid, ofPod.set(key(wish), entry));
    void this.#keepFresh(pod, wish, entry, renewed).catch(() => undefined);
  }

  /** Empty before `fetch`. */
  get(podUid: string, wish: TokenWish): string {
    return this.#entries.get(podUid)?.get(key(wish))?.token.token ?? "";
  }

  forget(podUid: string): void {
    for (const entry of this.#entries.get(podUid)?.values() ?? []) entry.stop.abort();
    this.#entries.delete(podUid);
  }

  close(): void {
    for (const uid of [...this.#entries.keys()]) this.forget(uid);
  }

  async #keepFresh(pod: Pod, wish: TokenWish, entry: Entry, renewed: () => Promise<void>): Promise<void> {
    const { signal } = entry.stop;
    let wait = (entry.token.expiresAt - this.#clock.now()) * renewAt;
    while (!signal.aborted) {
      await this.#clock.sleep(Math.max(1000, wait), signal);
      try {
        entry.token = await this.#request(pod, wish, signal);
        wait = (entry.token.expiresAt - this.#clock.now()) * renewAt;
        await renewed();
      } catch {
        // The old one is good for a while yet.
        wait = retryMs;
      }
    }
  }
}

function key(wish: TokenWish): string {
  return `${wish.volume}/${wish.source}`;
}
