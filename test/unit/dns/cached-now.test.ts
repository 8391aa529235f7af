import { describe, expect, test } from "vitest";
import { type CacheLimits, defaultCacheLimits, MessageCache } from "../../../dns/cache/message-cache.ts";
import { readCorefile } from "../../../dns/corefile/server-blocks.ts";
import { offerRecursion } from "../../../dns/handler/access.ts";
import { answerCached } from "../../../dns/handler/cached.ts";
import { answerCachedNow, isCacheDirect } from "../../../dns/handler/cached-now.ts";
import { composeChain, createContext, emptyAnswer, questionMessage } from "../../../dns/handler/handler.ts";
import { balanceAnswers } from "../../../dns/handler/loadbalance.ts";
import { decodeMessage, encodeMessage, type Message } from "../../../dns/wire/message.ts";
import { encodeName } from "../../../dns/wire/name.ts";
import { parseType } from "../../../dns/wire/record-type.ts";
import { parseRecord, printRecord } from "../../../dns/wire/zone-file.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const records = (...lines: readonly string[]) => lines.map((l) => parseRecord(l));
const soa = records("example.org. 60 IN SOA ns.example.org. host.example.org. 1 7200 1800 86400 30");

/** What an upstream says, by type. */
const said: Readonly<Record<string, Partial<Message>>> = {
  A: { answers: records("www.example.org. 60 IN A 192.0.2.1") },
  AAAA: {
    answers: records(
      "www.example.org. 300 IN CNAME cdn.example.net.",
      ...[1, 2, 3].map((n) => `cdn.example.net. 20 IN AAAA 2001:db8::${n}`),
    ),
  },
  TXT: { answers: records('www.example.org. 60 IN TXT "a" "b"'), authoritative: true, authenticData: true },
  MX: { rcode: 3, authority: soa },
  PTR: { authority: soa },
  SRV: {
    answers: records("www.example.org. 60 IN SRV 0 1 80 a.example.org.", "www.example.org. 60 IN SRV 0 1 80 b.example.org."),
    additional: records("a.example.org. 9 IN A 192.0.2.8"),
  },
  NS: {
    answers: records("www.example.org. 60 IN NS a.example.org."),
    additional: records("a.example.org. 9 IN A 192.0.2.8", "a.example.org. 9 IN AAAA 2001:db8::8"),
  },
};

function lab(limits: Partial<CacheLimits> = {}, o: { readonly isBalanced?: boolean } = {}) {
  const clock = new FakeClock();
  const events: string[] = [];
  const observe = { hit: (k: string) => void events.push(k), miss: () => void events.push("miss"), stale: () => {}, prefetch: () => {} };
  const cache = new MessageCache({ ...defaultCacheLimits, ...limits });
  const isServed = (client: string): boolean => client !== "198.51.100.1";
  let asked = 0;
  const chain = composeChain(
    [
      offerRecursion(isServed),
      ...(o.isBalanced === true
        ? [
            balanceAnswers(
              { plugin: "loadbalance", policy: { kind: "round_robin" }, prefer: [] },
              () => 0.5,
              () => new Map(),
            ),
          ]
        : []),
      answerCached(cache, { clock, observe, background: (task) => void task, isServed: (q) => isServed(q.client) }),
    ],
    (q) => {
      asked++;
      const type = Object.keys(said).find((name) => parseType(name) === q.question.type) ?? "A";
      return { ...emptyAnswer(q.message, 0), ...said[type] };
    },
  );
  const now = answerCachedNow(cache, {
    clock,
    random: () => 0.5,
    observe,
    isServed,
    offersRecursion: isServed,
    isBalanced: o.isBalanced === true,
  });
  const query = (type: string, name = "www.example.org.", more: Partial<Message> = {}): Message => ({
    ...questionMessage({ name, type: parseType(type) ?? 0, class: 1 }, { id: 0x4321 }),
    ...more,
  });
  return {
    clock,
    events,
    query,
    asked: () => asked,
    slowly: async (message: Message, client = "10.0.0.1"): Promise<Message> => {
      const question = message.questions[0] ?? { name: ".", type: 1, class: 1 };
      const context = createContext({ signal: new AbortController().signal });
      return decodeMessage(encodeMessage(await chain({ message, question, client, transport: "udp" }, context)));
    },
    now: (message: Message, { client = "10.0.0.1", limit = 1232 } = {}): Message | undefined => {
      const bytes = encodeMessage(message);
      const questionEnd = 12 + encodeName(message.questions[0]?.name ?? ".").length + 4;
      const out = new Uint8Array(2048).fill(0xee);
      const type = message.questions[0]?.type ?? 0;
      const n = now({ bytes, questionEnd, type, dnssecOk: message.edns?.dnssecOk === true, limit, client }, out);
      return n === undefined ? undefined : decodeMessage(out.subarray(0, n));
    },
  };
}

const edns = { udpSize: 1232, version: 0, dnssecOk: true, options: [] };
const sorted = (m: Message | undefined): unknown => ({ ...m, answers: m?.answers.map(printRecord).sort() });

