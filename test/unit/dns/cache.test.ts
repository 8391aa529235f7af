import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CacheLimits, defaultCacheLimits, MessageCache } from "../../../dns/cache/message-cache.ts";
import { answerCached, type CachedOptions } from "../../../dns/handler/cached.ts";
import { createContext, type DnsHandler, emptyAnswer, questionMessage } from "../../../dns/handler/handler.ts";
import type { Message } from "../../../dns/wire/message.ts";
import { printRcode, rcodes } from "../../../dns/wire/record-type.ts";
import { parseRecord } from "../../../dns/wire/zone-file.ts";
import type { Clock } from "../../../src/base/clock.ts";

const question = { name: "www.example.org.", type: 1, class: 1 };
const query = questionMessage(question, { id: 9 });

function answer(rcode: number, answers: readonly string[], authority: readonly string[] = []): Message {
  return { ...emptyAnswer(query, rcode), answers: answers.map(parseRecord), authority: authority.map(parseRecord) };
}

const limits: CacheLimits = {
  ...defaultCacheLimits,
  success: { entries: 3, maxTtl: 100, minTtl: 0 },
  denial: { entries: 3, maxTtl: 50, minTtl: 0 },
  staleSeconds: 60,
};
const soa = (ttl: number, minimum: number): string => `example.org. ${ttl} IN SOA ns. mail. 1 2 3 4 ${minimum}`;

describe("how long an answer is kept", () => {
  test.each<[string, Message, number]>([
    ["the least TTL of the answers", answer(0, ["www.example.org. 30 IN CNAME a.", "a. 20 IN A 10.0.0.1"]), 20],
    ["no longer than the cap", answer(0, ["www.example.org. 5000 IN A 10.0.0.1"]), 100],
    ["not at all with TTL 0", answer(0, ["www.example.org. 0 IN A 10.0.0.1"]), 0],
    ["NXDOMAIN: the SOA's minimum", answer(3, [], [soa(40, 10)]), 10],
    ["NXDOMAIN: the SOA's TTL", answer(3, [], [soa(7, 10)]), 7],
    ["NXDOMAIN: no longer than the cap", answer(3, [], [soa(900, 900)]), 50],
    ["no data: the SOA's minimum", answer(0, [], [soa(40, 10)]), 10],
    ["an alias to no data: also the alias's own TTL", answer(0, ["www.example.org. 4 IN CNAME a."], [soa(40, 10)]), 4],
    ["a negative answer without SOA: not at all", answer(3, []), 0],
    ["SERVFAIL: five seconds", answer(2, []), 5],
    ["REFUSED: not at all", answer(5, []), 0],
    ["a cut answer: not at all", { ...answer(0, ["www.example.org. 30 IN A 10.0.0.1"]), truncated: true }, 0],
  ])("%s", (_, message, seconds) => {
    const cache = new MessageCache(limits);
    expect(cache.set("k", message, 1000)).toBe(seconds > 0);
    if (seconds > 0) expect(cache.get("k", 1000 + seconds * 1000 - 1, "fresh")?.message.rcode).toBe(message.rcode);
    expect(cache.get("k", 1000 + seconds * 1000, "fresh")).toBeUndefined();
  });
});

test("the least recently used go first", () => {
  const cache = new MessageCache(limits);
  const m = answer(0, ["www.example.org. 30 IN A 10.0.0.1"]);
  for (const key of ["a", "b", "c"]) cache.set(key, m, 0);
  cache.get("a", 1, "fresh");
  cache.set("d", m, 2);
  expect(["a", "b", "c", "d"].filter((k) => cache.get(k, 3, "fresh") !== undefined)).toEqual(["a", "c", "d"]);
  expect([cache.sizes, cache.evictions]).toEqual([{ success: 3, denial: 0 }, 1]);
});

test("what is over is served stale with TTL 0, until its cap", () => {
  const cache = new MessageCache(limits);
  cache.set("k", answer(0, ["www.example.org. 10 IN A 10.0.0.1"]), 0);
  expect(cache.get("k", 10_000, "stale")).toMatchObject({ stale: true, message: { answers: [{ ttl: 0 }] } });
  expect(cache.get("k", 69_999, "stale")?.stale).toBe(true);
  expect(cache.get("k", 70_000, "stale")).toBeUndefined();
});

test("a failure does not take the place of an answer", () => {
  const cache = new MessageCache(limits);
  cache.set("k", answer(0, ["www.example.org. 10 IN A 10.0.0.1"]), 0);
  expect(cache.set("k", answer(2, []), 20_000)).toBe(false);
  expect(cache.get("k", 20_000, "stale")?.message.rcode).toBe(0);
});

