import { PassThrough } from "node:stream";
import { afterEach, expect, test } from "vitest";
import type { Container, Pod, PodStatus } from "../../../src/api/types/core-v1.generated.ts";
import type { ContainerPlan } from "../../../src/node/container-plan.ts";
import { NodeError } from "../../../src/node/errors.ts";
import type { ContainerExit, ContainerRun, PodRuntime } from "../../../src/node/pod-runtime.ts";
import { PodWorker } from "../../../src/node/pod-worker.ts";
import type { PodWorkerDeps } from "../../../src/node/pod-worker-deps.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const cleanUp: (() => void)[] = [];
afterEach(() => {
  for (const act of cleanUp.splice(0)) act();
});

/** A worker over a runtime that does nothing but keep a diary: `start c#0`, `SIGTERM c`. Containers end when told to. */
function makeWorker(
  pod: Pod,
  change: Partial<PodWorkerDeps> = {},
  adopts: readonly { readonly name: string; readonly attempt: number }[] = [],
  heedsAt = 0,
) {
  const clock = new FakeClock();
  const diary: string[] = [];
  const events: string[] = [];
  const statuses: PodStatus[] = [];
  const ends = new Map<string, (code: number) => void>();
  const makeRun = (name: string, attempt: number): ContainerRun => {
    const { promise, resolve } = Promise.withResolvers<ContainerExit>();
    ends.set(name, (code) => resolve({ code, reason: code === 0 ? "Completed" : "Error", message: "", at: clock.now() }));
    return { id: `u-${name}-${attempt}`, podUid: "u", name, attempt, startedAt: clock.now(), exited: promise };
  };
  const runtime: PodRuntime = {
    version: "fake://1",
    folders: () => ({ pod: "", volumes: "", logs: "" }),
    mountMemory: async () => false,
    createSandbox: async () => ["10.0.0.2"],
    startContainer: async ({ name, attempt }): Promise<ContainerRun> => {
      diary.push(`${seconds()} start ${name}#${attempt}`);
      return makeRun(name, attempt);
    },
    signalContainer: (run, signal) => {
      diary.push(`${seconds()} ${signal} ${run.name}`);
      if (signal === "SIGKILL") ends.get(run.name)?.(137);
    },
    heeds: () => clock.monotonic() >= heedsAt,
    exec: (run, argv) => {
      diary.push(`${seconds()} exec ${run.name} ${argv.join(" ")}`);
      const code = Number(argv.at(-1));
      const stream = (): PassThrough => new PassThrough().end() as PassThrough;
      return {
        stdin: new PassThrough(),
        stdout: stream(),
        stderr: stream(),
        resize: () => undefined,
        exitCode: Promise.resolve(code),
        kill: () => undefined,
      };
    },
    attach: () => expect.fail("nobody attaches here"),
    removePod: async () => void diary.push(`${seconds()} removed`),
    adopt: async () => [],
    close: async () => undefined,
  };
  const seconds = (): number => clock.monotonic() / 1000;
  const deps: PodWorkerDeps = {
    clock,
    runtime,
    hostIps: ["192.0.2.1"],
    scheme: "fake",
    admit: async () => undefined,
    prepare: async () => undefined,
    plan: (_, { name }, attempt) => ({ podUid: "u", name, attempt }) as ContainerPlan,
    terminationMessage: () => "",
    publish: (_, status) => statuses.push(status),
    finish: async () => void diary.push(`${seconds()} finished`),
    event: (_pod, container, type, reason, message) => events.push(`${type} ${reason} ${container ?? "-"}: ${message}`),
    endpointGone: async () => {
      diary.push(`${seconds()} endpoints`);
      await clock.sleep(500);
    },
    ...change,
  };
  const left = { podUid: "u", namespace: "shop", name: "p", ips: ["10.0.0.2"] };
  const containers = adopts.map(({ name, attempt }) => makeRun(name, attempt));
  const worker = new PodWorker(pod, deps, adopts.length === 0 ? undefined : { ...left, containers });
  cleanUp.push(() => worker.leave());
  return {
    worker,
    clock,
    diary,
    events,
    last: () => statuses.at(-1),
    end: async (name: string, code: number) => {
      ends.get(name)?.(code);
      await clock.advance(0);
    },
  };
}

