import { expect, test } from "vitest";
import { IngressTranslator, routeOffline } from "../../../ingress/index.ts";
import {
  type BackendFigures,
  type CanaryMoment,
  type CanaryProgress,
  type CanaryStatus,
  nextCanaryStatus,
  parseCanaryStatus,
  parseSteps,
  printCanaryStatus,
} from "../../../ingress/translate/canary-progress.ts";
import { batchFromEmpty } from "../../../src/snapshot/snapshot-store.ts";
import { makeIngress, makeRules, makeService, makeSnapshot } from "./cluster.ts";

const start = Date.parse("2026-01-01T00:00:00Z");
const plan: CanaryProgress = {
  steps: [10, 50, 100],
  intervalSeconds: 60,
  successRate: 0.99,
  latencySeconds: 0.5,
  requests: 20,
  pause: false,
  rollback: false,
};
const at = (phase: CanaryStatus["phase"], weight: number): CanaryStatus => ({
  phase,
  weight,
  since: "2026-01-01T00:00:00.000Z",
  plan: "p",
  message: "",
});
const figures = (requests: number, failures = 0, slow = 0): BackendFigures => ({
  requests,
  failures,
  within: [
    { seconds: 0.5, requests: requests - slow },
    { seconds: 1, requests },
    { seconds: Number.POSITIVE_INFINITY, requests },
  ],
});
const moment = (canary: BackendFigures, seconds: number, of = "p"): CanaryMoment => ({ plan: of, canary, now: start + seconds * 1000 });

interface Case {
  readonly name: string;
  readonly progress?: Partial<CanaryProgress>;
  readonly before: CanaryStatus | undefined;
  readonly moment: CanaryMoment;
  /** Phase and weight, or that nothing changes. */
  readonly want: string;
  readonly says?: RegExp;
}

const cases: readonly Case[] = [
  { name: "begins with its first step", before: undefined, moment: moment(figures(0), 0), want: "Progressing 10" },
  { name: "another plan begins anew", before: at("RolledBack", 0), moment: moment(figures(0), 0, "q"), want: "Progressing 10" },
  { name: "stays before its time", before: at("Progressing", 10), moment: moment(figures(500), 59), want: "same" },
  { name: "stays without requests", before: at("Progressing", 10), moment: moment(figures(19), 600), want: "same" },
  { name: "goes on", before: at("Progressing", 10), moment: moment(figures(20), 60), want: "Progressing 50", says: /100 % of 20 requests/ },
  { name: "is promoted", before: at("Progressing", 100), moment: moment(figures(20), 60), want: "Promoted 100" },
  { name: "stays promoted", before: at("Promoted", 100), moment: moment(figures(99, 99), 999), want: "same" },
  {
    name: "a failure of a hundred is let pass",
    before: at("Progressing", 10),
    moment: moment(figures(100, 1), 60),
    want: "Progressing 50",
  },
  {
    name: "two are not, and are not waited for",
    before: at("Progressing", 50),
    moment: moment(figures(100, 2), 1),
    want: "RolledBack 0",
    says: /at 50 %, 2 of 100 requests failed: 98 % good, not 99 %/,
  },
  {
    name: "a few failures of too few requests judge nothing",
    before: at("Progressing", 10),
    moment: moment(figures(19, 19), 1),
    want: "same",
  },
  {
    name: "five slow ones of a hundred are let pass",
    before: at("Progressing", 10),
    moment: moment(figures(100, 0, 5), 60),
    want: "Progressing 50",
  },
  {
    name: "six are not",
    before: at("Progressing", 10),
    moment: moment(figures(100, 0, 6), 1),
    want: "RolledBack 0",
    says: /took up to 1 s, not 0.5 s/,
  },
  {
    name: "no latency is asked for",
    progress: { latencySeconds: 9 },
    before: at("Progressing", 10),
    moment: moment(figures(100, 0, 50), 60),
    want: "Progressing 50",
  },
  { name: "stays rolled back", before: at("RolledBack", 0), moment: moment(figures(100), 999), want: "same" },
  { name: "pauses", progress: { pause: true }, before: at("Progressing", 50), moment: moment(figures(100, 100), 60), want: "Paused 50" },
  { name: "stays paused", progress: { pause: true }, before: at("Paused", 50), moment: moment(figures(100, 100), 60), want: "same" },
  {
    name: "goes on after a pause, with a step of its own",
    before: at("Paused", 50),
    moment: moment(figures(100), 60),
    want: "Progressing 50",
  },
  { name: "paused from the start", progress: { pause: true }, before: undefined, moment: moment(figures(0), 0), want: "Paused 0" },
  { name: "and goes on with the first step", before: at("Paused", 0), moment: moment(figures(0), 0), want: "Progressing 10" },
  {
    name: "is rolled back by hand",
    progress: { rollback: true },
    before: at("Promoted", 100),
    moment: moment(figures(0), 0),
    want: "RolledBack 0",
  },
  { name: "once", progress: { rollback: true }, before: at("RolledBack", 0), moment: moment(figures(0), 0), want: "same" },
];