test("a TTL never grows, and nothing lives past the TTL it came with", () => {
  const step = fc.record({ key: fc.constantFrom("a", "b"), ttl: fc.option(fc.nat(200)), wait: fc.nat(60_000) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const cache = new MessageCache(limits);
      const stored = new Map<string, { ttl: number; at: number }>();
      let now = 0;
      for (const { key, ttl, wait } of steps) {
        now += wait;
        if (ttl !== null && cache.set(key, answer(0, [`x. ${ttl} IN A 10.0.0.1`]), now)) stored.set(key, { ttl, at: now });
        const hit = cache.get(key, now, "fresh");
        const origin = stored.get(key);
        if (hit === undefined) continue;
        const left = hit.message.answers[0]?.ttl ?? Number.POSITIVE_INFINITY;
        expect(origin).toBeDefined();
        expect(left).toBeLessThanOrEqual((origin?.ttl ?? 0) - Math.floor((now - (origin?.at ?? 0)) / 1000));
        expect(left).toBeGreaterThan(0);
      }
    }),
  );
});

/** The cache before an upstream that counts; time stands still unless it is moved. */
function cachedUpstream(
  next: DnsHandler,
  options: Partial<CachedOptions> = {},
  caps = limits,
): {
  ask: (name?: string, edit?: (m: Message) => Message) => Promise<Message>;
  advance: (ms: number) => void;
  events: string[];
  settled: () => Promise<unknown>;
} {
  let now = 0;
  const clock: Clock = { now: () => now, monotonic: () => now, sleep: () => Promise.reject(new Error("nobody sleeps here")) };
  const events: string[] = [];
  const tasks: Promise<unknown>[] = [];
  const observe = {
    hit: (kind: string): void => void events.push(`hit ${kind}`),
    miss: (): void => void events.push("miss"),
    stale: (seconds: number): void => void events.push(`stale ${Math.floor(seconds)}`),
    prefetch: (): void => void events.push("prefetch"),
  };
  const handler = answerCached(new MessageCache(caps), { clock, observe, background: (task) => void tasks.push(task), ...options })(next);
  return {
    ask: async (name = question.name, edit = (m) => m) => {
      const own = { ...question, name };
      const message = edit(questionMessage(own, { id: 77 }));
      return handler(
        { message, question: own, client: "10.0.0.1", transport: "udp" },
        createContext({ signal: new AbortController().signal }),
      );
    },
    advance: (ms) => {
      now += ms;
    },
    events,
    settled: () => Promise.all(tasks),
  };
}

