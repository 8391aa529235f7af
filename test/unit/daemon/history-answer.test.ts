import { expect, test } from "vitest";
import type { HistoryEntry, HistoryQuery } from "../../../rules/index.ts";
import { answerHistory } from "../../../src/daemon/history-answer.ts";

const entry: HistoryEntry = {
  id: 7,
  at: Date.UTC(2026, 0, 31, 12, 0, 0, 250),
  backend: "nftables",
  outcome: "applied",
  full: false,
  tries: 1,
  durationMs: 0.4,
  waitedMs: 0.1,
  elements: 2,
  staleFlows: 0,
  causes: [],
  moreCauses: 0,
  services: [],
  moreFrontends: 0,
  refused: [],
};

test.each([
  { name: "everything", query: "", want: { service: undefined, since: undefined, limit: undefined } },
  {
    name: "all that can be said",
    query: "?service=shop/web&since=2026-01-31T12:00:00Z&limit=3",
    want: { service: "shop/web", since: Date.UTC(2026, 0, 31, 12), limit: 3 },
  },
  { name: "a Service without namespace", query: "?service=web", want: "service: " },
  { name: "a Service that is a path", query: "?service=a/b/c", want: "service: " },
  { name: "no time", query: "?since=yesterday", want: "since: " },
  { name: "no number", query: "?limit=-1", want: "limit: " },
])("asked for $name", ({ query, want }) => {
  const asked: (HistoryQuery | undefined)[] = [];
  const history = (q?: HistoryQuery): readonly HistoryEntry[] => {
    asked.push(q);
    return [entry];
  };
  const answer = answerHistory("node-1", { history }, new URL(`http://o/history${query}`));
  if (typeof want === "string") {
    expect(answer.status).toBe(400);
    expect(answer.body).toContain(want);
    expect(asked).toEqual([]);
    return;
  }
  expect(asked).toEqual([want]);
  const { at: _, ...rest } = entry;
  expect(JSON.parse(answer.body)).toEqual({ node: "node-1", entries: [{ time: "2026-01-31T12:00:00.250Z", ...rest }] });
});

test("a daemon without rules has none", () => {
  expect(JSON.parse(answerHistory("n", undefined, new URL("http://o/history")).body)).toEqual({ node: "n", entries: [] });
});
