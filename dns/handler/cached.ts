import type { Clock } from "../../src/base/clock.ts";
import type { MessageCache } from "../cache/message-cache.ts";
import type { Message } from "../wire/message.ts";
import { canonicalName } from "../wire/name.ts";
import { rcodes } from "../wire/record-type.ts";
import { type DnsContext, type DnsHandler, emptyAnswer, type Query, type Wrap } from "./handler.ts";

/** What the cache did, for metrics. */
export interface CacheObserver {
  readonly hit: (kind: "success" | "denial") => void;
  readonly miss: () => void;
  readonly stale: () => void;
  readonly prefetch: () => void;
}

/**
 * Answers from the cache, and what is asked again while an answer is on its way waits for that one. When the upstream fails, an
 * answer whose time is over is better than none (RFC 8767).
 */
export function answerCached(
  cache: MessageCache,
  clock: Clock,
  observe: CacheObserver,
  background: (task: Promise<unknown>) => void,
): Wrap {
  return (next) => {
    const pending = new Map<string, Promise<Message>>();
    const ask = (key: string, q: Query, c: DnsContext): Promise<Message> => {
      const known = pending.get(key);
      if (known !== undefined) return known;
      const task = askNext(next, q, c)
        .then(
          (message) => {
            cache.set(key, message, clock.monotonic());
            return message;
          },
          (error: unknown) => {
            // no answer is a failure to remember too: a dead upstream is not waited for by each who asks
            cache.set(key, emptyAnswer(q.message, rcodes.SERVFAIL), clock.monotonic());
            throw error;
          },
        )
        .finally(() => pending.delete(key));
      pending.set(key, task);
      return task;
    };
    return async (q, c) => {
      const key = keyOf(q);
      const hit = cache.get(key, clock.monotonic(), "fresh");
      if (hit !== undefined) {
        if (hit.stale) observe.stale();
        else observe.hit(hit.kind === "success" ? "success" : "denial");
        c.took.add("cache");
        if (hit.nearEnd && !pending.has(key)) {
          observe.prefetch();
          background(ask(key, q, c).catch(() => {}));
        }
        return forQuery(hit.message, q);
      }
      observe.miss();
      const failed = async (fallback: () => Message): Promise<Message> => {
        const old = cache.get(key, clock.monotonic(), "stale");
        if (old === undefined || old.kind === "failure") return fallback();
        observe.stale();
        c.took.add("cache");
        return forQuery(old.message, q);
      };
      try {
        const message = await ask(key, q, c);
        return message.rcode === rcodes.SERVFAIL ? await failed(() => forQuery(message, q)) : forQuery(message, q);
      } catch (error) {
        return failed(() => {
          throw error;
        });
      }
    };
  };
}

async function askNext(next: DnsHandler, q: Query, c: DnsContext): Promise<Message> {
  return next(q, c);
}

/** Answers differ by DO and CD as well (RFC 4035 section 4.7). */
function keyOf(q: Query): string {
  const { type, class: rrClass, name } = q.question;
  const flags = (q.message.edns?.dnssecOk === true ? 1 : 0) | (q.message.checkingDisabled ? 2 : 0);
  return `${type} ${rrClass} ${flags} ${canonicalName(name)}`;
}

/** Id, question (in the case it was asked in) and flags of the client that gets it. */
function forQuery(m: Message, q: Query): Message {
  return {
    ...m,
    id: q.message.id,
    questions: [q.question],
    recursionDesired: q.message.recursionDesired,
    checkingDisabled: q.message.checkingDisabled,
    authoritative: false,
  };
}