describe("the cache before an upstream", () => {
  const good: DnsHandler = (q) => ({ ...emptyAnswer(q.message, 0), answers: [parseRecord("www.example.org. 100 IN A 10.0.0.1")] });

  test("asks once, gives each client its own id, question and what is left of the TTL", async () => {
    let asked = 0;
    const { ask, advance, events } = cachedUpstream((q, c) => {
      asked++;
      return good(q, c);
    });
    await ask();
    advance(3000);
    const second = await ask("WWW.example.ORG.");
    expect([asked, events]).toEqual([1, ["miss", "hit success"]]);
    expect(second).toMatchObject({ id: 77, questions: [{ name: "WWW.example.ORG." }], answers: [{ ttl: 97 }] });
  });

  test("keeps answers for DO, AD and CD apart", async () => {
    const { ask, events } = cachedUpstream(good);
    await ask();
    await ask(question.name, (m) => ({ ...m, edns: { udpSize: 1232, version: 0, dnssecOk: true, options: [] } }));
    await ask(question.name, (m) => ({ ...m, checkingDisabled: true }));
    await ask(question.name, (m) => ({ ...m, authenticData: true }));
    expect(events).toEqual(["miss", "miss", "miss", "miss"]);
  });

  test("asks once for all who ask at the same time", async () => {
    let asked = 0;
    const { ask } = cachedUpstream(async (q, c) => {
      asked++;
      await Promise.resolve();
      return good(q, c);
    });
    const all = await Promise.all([ask(), ask(), ask("wWw.example.org.")]);
    expect(asked).toBe(1);
    expect(all[2]?.questions[0]?.name).toBe("wWw.example.org.");
  });

  test("asks again ahead of the end for what is asked for often", async () => {
    let asked = 0;
    const { ask, advance, events, settled } = cachedUpstream((q, c) => {
      asked++;
      return good(q, c);
    });
    await ask();
    await ask();
    advance(95_000);
    await ask();
    await settled();
    expect(asked).toBe(2);
    advance(50_000);
    expect((await ask()).answers[0]?.ttl).toBe(50);
    expect(events).toEqual(["miss", "hit success", "hit success", "prefetch", "hit success"]);
  });

  test.each<[string, DnsHandler]>([
    ["throws", () => Promise.reject(new Error("away"))],
    ["says SERVFAIL", (q) => emptyAnswer(q.message, rcodes.SERVFAIL)],
  ])("serves stale while the upstream %s", async (_, bad) => {
    let up = true;
    const { ask, advance, events } = cachedUpstream((q, c) => (up ? good(q, c) : bad(q, c)));
    await ask();
    up = false;
    advance(101_000);
    expect(await ask()).toMatchObject({ rcode: 0, answers: [{ ttl: 0 }] });
    // for a while after the failure nobody waits for the upstream
    advance(4999);
    expect((await ask()).answers.length).toBe(1);
    expect(events).toEqual(["miss", "miss", "stale 1", "stale 5"]);
    advance(1);
    await ask();
    expect(events.slice(4)).toEqual(["miss", "stale 6"]);
    advance(60_000);
    expect(
      await ask().then(
        (m) => printRcode(m.rcode),
        () => "thrown",
      ),
    ).not.toBe("NOERROR");
  });

  test("serve_stale immediate gives what it has at once, and asks afterwards", async () => {
    let asked = 0;
    const { ask, advance, events, settled } = cachedUpstream(
      (q, c) => {
        asked++;
        return good(q, c);
      },
      { stale: { refresh: "immediate", patience: Number.POSITIVE_INFINITY } },
    );
    await ask();
    advance(130_000);
    expect(await ask()).toMatchObject({ answers: [{ ttl: 0 }] });
    await settled();
    expect(await ask()).toMatchObject({ answers: [{ ttl: 100 }] });
    expect([asked, events]).toEqual([2, ["miss", "stale 30", "hit success"]]);
  });

  test("serve_stale says how long what it gives may be kept, and leaves a server that failed alone for a while", async () => {
    let asked = 0;
    const { ask, advance, settled } = cachedUpstream(
      (q, c) => {
        asked++;
        return asked === 1 ? good(q, c) : emptyAnswer(q.message, 2);
      },
      { stale: { refresh: "immediate", patience: Number.POSITIVE_INFINITY } },
      { ...limits, staleTtl: 30, recheckSeconds: 20 },
    );
    await ask();
    advance(130_000);
    for (const [ms, want] of [
      [0, 2],
      [19_000, 2],
      [2000, 3],
    ] as const) {
      advance(ms);
      expect(await ask()).toMatchObject({ rcode: 0, answers: [{ ttl: 30 }] });
      await settled();
      expect(asked).toBe(want);
    }
  });

  test.each(["verify", "immediate"] as const)(
    "prefer_positive: an answer outlives denials of its name while it may be served; %s",
    async (refresh) => {
      let asked = 0;
      const { ask, advance, settled } = cachedUpstream(
        (q, c) => {
          asked++;
          return asked === 1 ? good(q, c) : { ...emptyAnswer(q.message, 3), authority: [parseRecord(soa(20, 20))] };
        },
        { stale: { refresh, patience: Number.POSITIVE_INFINITY, prefersPositive: true } },
        { ...limits, prefersPositive: true },
      );
      const codes: string[] = [];
      const seen: number[] = [];
      await ask();
      // just over; while the denial lasts nobody is asked again; when the answer may no longer be served, the denial is the answer
      for (const ms of [100_000, 10_000, 60_000]) {
        advance(ms);
        codes.push(printRcode((await ask()).rcode));
        await settled();
        seen.push(asked);
      }
      expect(codes).toEqual(["NOERROR", "NOERROR", "NXDOMAIN"]);
      expect(seen).toEqual([2, 2, 3]);
    },
  );

  test("keepttl leaves the TTL as it came, a least TTL raises it", async () => {
    const kept = cachedUpstream(good, {}, { ...limits, keepTtl: true });
    await kept.ask();
    kept.advance(60_000);
    expect(await kept.ask()).toMatchObject({ answers: [{ ttl: 100 }] });
    const short: DnsHandler = (q) => ({ ...emptyAnswer(q.message, 0), answers: [parseRecord("www.example.org. 1 IN A 10.0.0.1")] });
    const raised = cachedUpstream(short, {}, { ...limits, success: { entries: 3, maxTtl: 100, minTtl: 30 } });
    await raised.ask();
    raised.advance(20_000);
    expect(await raised.ask()).toMatchObject({ answers: [{ ttl: 10 }] });
  });

  test.each<[string, Partial<CachedOptions>]>([
    ["zones it is not for", { zones: ["example.net."] }],
    ["zones whose answers are not kept", { disabled: { success: ["example.org."], denial: [] } }],
    ["clients it does not serve", { isServed: () => false }],
    ["answers of others", { isKept: (took) => took.has("forward") }],
  ])("keeps nothing for %s", async (_, options) => {
    let asked = 0;
    const { ask } = cachedUpstream((q, c) => {
      asked++;
      return good(q, c);
    }, options);
    await ask();
    await ask();
    expect(asked).toBe(2);
  });
});
