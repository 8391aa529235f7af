import type { Pool } from "../route/route.ts";
import { endpointKey } from "./endpoint-picker.ts";

/** How many pools name each endpoint: what a change of pools lets go is known without looking at all of them. */
export class EndpointUses {
  readonly #uses = new Map<string, number>();

  has(key: string): boolean {
    return this.#uses.has(key);
  }

  /** Counts a change of one pool; gives the endpoints that no pool names any more. */
  replace(before: Pool | undefined, after: Pool | undefined): readonly string[] {
    for (const e of after?.endpoints ?? []) {
      const key = endpointKey(e);
      this.#uses.set(key, (this.#uses.get(key) ?? 0) + 1);
    }
    const gone: string[] = [];
    for (const e of before?.endpoints ?? []) {
      const key = endpointKey(e);
      const rest = (this.#uses.get(key) ?? 1) - 1;
      if (rest > 0) this.#uses.set(key, rest);
      else {
        this.#uses.delete(key);
        gone.push(key);
      }
    }
    return gone;
  }
}