test.for(cases)("a canary $name", ({ progress, before, moment: m, want, says }) => {
  const next = nextCanaryStatus({ ...plan, ...progress }, before, m);
  expect(next === before ? "same" : `${next.phase} ${next.weight}`).toBe(want);
  if (says !== undefined) expect(next.message).toMatch(says);
  expect(parseCanaryStatus(printCanaryStatus(next))).toEqual(next);
});

test.for(["", "10,10", "50,10", "0,5", "101", "5,x", "5,,6"])("steps that are none: %s", (text) => {
  expect(parseSteps(text)).toHaveProperty("expected");
});

test.for(["", "{}", "[]", "null", '{"phase":"Else","weight":1,"since":"2026-01-01T00:00:00Z","plan":"","message":""}', "{"])(
  "a status that is none: %s",
  (text) => {
    expect(parseCanaryStatus(text)).toHaveProperty("expected");
  },
);

const services = ["main", "next", "third"].map((n, i) => makeService(n, [`10.0.${i}.1:8080`])).join("");
const n = (text: string): string => text.replaceAll("@", "nginx.ingress.kubernetes.io/").replaceAll("%", "fairway.dev/canary-");
const canary = (name: string, annotations: string, service = "next"): string =>
  makeIngress(name, {
    spec: makeRules("h.test", ["/", "Prefix", service]),
    annotations: n(`@canary: 'true', ${annotations}`),
    created: "2026-02-02T00:00:00Z",
  });
const status = (weight: number): string => printCanaryStatus({ ...at("Progressing", weight) }).replaceAll("'", "''");

test.for<[name: string, canaries: string, headers: readonly (readonly [string, string])[], want: string]>([
  ["steps without a status: nothing yet", canary("c", "%steps: '10,50'"), [], "main 100"],
  ["the weight of the status", canary("c", `%steps: '10,50', %status: '${status(50)}'`), [], "main 50, next 50"],
  ["taken back by hand, whatever the status", canary("c", `%steps: '10,50', %status: '${status(50)}', %rollback: 'true'`), [], "main 100"],
  ["testers get it all the same", canary("c", "%steps: '10', @canary-by-header: X-Canary"), [["x-canary", "always"]], "next 100"],
  [
    "header and weight together: who does not send it",
    canary("c", "%match: all, @canary-by-header: X-Beta, @canary-by-header-value: '1', @canary-weight: '30'"),
    [],
    "main 100",
  ],
  [
    "header and weight together: a share of who does",
    canary("c", "%match: all, @canary-by-header: X-Beta, @canary-by-header-value: '1', @canary-weight: '30'"),
    [["x-beta", "1"]],
    "main 70, next 30",
  ],
  [
    "cookie and weight together, growing",
    canary("c", `%match: all, @canary-by-cookie: beta, %steps: '25', %status: '${status(25)}'`),
    [["cookie", "beta=always"]],
    "main 75, next 25",
  ],
  [
    "several: each its share",
    canary("c", "@canary-weight: '10'") + canary("d", "@canary-weight: '20'", "third"),
    [],
    "main 70, next 10, third 20",
  ],
  [
    "several: shares of more than all",
    canary("c", "@canary-weight: '90'") + canary("d", "@canary-weight: '20'", "third"),
    [],
    "next 90, third 10",
  ],
  [
    "several: a header of either goes before",
    canary("c", "@canary-weight: '100'") + canary("d", "@canary-by-header: X-D", "third"),
    [["x-d", "always"]],
    "third 100",
  ],
  [
    "header before cookie before weight",
    canary("c", "@canary-by-header: X-C, @canary-by-cookie: c, @canary-weight: '100'"),
    [
      ["x-c", "never"],
      ["cookie", "c=always"],
    ],
    "main 100",
  ],
  [
    "another value of the header leaves it to the cookie",
    canary("c", "@canary-by-header: X-C, @canary-by-cookie: c"),
    [
      ["x-c", "else"],
      ["cookie", "c=always"],
    ],
    "next 100",
  ],
  [
    "a pattern, unless there is a value",
    canary("c", "@canary-by-header: X-C, @canary-by-header-pattern: '^v[0-9]$'"),
    [["x-c", "v7"]],
    "next 100",
  ],
])("%s", async ([, canaries, headers, want]) => {
  const snapshot = makeSnapshot(services + makeIngress("main", { spec: makeRules("h.test", ["/", "Prefix", "main"]) }) + canaries);
  const { backends } = await routeOffline(snapshot, { url: "http://h.test/", headers });
  expect(backends.map((b) => `${b.service.slice(5)} ${b.weight}`).join(", ")).toBe(want);
});

test.for<[annotations: string, reason: string]>([
  ["%steps: '50,10'", "InvalidAnnotation"],
  ["%steps: '50', %status: 'x'", "InvalidAnnotation"],
  ["%match: all, @canary-weight: '5'", "InvalidAnnotation"],
  ["@canary-by-header-value: '1'", "InvalidAnnotation"],
])("%s is told", ([annotations, reason]) => {
  const translator = new IngressTranslator();
  const main = makeIngress("main", { spec: makeRules("h.test", ["/", "Prefix", "main"]) });
  translator.apply(batchFromEmpty(makeSnapshot(services + main + canary("c", annotations))));
  expect(translator.problems.map((p) => `${p.reason} ${p.object.name}`)).toEqual([`${reason} c`]);
});
