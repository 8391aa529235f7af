import { describe, expect, test } from "vitest";
import { questionMessage } from "../../../dns/handler/handler.ts";
import { QueryAccounts } from "../../../dns/server/query-accounts.ts";
import { encodeMessage } from "../../../dns/wire/message.ts";
import { encodeName } from "../../../dns/wire/name.ts";
import { rcodes } from "../../../dns/wire/record-type.ts";

const accounts = (): QueryAccounts => new QueryAccounts([encodeName("cluster.local.")]);
const ask = (to: QueryAccounts, name: string, rcode: number, client = "10.244.0.5"): void => {
  const bytes = encodeMessage(questionMessage({ name, type: 1, class: 1 }, { id: 1 }));
  to.count(client, bytes, bytes.length, rcode);
};
const linesOf = (of: QueryAccounts, family: string): readonly string[] =>
  of
    .print()
    .split("\n")
    .filter((l) => l.startsWith(`${family}{`))
    .map((l) => l.slice(family.length));

describe("what a query counts as", () => {
  test.each([
    ["a name that exists", "web.shop.svc.cluster.local.", rcodes.NOERROR, [0, 0]],
    ["an outside name, along the path of a pod", "www.example.org.shop.svc.cluster.local.", rcodes.NXDOMAIN, [1, 1]],
    ["its second step", "www.example.org.svc.cluster.local.", rcodes.NXDOMAIN, [1, 1]],
    ["its third step, in capitals", "WWW.example.ORG.Cluster.LOCAL.", rcodes.NXDOMAIN, [1, 1]],
    ["a bare name, which needs the path whatever ndots is", "db.shop.svc.cluster.local.", rcodes.NXDOMAIN, [1, 0]],
    ["its third step", "db.cluster.local.", rcodes.NXDOMAIN, [1, 0]],
    ["an outside name that does not exist", "nope.example.org.", rcodes.NXDOMAIN, [0, 0]],
    ["a name that only ends alike", "a.notcluster.local.", rcodes.NXDOMAIN, [0, 0]],
  ] as const)("%s", (_, name, rcode, [misses, savings]) => {
    const own = accounts();
    ask(own, name, rcode);
    expect([
      linesOf(own, "fairway_dns_client_queries_total"),
      linesOf(own, "fairway_dns_client_search_misses_total"),
      linesOf(own, "fairway_dns_client_ndots_savings_total"),
    ]).toEqual([['{client="10.244.0.5"} 1'], [`{client="10.244.0.5"} ${misses}`], [`{client="10.244.0.5"} ${savings}`]]);
  });
});

test("clients that ask most come first, and are kept when there are too many", () => {
  const own = accounts();
  for (let i = 0; i < 50; i++) ask(own, "a.example.org.", 0, "10.244.0.9");
  for (let i = 0; i < 10_000; i++) ask(own, "a.example.org.", 0, `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
  const lines = linesOf(own, "fairway_dns_client_queries_total");
  expect([lines[0], lines.length]).toEqual(['{client="10.244.0.9"} 50', 100]);
});

test("names that are asked for often stand out of any number of others", () => {
  const own = accounts();
  for (let i = 0; i < 96_000; i++) ask(own, i % 5 === 0 ? "Often.example.org." : `once-${i}.example.org.`, 0);
  const [first = "", ...others] = linesOf(own, "fairway_dns_name_queries_total");
  const count = Number(/^\{name="often\.example\.org\."\} ([0-9]+)$/.exec(first)?.[1]);
  // a fifth of all, and at most the share of one counter too many
  expect(count).toBeGreaterThanOrEqual(19_200 - 64);
  expect(count).toBeLessThanOrEqual(19_200 + 96_000 / 512 + 64);
  expect(others.length).toBe(49);
});

test("of few queries names are counted one by one, and of many those of a search path alike", () => {
  const own = accounts();
  const path = ["www.shop.svc.cluster.local.", "www.svc.cluster.local.", "www.cluster.local.", "www."];
  const asked = (times: number): void => {
    // A and AAAA of each
    for (let i = 0; i < times; i++) for (const name of path) for (let type = 0; type < 2; type++) ask(own, name, 3);
  };
  const counts = (): readonly number[] => linesOf(own, "fairway_dns_name_queries_total").map((line) => Number(line.split(" ").at(-1)));
  asked(3);
  expect(counts()).toEqual([6, 6, 6, 6]);
  asked(19_997);
  expect(counts()).toHaveLength(4);
  for (const count of counts()) expect(Math.abs(count - 40_000)).toBeLessThan(800);
});