const makePod = (spec: Pod["spec"], status?: PodStatus): Pod => ({
  metadata: { name: "p", namespace: "shop", uid: "u" },
  spec: { containers: [{ name: "c" }], ...spec },
  ...(status === undefined ? {} : { status }),
});

test("init containers go first, one by one", async () => {
  const { clock, diary, end, last } = makeWorker(makePod({ initContainers: [{ name: "i" }, { name: "j" }] }));
  await clock.advance(0);
  expect(last()).toMatchObject({ phase: "Pending", podIP: "10.0.0.2" });
  await end("i", 0);
  await end("j", 0);
  expect(diary).toEqual(["0 start i#0", "0 start j#0", "0 start c#0"]);
  expect(last()).toMatchObject({ phase: "Running" });
});

test("a pod that the node does not take fails without having run; one that ran here before is taken", async () => {
  const refusal = { reason: "NodePorts", message: "Predicate NodePorts failed" };
  const refused = makeWorker(makePod({}), { admit: async () => refusal });
  await refused.clock.advance(10_000);
  expect([refused.diary, refused.worker.isFinished]).toEqual([[], true]);
  expect(refused.last()).toMatchObject({ phase: "Failed", reason: "NodePorts", message: "Pod was rejected: Predicate NodePorts failed" });
  expect(refused.events).toEqual(["Warning NodePorts -: Predicate NodePorts failed"]);
  const known = makeWorker(makePod({}, { startTime: "2030-01-01T00:00:00Z" }), { admit: async () => refusal });
  await known.clock.advance(0);
  expect(known.diary).toEqual(["0 start c#0"]);
});

test("restarts: at once, then after 10 s and 20 s", async () => {
  const { clock, diary, end, last, events } = makeWorker(makePod({}));
  await clock.advance(1000);
  await end("c", 1);
  await end("c", 1);
  expect(last()?.containerStatuses?.[0]).toMatchObject({ restartCount: 1, state: { waiting: { reason: "CrashLoopBackOff" } } });
  await clock.advance(10_000);
  await end("c", 1);
  await clock.advance(20_000);
  expect(diary).toEqual(["0 start c#0", "1 start c#1", "11 start c#2", "31 start c#3"]);
  expect(events.filter((e) => e.includes("BackOff"))).toEqual(
    Array.from({ length: 2 }, () => "Warning BackOff c: Back-off restarting failed container c in pod p_shop(u)"),
  );
});

test("a container that is stopped before it listens for signals is told again as soon as it does", async () => {
  const { clock, diary, worker } = makeWorker(makePod({ terminationGracePeriodSeconds: 30 }), {}, [], 2000);
  await clock.advance(500);
  worker.terminate(30);
  await clock.advance(5000);
  expect(diary.filter((l) => l.includes("SIG"))).toEqual(["1 SIGTERM c", "2 SIGTERM c"]);
});

test("a failing liveness probe ends the container by SIGTERM and grace, then it starts again", async () => {
  const livenessProbe = { exec: { command: ["look", "1"] }, periodSeconds: 1, failureThreshold: 2 };
  const { clock, diary } = makeWorker(makePod({ containers: [{ name: "c", livenessProbe }], terminationGracePeriodSeconds: 5 }));
  await clock.advance(7000);
  expect(diary).toEqual([
    "0 start c#0",
    "0 exec c look 1",
    "1 exec c look 1",
    "1 SIGTERM c",
    ...["2", "3", "4", "5", "6"].map((s) => `${s} exec c look 1`),
    "6 SIGKILL c",
    "6 start c#1",
    "6 exec c look 1",
    "7 exec c look 1",
    "7 SIGTERM c",
  ]);
});

