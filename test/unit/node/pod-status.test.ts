import { expect, test } from "vitest";
import type { Pod, PodStatus } from "../../../src/api/types/core-v1.generated.ts";
import { type ContainerView, noView } from "../../../src/node/pod-lifecycle.ts";
import { compilePodStatus, type PodFacts } from "../../../src/node/pod-status.ts";

const now = Date.UTC(2030, 0, 1, 12);
const pod: Pod = {
  metadata: { name: "web", namespace: "shop", uid: "u1", generation: 3 },
  spec: {
    initContainers: [{ name: "i" }],
    containers: [
      { name: "a", image: "x" },
      { name: "b", image: "y" },
    ],
  },
};
const exit = (code: number, at = now) => ({ code, reason: code === 0 ? "Completed" : "Error", message: "", at }) as const;
const running: ContainerView = { ...noView, phase: { kind: "running", id: "r", startedAt: now }, started: true, ready: true };
const ended = (code: number): ContainerView => ({ ...noView, phase: { kind: "ended", id: "e", startedAt: now, exit: exit(code) } });

function statusOf(views: Readonly<Record<string, ContainerView>>, more: Partial<PodFacts> = {}): PodStatus {
  const facts: PodFacts = {
    pod,
    view: (name) => views[name] ?? noView,
    podIps: ["10.0.0.2", "fd00::2"],
    hostIps: ["192.0.2.1"],
    startedAt: now,
    finished: undefined,
    reason: undefined,
    message: undefined,
    scheme: "crun",
    ...more,
  };
  return compilePodStatus(facts, now);
}
const condition = (status: PodStatus, type: string) => status.conditions?.find((c) => c.type === type);

test.each([
  { name: "before anything", views: {}, phase: "Pending", ready: "False", initialized: "False" },
  { name: "init runs", views: { i: running }, phase: "Pending", ready: "False", initialized: "False" },
  { name: "init done, one started", views: { i: ended(0), a: running }, phase: "Pending", ready: "False", initialized: "True" },
  { name: "all run", views: { i: ended(0), a: running, b: running }, phase: "Running", ready: "True", initialized: "True" },
  { name: "one ended", views: { i: ended(0), a: running, b: ended(1) }, phase: "Running", ready: "False", initialized: "True" },
])("phase and conditions: $name", ({ views, phase, ready, initialized }) => {
  const status = statusOf(views);
  expect(status.phase).toBe(phase);
  expect(condition(status, "Ready")?.status).toBe(ready);
  expect(condition(status, "ContainersReady")?.status).toBe(ready);
  expect(condition(status, "Initialized")?.status).toBe(initialized);
});

test("addresses, times, and what is not ready, in words", () => {
  const status = statusOf({ i: ended(0), a: running });
  expect(status).toMatchObject({
    podIP: "10.0.0.2",
    podIPs: [{ ip: "10.0.0.2" }, { ip: "fd00::2" }],
    hostIP: "192.0.2.1",
    startTime: "2030-01-01T12:00:00Z",
  });
  expect(status.observedGeneration).toBe(3);
  expect(condition(status, "Ready")).toMatchObject({ reason: "ContainersNotReady", message: "containers with unready status: [b]" });
  expect(statusOf({}).containerStatuses?.[0]?.state).toEqual({ waiting: { reason: "PodInitializing" } });
});

test("a wait for the next start is CrashLoopBackOff with the delay as Go prints it", () => {
  const again = (delay: number): ContainerView => ({ ...ended(1), restarts: 3, retryAt: now + delay });
  const state = (delay: number) => statusOf({ i: ended(0), a: again(delay) }).containerStatuses?.[0];
  expect(state(80_000)).toMatchObject({
    restartCount: 3,
    state: { waiting: { reason: "CrashLoopBackOff", message: "back-off 1m20s restarting failed container=a pod=web_shop(u1)" } },
  });
  expect(state(0)?.state?.terminated).toMatchObject({ exitCode: 1, reason: "Error", containerID: "crun://e" });
});

test("conditions of others stay, and a condition keeps the time of its change", () => {
  const before = [
    { type: "example.com/gate", status: "False" },
    { type: "Ready", status: "False", lastTransitionTime: "2029-01-01T00:00:00Z" },
    { type: "PodScheduled", status: "True", lastTransitionTime: "2029-01-01T00:00:00Z" },
  ];
  const gated: Pod = {
    ...pod,
    spec: { ...pod.spec, readinessGates: [{ conditionType: "example.com/gate" }] },
    status: { conditions: before },
  };
  const status = statusOf({ i: ended(0), a: running, b: running }, { pod: gated });
  expect(condition(status, "Ready")).toMatchObject({
    status: "False",
    reason: "ReadinessGatesNotReady",
    lastTransitionTime: "2029-01-01T00:00:00Z",
  });
  expect(condition(status, "ContainersReady")?.lastTransitionTime).toBe("2030-01-01T12:00:00Z");
  expect(status.conditions?.filter((c) => c.type === "PodScheduled" || c.type === "example.com/gate")).toEqual([before[0], before[2]]);
});

test("a finished pod is not ready, and says why it was ended", () => {
  const status = statusOf({ a: ended(0), b: ended(0) }, { finished: "Failed", reason: "DeadlineExceeded", message: "too long" });
  expect(status).toMatchObject({ phase: "Failed", reason: "DeadlineExceeded", message: "too long" });
  expect(condition(status, "Ready")).toMatchObject({ status: "False", reason: "PodFailed" });
});