describe("a cached answer as bytes is what the chain says", () => {
  const variants: readonly (readonly [string, Partial<Message>])[] = [
    ["as most ask", {}],
    ["with DO and CD", { edns, checkingDisabled: true }],
    ["with AD, without RD", { authenticData: true, recursionDesired: false }],
  ];
  for (const [how, more] of variants) {
    test.each(Object.keys(said))(`%s, ${how}`, async (type) => {
      const { query, slowly, now, clock, events } = lab();
      const asked = query(type, "wWw.Example.ORG.", more);
      await slowly(query(type, "www.example.org.", more));
      expect(now(asked)).toBeUndefined();
      await slowly(asked);
      events.length = 0;
      await clock.advance(8_500);
      const quick = now(asked);
      expect(events).toHaveLength(1);
      expect(quick?.questions[0]?.name).toBe("wWw.Example.ORG.");
      const slow = await slowly(asked);
      // owners are pointers to the question, whose letters are the client's
      const lower = (m: Message | undefined): unknown => JSON.parse(JSON.stringify(sorted(m)).toLowerCase());
      expect(lower(quick)).toEqual(lower(slow));
      expect(events[1]).toBe(events[0]);
    });
  }

  test("to others than those who asked so, and to strangers, the chain answers", async () => {
    const { query, slowly, now } = lab();
    for (let i = 0; i < 2; i++) await slowly(query("A"));
    expect(now(query("A"))).toBeDefined();
    expect(now(query("A", "www.example.org.", { edns }))).toBeUndefined();
    expect(now(query("A", "www.example.org.", { checkingDisabled: true }))).toBeUndefined();
    expect(now(query("TXT"))).toBeUndefined();
    expect(now(query("A", "www.example.com."))).toBeUndefined();
    expect(now(query("A"), { client: "198.51.100.1" })).toBeUndefined();
    expect(now(query("A"), { limit: 40 })).toBeUndefined();
  });

  test("not when it is over, or when it is popular and soon over", async () => {
    const { query, slowly, now, clock, asked } = lab();
    for (let i = 0; i < 2; i++) await slowly(query("A"));
    await clock.advance(53_000);
    expect(now(query("A"))?.answers[0]?.ttl).toBe(7);
    await clock.advance(2_000);
    expect(now(query("A"))).toBeUndefined();
    // the chain asks ahead
    await slowly(query("A"));
    expect(asked()).toBe(2);
    await slowly(query("A"));
    expect(now(query("A"))?.answers[0]?.ttl).toBe(60);
    const plain = lab({ prefetch: { amount: 1000, gap: 1000, percent: 10 } });
    for (let i = 0; i < 2; i++) await plain.slowly(query("A"));
    await plain.clock.advance(59_999);
    expect(plain.now(query("A"))).toBeDefined();
    await plain.clock.advance(1);
    expect(plain.now(query("A"))).toBeUndefined();
  });

  test("not when it had to make room, and who is asked for stays", async () => {
    const { query, slowly, now, clock } = lab({ success: { entries: 2, maxTtl: 3600, minTtl: 0 } });
    for (const name of ["a.", "b."]) for (let i = 0; i < 2; i++) await slowly(query("A", name));
    await clock.advance(1_500);
    expect(now(query("A", "a."))).toBeDefined();
    await slowly(query("A", "c."));
    expect(now(query("A", "a."))).toBeDefined();
    expect(now(query("A", "b."))).toBeUndefined();
  });

  test("addresses take turns where they are balanced; where that is not so simple the chain does it", async () => {
    const { query, slowly, now } = lab({}, { isBalanced: true });
    for (const type of ["AAAA", "A", "NS"]) for (let i = 0; i < 2; i++) await slowly(query(type));
    expect(now(query("AAAA"))?.answers.map((r) => ("ip" in r.data ? r.data.ip : r.data.kind))).toEqual([
      "CNAME",
      "2001:db8::2",
      "2001:db8::3",
      "2001:db8::1",
    ]);
    expect(now(query("A"))).toBeDefined();
    expect(now(query("NS"))).toBeUndefined();
  });
});

test.each<[string, boolean]>([
  ["forward . 10.0.0.1\ncache", true],
  ["errors\nhealth\nready\nprometheus\nforward . 10.0.0.1\ncache 30\nloop\nreload\nloadbalance\nrewrite name a.example b.example", true],
  ["forward . 10.0.0.1\ncache\nlog", false],
  ["forward . 10.0.0.1\ncache\nlog . {\nclass error\n}", true],
  ["forward . 10.0.0.1\ncache\nacl {\nallow net 10.0.0.0/8\n}", false],
  ["forward . 10.0.0.1\ncache\ndns64", false],
  ["forward . 10.0.0.1\ncache\nloadbalance round_robin {\nprefer 10.0.0.0/8\n}", false],
])("blocks whose cache may answer by itself: %j", (plugins, is) => {
  const { blocks } = readCorefile(`.:53 {\n${plugins}\n}\n`, "Corefile", { folder: "/" });
  expect(isCacheDirect(blocks[0]?.plugins ?? [])).toBe(is);
});