test("a deleted pod: endpoints first, then hooks, SIGTERM, SIGKILL; sidecars last", async () => {
  const containers: Container[] = [{ name: "c", lifecycle: { preStop: { exec: { command: ["bye", "0"] } } } }];
  const { worker, clock, diary, end } = makeWorker(makePod({ containers, initContainers: [{ name: "side", restartPolicy: "Always" }] }));
  await clock.advance(0);
  worker.terminate(3);
  await clock.advance(5000);
  await end("side", 0);
  expect(diary.slice(2)).toEqual([
    "0 endpoints",
    "0.5 exec c bye 0",
    "0.5 SIGTERM c",
    "3.5 SIGKILL c",
    "3.5 SIGKILL side",
    "3.5 removed",
    "3.5 finished",
  ]);
  await worker.done;
});

test("a deletion with a shorter grace takes effect while a longer one runs", async () => {
  const { worker, clock, diary } = makeWorker(makePod({}));
  await clock.advance(0);
  worker.terminate(60);
  await clock.advance(2000);
  worker.terminate(1);
  await clock.advance(1000);
  expect(diary.slice(1)).toEqual(["0 endpoints", "0.5 SIGTERM c", "2.25 SIGKILL c", "2.25 removed", "2.25 finished"]);
});

test("what a pod waits for is told, and it goes on when that is there", async () => {
  let there = false;
  const prepare = async (): Promise<void> => {
    if (!there) throw new NodeError("pod-config", 'volume "v" : configmap "c" not found');
  };
  const { worker, clock, diary, events, last } = makeWorker(makePod({}), { prepare });
  await clock.advance(0);
  expect(events).toEqual(['Warning FailedMount -: MountVolume.SetUp failed for volume "v" : configmap "c" not found']);
  expect(last()?.containerStatuses?.[0]?.state).toEqual({ waiting: { reason: "ContainerCreating" } });
  there = true;
  worker.update(worker.pod);
  await clock.advance(0);
  expect(diary).toEqual(["0 start c#0"]);
});

test("an unknown image backs off, and a missing reference is a CreateContainerConfigError", async () => {
  const { clock, last } = makeWorker(makePod({ containers: [{ name: "c", image: "nope" }] }), {
    plan: () => {
      throw new NodeError("image-missing", "not there");
    },
  });
  await clock.advance(0);
  expect(last()?.containerStatuses?.[0]?.state?.waiting).toEqual({ reason: "ErrImagePull", message: "not there" });
  await clock.advance(10_000);
  expect(last()?.containerStatuses?.[0]?.state?.waiting?.reason).toBe("ImagePullBackOff");
  const other = makeWorker(makePod({}), {
    plan: () => {
      throw new NodeError("pod-config", 'secret "s" not found');
    },
  });
  await other.clock.advance(0);
  expect(other.last()?.containerStatuses?.[0]?.state?.waiting).toEqual({
    reason: "CreateContainerConfigError",
    message: 'secret "s" not found',
  });
});

test("a pod past its deadline fails", async () => {
  const { clock, diary, last } = makeWorker(makePod({ activeDeadlineSeconds: 5, terminationGracePeriodSeconds: 1 }));
  await clock.advance(7000);
  expect(diary).toEqual(["0 start c#0", "5 SIGTERM c", "6 SIGKILL c"]);
  expect(last()).toMatchObject({ phase: "Failed", reason: "DeadlineExceeded" });
});

