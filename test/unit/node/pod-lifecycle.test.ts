import { expect, test } from "vitest";
import type { Container, Pod } from "../../../src/api/types/core-v1.generated.ts";
import { type ContainerView, decidePod, noView, restartDelay } from "../../../src/node/pod-lifecycle.ts";

const now = 1_000_000;
const running: Partial<ContainerView> = { phase: { kind: "running", id: "x", startedAt: 1 }, started: true, ready: true };
const starting: Partial<ContainerView> = { ...running, started: false, ready: false };
const ended = (code: number, retryAt = 0): Partial<ContainerView> => ({
  phase: { kind: "ended", id: "x", startedAt: 1, exit: { code, reason: code === 0 ? "Completed" : "Error", message: "", at: now } },
  retryAt,
});
const stuck: Partial<ContainerView> = { phase: { kind: "waiting", reason: "ErrImagePull", message: "" }, retryAt: now + 500 };

interface Case {
  readonly name: string;
  readonly policy?: "Always" | "OnFailure" | "Never";
  /** `side*` are sidecars. */
  readonly inits?: readonly string[];
  readonly mains?: readonly string[];
  readonly views?: Readonly<Record<string, Partial<ContainerView>>>;
  readonly start?: readonly string[];
  readonly stop?: readonly string[];
  readonly wakeAt?: number;
  readonly finished?: "Succeeded" | "Failed";
}

const cases: readonly Case[] = [
  { name: "without init containers all start", mains: ["a", "b"], start: ["a", "b"] },
  { name: "all run: nothing to do", mains: ["a"], views: { a: running } },
  { name: "init containers one after the other", inits: ["i", "j"], start: ["i"] },
  { name: "the next init waits for the first", inits: ["i", "j"], views: { i: running } },
  { name: "a finished init leads to the next", inits: ["i", "j"], views: { i: ended(0) }, start: ["j"] },
  { name: "all inits done: the others", inits: ["i"], views: { i: ended(0) }, start: ["a"] },
  { name: "a failed init starts again at its time", inits: ["i"], views: { i: ended(1, now + 9) }, wakeAt: now + 9 },
  { name: "a failed init of a pod that never restarts ends it", policy: "Never", inits: ["i"], views: { i: ended(1) }, finished: "Failed" },
  { name: "a sidecar holds back what follows until it has started", inits: ["side", "i"], views: { side: starting } },
  { name: "a started sidecar lets the next begin", inits: ["side", "i"], views: { side: running }, start: ["i"] },
  { name: "an ended sidecar starts again beside the others", inits: ["side"], views: { side: ended(0), a: running }, start: ["side"] },
  { name: "sidecars end when all they serve has", policy: "Never", inits: ["side"], views: { side: running, a: ended(0) }, stop: ["side"] },
  {
    name: "a job with an ended sidecar is over",
    policy: "Never",
    inits: ["side"],
    views: { side: ended(0), a: ended(0) },
    finished: "Succeeded",
  },
  { name: "inits are over once the others began, whatever is known of them", inits: ["i"], views: { a: running } },
  { name: "an ended one starts again", views: { a: ended(0) }, start: ["a"] },
  { name: "OnFailure: a failed one starts again", policy: "OnFailure", views: { a: ended(2) }, start: ["a"] },
  { name: "OnFailure: a good end is the end", policy: "OnFailure", views: { a: ended(0) }, finished: "Succeeded" },
  { name: "Never: one failed, one runs: wait", policy: "Never", mains: ["a", "b"], views: { a: ended(1), b: running } },
  { name: "Never: one failed, one done", policy: "Never", mains: ["a", "b"], views: { a: ended(1), b: ended(0) }, finished: "Failed" },
  {
    name: "one that cannot start is tried at its time, others start",
    mains: ["a", "b"],
    views: { a: stuck },
    start: ["b"],
    wakeAt: now + 500,
  },
];

test.each(cases)("$name", (c) => {
  const container = (name: string): Container => ({ name, ...(name.startsWith("side") ? { restartPolicy: "Always" } : {}) });
  const pod: Pod = {
    spec: {
      restartPolicy: c.policy ?? "Always",
      initContainers: (c.inits ?? []).map(container),
      containers: (c.mains ?? ["a"]).map(container),
    },
  };
  const decision = decidePod(pod, (name) => ({ ...noView, ...c.views?.[name] }), now);
  expect({ ...decision, start: decision.start.map((s) => s.name) }).toEqual({
    start: c.start ?? [],
    stop: c.stop ?? [],
    wakeAt: c.wakeAt,
    finished: c.finished,
  });
});

test("restarts back off as the kubelet's do", () => {
  expect([1, 2, 3, 4, 5, 6, 7, 8, 50].map((n) => restartDelay(n) / 1000)).toEqual([0, 10, 20, 40, 80, 160, 300, 300, 300]);
});
