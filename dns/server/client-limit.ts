import type { Ip } from "../../src/base/ip.ts";
import type { QueryEngine } from "./engine.ts";

/**
 * Lets one client have at most `most` queries waiting for the chain, over all of its sockets and connections. What comes on top
 * gets no answer: its client asks again, by when the others may be done.
 */
export function limitClients(engine: QueryEngine, most: number): QueryEngine {
  const waiting = new Map<Ip, number>();
  /** What an engine promises is never rejected. */
  const limited = <T>(client: Ip, ask: () => Promise<T>, none: T): Promise<T> => {
    const own = waiting.get(client) ?? 0;
    if (own >= most) return Promise.resolve(none);
    waiting.set(client, own + 1);
    const answer = ask();
    void answer.then(() => {
      const left = (waiting.get(client) ?? 1) - 1;
      if (left === 0) waiting.delete(client);
      else waiting.set(client, left);
    });
    return answer;
  };
  return {
    warm: (queries, count) => engine.warm(queries, count),
    now: (query, n, client, out, transport) => engine.now(query, n, client, out, transport),
    transfer: (query, client) => engine.transfer(query, client),
    later: (query, client, transport) => limited(client, () => engine.later(query, client, transport), undefined),
    series: (query, client, transport) => limited(client, () => engine.series(query, client, transport), []),
  };
}
