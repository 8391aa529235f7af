import type { Pool, PoolId } from "../route/route.ts";

/** Goes to an endpoint now, if one has room; false: it waits on. */
export type TakeTurn = () => boolean;

/** Requests of one process that wait, in order, until an endpoint of their pool has room. */
export class PendingRequests {
  readonly #queues = new Map<PoolId, Set<TakeTurn>>();
  readonly #due = new Set<PoolId>();
  #count = 0;

  /** How many wait. */
  get count(): number {
    return this.#count;
  }

  /** Waits at the end of the pool's queue; what is given back leaves it. `undefined` where it is full. */
  enter(pool: Pool, takeTurn: TakeTurn): (() => void) | undefined {
    const queue = this.#queues.get(pool.id) ?? new Set();
    if (queue.size >= (pool.limits?.pending ?? 0)) return undefined;
    queue.add(takeTurn);
    this.#queues.set(pool.id, queue);
    this.#count++;
    return () => this.#leave(pool.id, takeTurn);
  }

  /** An endpoint of the pool may have room. Whose turn it is goes on once the request that made room is done with its connection. */
  roomIn(pool: PoolId): void {
    if (this.#count === 0 || !this.#queues.has(pool)) return;
    if (this.#due.size === 0) queueMicrotask(() => this.#callDue());
    this.#due.add(pool);
  }

  #callDue(): void {
    const due = [...this.#due];
    this.#due.clear();
    for (const pool of due) {
      for (const takeTurn of this.#queues.get(pool) ?? []) {
        if (!takeTurn()) break;
        this.#leave(pool, takeTurn);
      }
    }
  }

  #leave(pool: PoolId, takeTurn: TakeTurn): void {
    const queue = this.#queues.get(pool);
    if (queue?.delete(takeTurn) !== true) return;
    this.#count--;
    if (queue.size === 0) this.#queues.delete(pool);
  }
}
