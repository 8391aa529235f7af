import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ServiceEffect } from "../../../rules/index.ts";
import { register } from "../../../src/cli/commands/history.ts";
import { parseDuration, parseSince } from "../../../src/cli/duration.ts";
import { type HistoryRow, printHistory, serviceEffect } from "../../../src/cli/printers/history.ts";
import { runCli } from "../../../src/cli/program.ts";

const effect: ServiceEffect = {
  service: "shop/web:http",
  added: 0,
  removed: 0,
  changed: 2,
  gained: ["10.244.0.5:8080"],
  lost: [],
  gainedCount: 1,
  lostCount: 0,
  fate: "balance",
  settings: [],
};
const row: HistoryRow = {
  node: "node-1",
  id: 4,
  time: "2026-01-31T12:00:00.250Z",
  backend: "nftables",
  outcome: "applied",
  full: false,
  tries: 1,
  durationMs: 0.4,
  waitedMs: 0.1,
  elements: 3,
  staleFlows: 0,
  causes: [{ kind: "EndpointSlice", namespace: "shop", name: "web-7f", resourceVersion: "812", change: "changed", fields: [] }],
  moreCauses: 0,
  services: [effect],
  moreFrontends: 0,
  refused: [],
};
const cells = (rows: readonly HistoryRow[]): readonly string[] =>
  printHistory(undefined, rows)
    .split("\n")
    .slice(1, -1)
    .map((l) => l.replace(/ {3,}/g, " | "));

test.each<{ readonly name: string; readonly more: Partial<HistoryRow>; readonly want: string }>([
  {
    name: "an endpoint more",
    more: {},
    want: "applied | 0.40 ms | 3 | +1 endpoint of shop/web:http | EndpointSlice shop/web-7f @812 changed",
  },
  {
    name: "a Service's field",
    more: {
      causes: [{ kind: "Service", namespace: "shop", name: "web", resourceVersion: "9", change: "changed", fields: ["spec.ports"] }],
    },
    want: "applied | 0.40 ms | 3 | +1 endpoint of shop/web:http | Service shop/web @9 changed (spec.ports)",
  },
  {
    name: "a start",
    more: { full: true, causes: [], durationMs: 250, moreFrontends: 9 },
    want: "applied | 250 ms | 3 | +1 endpoint of shop/web:http; 9 more addresses | start: all that there was",
  },
  {
    name: "several tries",
    more: { outcome: "retried", tries: 3, error: "no memory" },
    want: "retried (3 tries) | 0.40 ms | 3 | +1 endpoint of shop/web:http | EndpointSlice shop/web-7f @812 changed",
  },
  {
    name: "tries that go on",
    more: { outcome: "failing", tries: 2, error: "no memory", elements: 0 },
    want: "failing (2 tries) | 0.40 ms | 0 | no memory; +1 endpoint of shop/web:http | EndpointSlice shop/web-7f @812 changed",
  },
  {
    name: "a refusal",
    more: { outcome: "refused", refused: [{ object: "Service shop/web", message: "why" }], services: [] },
    want: "refused | 0.40 ms | 3 | Service shop/web refused | EndpointSlice shop/web-7f @812 changed",
  },
  {
    name: "foreign changes",
    more: { outcome: "repaired", services: [], causes: [] },
    want: "repaired | 0.40 ms | 3 | foreign changes undone | somebody else changed the rules",
  },
])("a line for $name", ({ more, want }) => {
  expect(cells([{ ...row, ...more }])).toEqual([`2026-01-31T12:00:00Z | node-1 | ${want}`]);
});

test.each<{ readonly name: string; readonly more: Partial<ServiceEffect>; readonly want: string }>([
  { name: "gained and lost", more: { gainedCount: 2, lostCount: 1 }, want: "+2 −1 endpoints of shop/web:http" },
  { name: "new", more: { added: 2, changed: 0 }, want: "+1 endpoint of shop/web:http (new)" },
  {
    name: "the last endpoint lost",
    more: { gainedCount: 0, lostCount: 1, fate: "reject", settings: [{ setting: "verdict", before: "balance", after: "reject" }] },
    want: "−1 endpoint of shop/web:http (no endpoint: rejected)",
  },
  {
    name: "a setting",
    more: { gainedCount: 0, settings: [{ setting: "masquerade", before: "always", after: "never" }] },
    want: "shop/web:http (masquerade always → never)",
  },
])("an effect: $name", ({ more, want }) => {
  expect(serviceEffect({ ...effect, ...more }, false)).toBe(want);
});

