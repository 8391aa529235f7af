import { createHmac } from "node:crypto";
import type { Nonces, NonceUse } from "./outcome.ts";
import { sameText } from "./same-text.ts";

/** How long a client may use a nonce; it asks for another one by itself then. Milliseconds. */
const lifetime = 5 * 60_000;
/** A nonce of another process whose clock is ahead. Milliseconds. */
const skew = 30_000;
/** Counts may come out of order by so many: browsers ask on several connections. */
const reorder = 64;
/** Nonces in use that are remembered; of those before them none is taken any more. */
const most = 10_000;

interface Counts {
  readonly issued: number;
  highest: number;
  readonly seen: Set<number>;
}

/**
 * Nonces that carry their own time and seal, so that nothing is kept of those that nobody uses. Each count of a nonce is taken
 * once by this process.
 */
export class SealedNonces implements Nonces {
  readonly #random: () => number;
  readonly #used = new Map<string, Counts>();
  /** Nonces made by then are stale: it is no longer known which of their counts were used. */
  #forgottenUntil = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  issue(secret: string, time: number): string {
    const salt = Math.floor(this.#random() * 2 ** 48);
    const head = `${Math.floor(time).toString(36)}.${salt.toString(36)}`;
    return `${head}.${seal(secret, head)}`;
  }

  use(nonce: string, { count, secret, time }: NonceUse): "fresh" | "stale" | "bad" {
    const at = nonce.lastIndexOf(".");
    const head = nonce.slice(0, Math.max(0, at));
    // a seal of users as they were before a change: the client may try again with what it has
    if (!sameText(seal(secret, head), nonce.slice(at + 1))) return "stale";
    const issued = Number.parseInt(head, 36);
    if (time - issued > lifetime || issued - time > skew || issued <= this.#forgottenUntil) return "stale";
    let counts = this.#used.get(nonce);
    if (counts === undefined) {
      this.#makeRoom(time);
      counts = { issued, highest: 0, seen: new Set() };
      this.#used.set(nonce, counts);
    }
    if (count === 0 || count <= counts.highest - reorder || counts.seen.has(count)) return "bad";
    counts.seen.add(count);
    counts.highest = Math.max(counts.highest, count);
    if (counts.seen.size > 2 * reorder) for (const old of counts.seen) if (old <= counts.highest - reorder) counts.seen.delete(old);
    return "fresh";
  }

  #makeRoom(time: number): void {
    if (this.#used.size < most) return;
    for (const [nonce, { issued }] of this.#used) if (time - issued > lifetime) this.#used.delete(nonce);
    for (const [nonce, { issued }] of this.#used) {
      if (this.#used.size < most) return;
      this.#forgottenUntil = Math.max(this.#forgottenUntil, issued);
      this.#used.delete(nonce);
    }
  }
}

function seal(secret: string, head: string): string {
  return createHmac("sha256", secret).update(head).digest("base64url").slice(0, 22);
}