test.each<{ name: string; policy: string; state: PodStatus["containerStatuses"]; want: readonly string[]; phase: string | undefined }>([
  { name: "starts again, counted", policy: "Always", state: running(2), want: ["0 start c#3"], phase: "Running" },
  { name: "a job that ran may not run twice", policy: "Never", state: running(0), want: [], phase: "Failed" },
  { name: "a job that was done stays done", policy: "OnFailure", state: done(0), want: [], phase: "Succeeded" },
])("nothing is left of a pod that ran: $name", async ({ policy, state, want, phase }) => {
  const { clock, diary, last } = makeWorker(makePod({ restartPolicy: policy }, { containerStatuses: state ?? [] }));
  await clock.advance(0);
  expect(diary).toEqual(want);
  expect(last()?.phase).toBe(phase);
});

function running(restartCount: number): NonNullable<PodStatus["containerStatuses"]> {
  return [{ name: "c", ready: true, restartCount, image: "", imageID: "", state: { running: { startedAt: "2029-01-01T00:00:00Z" } } }];
}
function done(exitCode: number): NonNullable<PodStatus["containerStatuses"]> {
  return [{ name: "c", ready: false, restartCount: 0, image: "", imageID: "", state: { terminated: { exitCode } } }];
}

test("the end of the node waits for a container that is being started, and then removes the pod", async () => {
  const started: (() => void)[] = [];
  const { worker, clock, diary } = makeWorker(makePod({}), {
    prepare: (_pod, _ips, signal) =>
      new Promise((_, reject) => {
        started.push(() => reject(signal.reason));
      }),
  });
  await clock.advance(0);
  expect(started).toHaveLength(1);
  const stopped = worker.stop(4);
  await clock.advance(300);
  expect(diary).toEqual([]);
  started[0]?.();
  await clock.advance(0);
  await stopped;
  expect(diary).toEqual(["0.3 removed"]);
});

test("an evicted pod fails within a second, and stays as it is told", async () => {
  const { worker, clock, diary, events, last } = makeWorker(makePod({}));
  await clock.advance(0);
  worker.evict('Usage of EmptyDir volume "v" exceeds the limit "1Mi". ');
  await clock.advance(1000);
  expect(diary).toEqual(["0 start c#0", "0 SIGTERM c", "1 SIGKILL c"]);
  expect(events.at(-1)).toBe('Warning Evicted -: Usage of EmptyDir volume "v" exceeds the limit "1Mi". ');
  expect(last()).toMatchObject({ phase: "Failed", reason: "Evicted", message: 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ' });
});

test("an adopted container keeps what was told of it: restarts, readiness, its last end", async () => {
  const terminated = {
    exitCode: 3,
    reason: "Error",
    startedAt: "2029-01-01T00:00:00Z",
    finishedAt: "2029-01-01T00:00:09Z",
    containerID: "fake://u-c-1",
  };
  const told = { name: "c", restartCount: 2, image: "", imageID: "", containerID: "fake://u-c-2", ready: true, started: true };
  const status = { containerStatuses: [{ ...told, state: { running: {} }, lastState: { terminated } }] };
  const readinessProbe = { exec: { command: ["look", "0"] }, initialDelaySeconds: 60 };
  const pod = makePod({ containers: [{ name: "c", readinessProbe }] }, status);
  const { clock, diary, last } = makeWorker(pod, {}, [{ name: "c", attempt: 2 }]);
  await clock.advance(20);
  expect(diary).toEqual([]);
  expect(last()?.containerStatuses?.[0]).toMatchObject({
    ready: true,
    restartCount: 2,
    containerID: "fake://u-c-2",
    lastState: { terminated },
  });
});

test("the end of an adopted pod goes on where it was: the grace counts from the deletion", async () => {
  const pod = makePod({});
  const first = makeWorker(pod, {}, [{ name: "c", attempt: 0 }]);
  const deletionTimestamp = new Date(first.clock.now() + 5000).toISOString();
  first.worker.update({ ...pod, metadata: { ...pod.metadata, deletionTimestamp } });
  first.worker.terminate(30);
  await first.clock.advance(10_000);
  expect(first.diary.filter((line) => line.includes("SIG"))).toEqual(["0.52 SIGTERM c", "5 SIGKILL c"]);
});
