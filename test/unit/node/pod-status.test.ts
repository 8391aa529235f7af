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

test.each([
  { what: "has succeeded", init: {}, view: ended(0), want: true },
  { what: "has failed", init: {}, view: ended(1), want: false },
  { what: "runs", init: {}, view: { ...running, ready: false }, want: false },
  { what: "is a sidecar that has ended", init: { restartPolicy: "Always" }, view: ended(0), want: false },
])("an init container that $what is ready: $want", ({ init, view, want }) => {
  const status = statusOf({ i: view }, { pod: { ...pod, spec: { ...pod.spec, initContainers: [{ name: "i", ...init }] } } });
  expect(status.initContainerStatuses?.[0]?.ready).toBe(want);
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

test.each([
  { gate: undefined, ready: "False", message: 'corresponding condition of pod readiness gate "example.com/gate" does not exist.' },
  { gate: "False", ready: "False", message: 'the status of pod readiness gate "example.com/gate" is not "True", but False' },
  { gate: "Unknown", ready: "False", message: 'the status of pod readiness gate "example.com/gate" is not "True", but Unknown' },
  { gate: "True", ready: "True", message: undefined },
])("a readiness gate that is $gate counts for Ready, not for ContainersReady", ({ gate, ready, message }) => {
  const conditions = gate === undefined ? [] : [{ type: "example.com/gate", status: gate }];
  const spec = { ...pod.spec, readinessGates: [{ conditionType: "example.com/gate" }] };
  const status = statusOf({ i: ended(0), a: running, b: running }, { pod: { ...pod, spec, status: { conditions } } });
  expect(condition(status, "Ready")).toMatchObject({ status: ready, ...(message && { reason: "ReadinessGatesNotReady", message }) });
  expect(condition(status, "ContainersReady")?.status).toBe("True");
});

test("only the node's own conditions are in it, each with the time of its change", () => {
  const since = "2029-01-01T00:00:00Z";
  const conditions = [
    { type: "example.com/other", status: "False" },
    { type: "Ready", status: "False", lastTransitionTime: since },
    { type: "PodScheduled", status: "True", lastTransitionTime: since },
  ];
  const status = statusOf({ i: ended(0), a: running }, { pod: { ...pod, status: { conditions } } });
  expect(condition(status, "Ready")?.lastTransitionTime).toBe(since);
  expect(condition(status, "ContainersReady")?.lastTransitionTime).toBe("2030-01-01T12:00:00Z");
  expect(status.conditions?.map((c) => c.type)).toEqual(["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"]);
});

test("a finished pod is not ready, and says why it was ended", () => {
  const status = statusOf({ a: ended(0), b: ended(0) }, { finished: "Failed", reason: "DeadlineExceeded", message: "too long" });
  expect(status).toMatchObject({ phase: "Failed", reason: "DeadlineExceeded", message: "too long" });
  expect(condition(status, "Ready")).toMatchObject({ status: "False", reason: "PodFailed" });
});