test("an effect: gone", () => {
  const { fate: _, ...gone } = { ...effect, changed: 0, removed: 2, gainedCount: 0, lostCount: 1 };
  expect(serviceEffect(gone, false)).toBe("shop/web:http (gone)");
});

test("a burst takes one line; -o wide tells all that is remembered", () => {
  const services = Array.from({ length: 5 }, (_, i) => ({ ...effect, service: `shop/s${i}` }));
  expect(printHistory(undefined, [{ ...row, services }])).toContain("shop/s2; 2 more ports   ");
  expect(printHistory("wide", [{ ...row, services }])).toContain("+1 endpoint (+10.244.0.5:8080) of shop/s4");
});

test.each([
  ["90s", 90_000],
  ["1h30m", 5_400_000],
  ["2d", 172_800_000],
  ["250ms", 250],
  ["", undefined],
  ["10", undefined],
  ["1h nonsense", undefined],
  ["-5m", undefined],
])("duration %s", (text, want) => expect(parseDuration(text)).toBe(want));

test("since: ago, or a time, or a refusal that says how to write it", () => {
  expect(parseSince("--since", "1m", 100_000)).toBe(40_000);
  expect(parseSince("--since", "2026-01-31T12:00:00Z", 0)).toBe(Date.UTC(2026, 0, 31, 12));
  expect(() => parseSince("--since", "yesterday", 0)).toThrow("--since yesterday: write 10m");
});

describe("asking daemons", () => {
  let server: Server;
  const paths: string[] = [];
  beforeAll(async () => {
    server = createServer((request, response) => {
      paths.push(request.url ?? "");
      const { node, ...entry } = row;
      const older = { ...entry, time: "2026-01-31T11:00:00.000Z" };
      response.end(JSON.stringify({ node, entries: [entry, older] }));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  afterAll(() => new Promise((resolve) => server.close(resolve)));
  const run = async (args: readonly string[]): Promise<{ readonly status: number; readonly out: string; readonly err: string }> => {
    let [out, err] = ["", ""];
    const entries = [{ group: "", names: ["history"], load: () => Promise.resolve({ register }) }];
    const status = await runCli(["history", ...args], entries, { stdout: (t) => void (out += t), stderr: (t) => void (err += t) });
    return { status, out, err };
  };
  const here = (): string => `127.0.0.1:${(server.address() as AddressInfo).port}`;

  test("two of them, latest first; one that does not answer is a warning", async () => {
    const args = [
      "--observe",
      here(),
      "--observe",
      here(),
      "--observe",
      "127.0.0.1:1",
      "--service",
      "shop/web",
      "--limit",
      "3",
      "-o",
      "json",
    ];
    const { status, out, err } = await run(args);
    const answer = JSON.parse(out) as readonly HistoryRow[];
    expect([status, answer.map((r) => r.time.slice(11, 13))]).toEqual([0, ["12", "12", "11"]]);
    expect(paths[0]).toBe("/history?limit=3&service=shop%2Fweb");
    expect(err).toContain("127.0.0.1:1 does not answer");
  });

  test.each([
    { name: "nobody answers", args: ["--observe", "127.0.0.1:1"], status: 1, err: "127.0.0.1:1 does not answer" },
    { name: "no address", args: ["--observe", "10249"], status: 2, err: "write it as ADDRESS:PORT" },
    { name: "a Service without namespace", args: ["--service", "web"], status: 2, err: "NAMESPACE/NAME" },
    { name: "no number", args: ["--limit", "many"], status: 2, err: "a whole number" },
    { name: "no time", args: ["--since", "x"], status: 2, err: "--since x" },
  ])("$name", async ({ args, status, err }) => {
    const answer = await run(args);
    expect([answer.status, answer.out]).toEqual([status, ""]);
    expect(answer.err).toContain(err);
  });
});
