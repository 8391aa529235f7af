import type { Container, Pod, PodStatus, Probe } from "../api/types/core-v1.generated.ts";
import type { Clock } from "../base/clock.ts";
import type { Ip } from "../base/ip.ts";
import type { ContainerPlan } from "./container-plan.ts";
import { isNodeError } from "./errors.ts";
import { runHook } from "./hook.ts";
import { backoffForgottenMs, type ContainerView, decidePod, isSidecar, noView, restartDelay } from "./pod-lifecycle.ts";
import { compileSandbox } from "./pod-plan.ts";
import type { AdoptedPod, ContainerExit, ContainerRun, PodRuntime } from "./pod-runtime.ts";
import { compilePodStatus } from "./pod-status.ts";
import { type ProbeKind, type ProbeTarget, startProbe } from "./probe.ts";

/** What a worker needs from the node around it. */
export interface PodWorkerDeps {
  readonly clock: Clock;
  readonly runtime: PodRuntime;
  readonly hostIps: readonly Ip[];
  readonly scheme: string;
  /** Lays volumes and files and resolves references, for the next start of a container. Rejects with `pod-config`. */
  prepare(pod: Pod, podIps: readonly Ip[], signal: AbortSignal): Promise<void>;
  /** Throws or rejects with `pod-config`, or `image-missing`. */
  plan(pod: Pod, container: Container, attempt: number, podIps: readonly Ip[]): ContainerPlan;
  /** What the container left as its last words. */
  terminationMessage(pod: Pod, container: Container, attempt: number, failed: boolean): string;
  /** Writes the status soon; the last one wins. */
  publish(pod: Pod, status: PodStatus): void;
  /** Waits until all published is written, then removes the object. */
  finish(pod: Pod): Promise<void>;
  event(pod: Pod, container: string | undefined, type: "Normal" | "Warning", reason: string, message: string): void;
  /** Until the pod's endpoints have left the tables, 1 s at most. */
  endpointGone(pod: Pod, signal: AbortSignal): Promise<void>;
}

interface Slot {
  view: ContainerView;
  run: ContainerRun | undefined;
  /** Ends in a row without a long run between them. */
  ends: number;
  attempt: number;
  probes: AbortController | undefined;
  /** Set while the agent itself stops the container. */
  stopping: Promise<void> | undefined;
}

const sandboxRetryMs = 2000;
const configRetryMs = 2000;
const imageRetryFirstMs = 10_000;
const defaultGraceSeconds = 30;
/** How long the end of a node waits for a container that is just being started. */
const stepEndMs = 2000;

/** One pod on this node, from its first container to its removal. */
export class PodWorker {
  readonly uid: string;
  readonly done: Promise<void>;
  #pod: Pod;
  #ips: readonly Ip[] = [];
  #finished: "Succeeded" | "Failed" | undefined;
  #reason: string | undefined;
  #message: string | undefined;
  #toldFinished = false;
  /** While the pod ends: when the last grace is over, on the monotonic clock. */
  #killAt: number | undefined;
  #stopped = false;
  #stepping: Promise<unknown> | undefined;
  #terminating: { readonly graceSeconds: number } | undefined;
  #wake: PromiseWithResolvers<void> = Promise.withResolvers();
  readonly #startedAt: number;
  readonly #deps: PodWorkerDeps;
  readonly #slots = new Map<string, Slot>();
  /** Ends what the worker waits for while the pod is meant to run. */
  readonly #living = new AbortController();
  /** Ends the worker without touching containers. */
  readonly #leaving = new AbortController();

  constructor(pod: Pod, deps: PodWorkerDeps, adopted?: AdoptedPod) {
    this.#pod = pod;
    this.uid = pod.metadata?.uid ?? "";
    this.#deps = deps;
    const before = pod.status?.startTime;
    this.#startedAt = before === undefined ? deps.clock.now() : Date.parse(before);
    if (pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed") {
      this.#finished = pod.status.phase;
      this.#toldFinished = true;
    }
    this.done = this.#live(adopted);
  }

  get pod(): Pod {
    return this.#pod;
  }

  get ips(): readonly Ip[] {
    return this.#ips;
  }

  /** The container's last run, for logs and exec. */
  run(container: string): ContainerRun | undefined {
    return this.#slots.get(container)?.run;
  }

  view(container: string): ContainerView {
    return this.#slots.get(container)?.view ?? noView;
  }

  /** A newer version of the object, or the same to look again (a ConfigMap it waits for has come). */
  update(pod: Pod): void {
    this.#pod = pod;
    this.#nudge();
  }

  /** Ends the pod gracefully; a shorter grace than before takes effect. */
  terminate(graceSeconds: number): void {
    if (this.#terminating !== undefined && this.#terminating.graceSeconds <= graceSeconds) return;
    this.#terminating = { graceSeconds };
    this.#living.abort(new Error("the pod is being deleted"));
    this.#nudge();
  }

  /** Ends the containers, each within the grace, and leaves the object and what the next agent may go on with. */
  async stop(graceSeconds: number): Promise<void> {
    this.#living.abort(new Error("the node is ending"));
    this.#leaving.signal.throwIfAborted();
    this.#stopped = true;
    // A container that is being started is either given up, or there to be stopped.
    if (this.#stepping !== undefined) await Promise.race([this.#stepping, this.#deps.clock.sleep(stepEndMs)]);
    const running = [...this.#slots].filter(([, s]) => s.view.phase.kind === "running").map(([name]) => name);
    await Promise.all(running.map((name) => this.#stop(name, Math.min(graceSeconds, this.#grace()))));
    await this.#deps.runtime.removePod(this.uid);
  }

  /** Lets go of the pod; its containers run on. */
  leave(): void {
    this.#leaving.abort(new Error("the agent is ending"));
    this.#living.abort(new Error("the agent is ending"));
    for (const slot of this.#slots.values()) slot.probes?.abort();
    this.#nudge();
  }

  async #live(adopted: AdoptedPod | undefined): Promise<void> {
    if (adopted !== undefined) await this.#adopt(adopted);
    else this.#recall();
    while (!this.#leaving.signal.aborted && this.#terminating === undefined) {
      this.#wake = Promise.withResolvers();
      const step = this.#finished === undefined && !this.#stopped ? this.#step() : undefined;
      this.#stepping = step?.catch(() => undefined);
      const wakeAt = await step;
      this.#stepping = undefined;
      this.#publish();
      await this.#sleepUntil(wakeAt);
    }
    if (this.#leaving.signal.aborted || this.#stopped) return;
    await this.#end();
  }

  /** Does what is to be done now; returns when to look again. */
  async #step(): Promise<number | undefined> {
    const { clock } = this.#deps;
    const deadline = this.#pod.spec?.activeDeadlineSeconds;
    const deadlineAt = deadline === undefined ? undefined : this.#startedAt + deadline * 1000;
    if (deadlineAt !== undefined && clock.now() >= deadlineAt) {
      await this.#fail("DeadlineExceeded", "Pod was active on the node longer than the specified deadline");
      return undefined;
    }
    const decision = decidePod(this.#pod, (name) => this.view(name), clock.now());
    let wakeAt = earliest(decision.wakeAt, deadlineAt);
    if (decision.stop.length > 0) {
      await Promise.all(decision.stop.map((name) => this.#stop(name, this.#grace())));
      return clock.now();
    }
    if (decision.finished !== undefined) {
      this.#finished = decision.finished;
      return undefined;
    }
    if (decision.start.length === 0) return wakeAt;
    try {
      if (this.#ips.length === 0) {
        this.#ips = await this.#deps.runtime.createSandbox(compileSandbox(this.#pod), this.#living.signal);
      }
      await this.#deps.prepare(this.#pod, this.#ips, this.#living.signal);
    } catch (error) {
      if (this.#living.signal.aborted) return undefined;
      const [reason, message] = isNodeError(error, "pod-config")
        ? ["FailedMount", `MountVolume.SetUp failed: ${error.message}`]
        : ["FailedCreatePodSandBox", `Failed to create pod sandbox: ${messageOf(error)}`];
      this.#deps.event(this.#pod, undefined, "Warning", reason, message);
      return clock.now() + sandboxRetryMs;
    }
    for (const container of decision.start) {
      if (this.#living.signal.aborted) return undefined;
      await this.#start(container);
      this.#publish();
    }
    // A start changes what is to be done next (an init container that has ended already, a failed start).
    const after = decidePod(this.#pod, (name) => this.view(name), clock.now());
    wakeAt = earliest(earliest(after.wakeAt, deadlineAt), after.start.length > 0 ? clock.now() : undefined);
    return wakeAt;
  }

  async #start(container: Container): Promise<void> {
    const { clock, runtime } = this.#deps;
    const slot = this.#slot(container.name);
    const attempt = slot.attempt + (slot.run === undefined && slot.view.phase.kind !== "ended" ? 0 : 1);
    let plan: ContainerPlan;
    try {
      plan = this.#deps.plan(this.#pod, container, attempt, this.#ips);
    } catch (error) {
      if (!isNodeError(error)) throw error;
      this.#cannotStart(container, slot, error.code === "image-missing" ? "image" : "config", error.message);
      return;
    }
    this.#event(container.name, "Normal", "Pulled", `Container image "${container.image ?? ""}" already present on machine`);
    const begun = clock.now();
    let run: ContainerRun;
    try {
      run = await runtime.startContainer(plan, this.#living.signal);
    } catch (error) {
      if (this.#living.signal.aborted) return;
      const message = messageOf(error);
      this.#event(container.name, "Warning", "Failed", `Error: ${message}`);
      slot.attempt = attempt;
      const exit: ContainerExit = { code: 128, reason: "StartError", message, at: clock.now() };
      this.#ended(container, slot, { kind: "ended", id: `${this.uid}-${container.name}-${attempt}`, startedAt: begun, exit }, attempt);
      return;
    }
    slot.attempt = attempt;
    slot.run = run;
    const probed = container.startupProbe !== undefined;
    slot.view = {
      ...slot.view,
      phase: { kind: "running", id: run.id, startedAt: run.startedAt },
      lastEnd: slot.view.phase.kind === "ended" ? slot.view.phase : slot.view.lastEnd,
      restarts: attempt,
      started: !probed,
      ready: !probed && container.readinessProbe === undefined,
    };
    this.#event(container.name, "Normal", "Created", `Created container: ${container.name}`);
    this.#event(container.name, "Normal", "Started", `Started container ${container.name}`);
    this.#follow(container, slot, run);
    const hook = container.lifecycle?.postStart;
    if (hook !== undefined) {
      slot.view = { ...slot.view, started: false, ready: false };
      this.#publish();
      const failure = await runHook(hook, this.#target(container), this.#living.signal);
      if (this.#living.signal.aborted || slot.run !== run) return;
      if (failure !== undefined) {
        this.#event(container.name, "Warning", "FailedPostStartHook", `PostStartHook failed: ${failure}`);
        await this.#stop(container.name, this.#grace());
        return;
      }
      slot.view = { ...slot.view, started: !probed, ready: !probed && container.readinessProbe === undefined };
    }
    this.#startProbes(container, slot);
  }

  #follow(container: Container, slot: Slot, run: ContainerRun): void {
    void run.exited.then((exit) => {
      if (slot.run !== run || this.#leaving.signal.aborted) return;
      const failed = exit.code !== 0;
      const last = this.#deps.terminationMessage(this.#pod, container, run.attempt, failed);
      const full = exit.message === "" ? { ...exit, message: last } : exit;
      this.#ended(container, slot, { kind: "ended", id: run.id, startedAt: run.startedAt, exit: full }, run.attempt);
      this.#nudge();
    });
  }

  #ended(container: Container, slot: Slot, end: Extract<ContainerView["phase"], { kind: "ended" }>, attempt: number): void {
    slot.probes?.abort();
    slot.probes = undefined;
    slot.ends = end.exit.at - end.startedAt >= backoffForgottenMs ? 1 : slot.ends + 1;
    const delay = restartDelay(slot.ends);
    slot.view = {
      ...slot.view,
      lastEnd: slot.view.phase.kind === "ended" ? slot.view.phase : slot.view.lastEnd,
      phase: end,
      restarts: attempt,
      started: false,
      ready: false,
      retryAt: end.exit.at + delay,
    };
    if (delay > 0 && this.#terminating === undefined && this.#restarts(container, end.exit.code)) {
      const { name = "", namespace = "" } = this.#pod.metadata ?? {};
      const message = `Back-off restarting failed container ${container.name} in pod ${name}_${namespace}(${this.uid})`;
      this.#event(container.name, "Warning", "BackOff", message);
    }
  }

  #restarts(container: Container, code: number): boolean {
    const policy = isSidecar(container) ? "Always" : (this.#pod.spec?.restartPolicy ?? "Always");
    return policy === "Always" || (policy === "OnFailure" && code !== 0);
  }

  #cannotStart(container: Container, slot: Slot, what: "image" | "config", message: string): void {
    const { clock } = this.#deps;
    const image = container.image ?? "";
    if (what === "config") {
      this.#event(container.name, "Warning", "Failed", `Error: ${message}`);
      slot.view = {
        ...slot.view,
        lastEnd: slot.view.phase.kind === "ended" ? slot.view.phase : slot.view.lastEnd,
        phase: { kind: "waiting", reason: "CreateContainerConfigError", message },
        retryAt: clock.now() + configRetryMs,
      };
      return;
    }
    const again = slot.view.phase.kind === "waiting";
    if (!again) {
      this.#event(container.name, "Normal", "Pulling", `Pulling image "${image}"`);
      this.#event(container.name, "Warning", "Failed", `Failed to pull image "${image}": ${message}`);
      this.#event(container.name, "Warning", "Failed", "Error: ErrImagePull");
    } else {
      this.#event(container.name, "Normal", "BackOff", `Back-off pulling image "${image}"`);
      this.#event(container.name, "Warning", "Failed", "Error: ImagePullBackOff");
    }
    slot.ends++;
    slot.view = {
      ...slot.view,
      phase: again
        ? { kind: "waiting", reason: "ImagePullBackOff", message: `Back-off pulling image "${image}": ErrImagePull: ${message}` }
        : { kind: "waiting", reason: "ErrImagePull", message },
      retryAt: clock.now() + Math.min(300_000, imageRetryFirstMs * 2 ** (slot.ends - 1)),
    };
  }

  #startProbes(container: Container, slot: Slot): void {
    const stop = new AbortController();
    slot.probes = stop;
    const { run } = slot;
    const start = (kind: ProbeKind, probe: Probe, onResult: (ok: boolean, message: string) => void): void => {
      const startedAt = slot.view.phase.kind === "running" ? slot.view.phase.startedAt : this.#deps.clock.now();
      startProbe(
        { kind, probe, startedAt, target: () => this.#target(container), clock: this.#deps.clock },
        {
          changed: (ok, message) => {
            if (slot.run === run && !stop.signal.aborted) onResult(ok, message);
          },
          failed: (message) => {
            if (slot.run !== run || stop.signal.aborted) return;
            this.#event(container.name, "Warning", "Unhealthy", `${kind} probe failed: ${message}`);
          },
        },
        stop.signal,
      );
    };
    const kill = (kind: ProbeKind, probe: Probe): void => {
      this.#event(container.name, "Normal", "Killing", `Container ${container.name} failed ${kind.toLowerCase()} probe, will be restarted`);
      void this.#stop(container.name, probe.terminationGracePeriodSeconds ?? this.#grace());
    };
    const afterStart = (): void => {
      const { readinessProbe, livenessProbe } = container;
      if (readinessProbe !== undefined) start("Readiness", readinessProbe, (ok) => this.#setView(slot, { ready: ok }));
      if (livenessProbe !== undefined) {
        start("Liveness", livenessProbe, (ok) => {
          if (!ok && this.#terminating === undefined) kill("Liveness", livenessProbe);
        });
      }
    };
    const { startupProbe } = container;
    if (startupProbe === undefined || slot.view.started) {
      afterStart();
      return;
    }
    let begun = false;
    start("Startup", startupProbe, (ok) => {
      if (begun || this.#terminating !== undefined) return;
      if (!ok) {
        kill("Startup", startupProbe);
        return;
      }
      begun = true;
      this.#setView(slot, { started: true, ready: container.readinessProbe === undefined });
      afterStart();
    });
  }

  #setView(slot: Slot, change: Partial<ContainerView>): void {
    slot.view = { ...slot.view, ...change };
    this.#publish();
    this.#nudge();
  }

  #target(container: Container): ProbeTarget {
    const { runtime } = this.#deps;
    return {
      ip: this.#ips[0] ?? "127.0.0.1",
      port: (named) => portOf(container, named),
      exec: async (argv, signal) => {
        const run = this.#slots.get(container.name)?.run;
        if (run === undefined) return { code: 126, output: "the container does not run" };
        return runExec(runtime, run, argv, signal);
      },
    };
  }

  /** preStop, SIGTERM, and SIGKILL when the grace is over. A second call waits for the first. */
  async #stop(name: string, graceSeconds: number): Promise<void> {
    const slot = this.#slots.get(name);
    const run = slot?.run;
    if (slot === undefined || run === undefined || slot.view.phase.kind !== "running") return;
    slot.stopping ??= this.#stopRun(name, run, graceSeconds).finally(() => {
      slot.stopping = undefined;
    });
    await slot.stopping;
  }

  async #stopRun(name: string, run: ContainerRun, graceSeconds: number): Promise<void> {
    const { clock, runtime } = this.#deps;
    const container = [...(this.#pod.spec?.containers ?? []), ...(this.#pod.spec?.initContainers ?? [])].find((c) => c.name === name);
    const over = new AbortController();
    const killAt = clock.monotonic() + graceSeconds * 1000;
    void run.exited.then(() => over.abort(new Error("ended")));
    const left = (): number => Math.max(0, Math.min(killAt, this.#killAt ?? killAt) - clock.monotonic());
    const hook = container?.lifecycle?.preStop;
    if (container !== undefined && hook !== undefined && graceSeconds > 0) {
      const limit = AbortSignal.any([over.signal, timer(clock, left(), over.signal), this.#leaving.signal]);
      const failure = await runHook(hook, this.#target(container), limit);
      if (failure !== undefined && !over.signal.aborted)
        this.#event(name, "Warning", "FailedPreStopHook", `PreStopHook failed: ${failure}`);
    }
    const stopSignal = container?.lifecycle?.stopSignal;
    if (!over.signal.aborted && left() > 0) runtime.signalContainer(run, isSignal(stopSignal) ? stopSignal : "SIGTERM");
    while (!over.signal.aborted && left() > 0 && !this.#leaving.signal.aborted) {
      // In pieces: a deletion with a shorter grace may come meanwhile.
      await Promise.race([run.exited, clock.sleep(Math.min(left(), 250), over.signal).catch(() => undefined)]);
    }
    if (this.#leaving.signal.aborted) return;
    if (!over.signal.aborted) runtime.signalContainer(run, "SIGKILL");
    await run.exited;
    // The view is changed by the same promise: let that happen first.
    await Promise.resolve();
  }

  async #end(): Promise<void> {
    const { clock } = this.#deps;
    this.#publish();
    const running = (): string[] => [...this.#slots].filter(([, s]) => s.view.phase.kind === "running").map(([name]) => name);
    if (running().length > 0) await this.#deps.endpointGone(this.#pod, this.#leaving.signal).catch(() => undefined);
    const grace = this.#terminating?.graceSeconds ?? defaultGraceSeconds;
    const endAt = clock.monotonic() + grace * 1000;
    const sidecars = new Set((this.#pod.spec?.initContainers ?? []).filter(isSidecar).map((c) => c.name));
    const stop = async (names: readonly string[]): Promise<void> => {
      const left = Math.max(0, endAt - clock.monotonic()) / 1000;
      for (const name of names) this.#event(name, "Normal", "Killing", `Stopping container ${name}`);
      await Promise.all(names.map((name) => this.#stop(name, left)));
    };
    const watch = this.#shortenGrace();
    await stop(running().filter((name) => !sidecars.has(name)));
    // Sidecars outlive what they serve, and end in reverse order.
    for (const name of running().reverse()) await stop([name]);
    watch.abort();
    if (this.#leaving.signal.aborted) return;
    for (const slot of this.#slots.values()) slot.probes?.abort();
    const mains = this.#pod.spec?.containers ?? [];
    const code = (name: string): number | undefined => {
      const { phase } = this.view(name);
      return phase.kind === "ended" ? phase.exit.code : undefined;
    };
    this.#finished ??= mains.every((c) => code(c.name) === 0) ? "Succeeded" : "Failed";
    this.#publish();
    await Promise.all([this.#deps.runtime.removePod(this.uid), this.#deps.finish(this.#pod)]);
  }

  /** While the pod ends: a later, shorter grace moves the kill forward. */
  #shortenGrace(): AbortController {
    const stop = new AbortController();
    const { clock } = this.#deps;
    const begun = clock.monotonic();
    const loop = async (): Promise<void> => {
      while (!stop.signal.aborted) {
        this.#killAt = begun + (this.#terminating?.graceSeconds ?? defaultGraceSeconds) * 1000;
        this.#wake = Promise.withResolvers();
        await Promise.race([this.#wake.promise, aborted(stop.signal)]);
      }
    };
    void loop();
    return stop;
  }

  async #fail(reason: string, message: string): Promise<void> {
    const names = [...this.#slots].filter(([, s]) => s.view.phase.kind === "running").map(([name]) => name);
    this.#deps.event(this.#pod, undefined, "Normal", reason, message);
    await Promise.all(names.map((name) => this.#stop(name, this.#grace())));
    this.#finished = "Failed";
    this.#reason = reason;
    this.#message = message;
  }

  async #adopt(adopted: AdoptedPod): Promise<void> {
    this.#ips = adopted.ips;
    const statuses = [...(this.#pod.status?.initContainerStatuses ?? []), ...(this.#pod.status?.containerStatuses ?? [])];
    const containers = [...(this.#pod.spec?.initContainers ?? []), ...(this.#pod.spec?.containers ?? [])];
    for (const run of adopted.containers) {
      const container = containers.find((c) => c.name === run.name);
      if (container === undefined) continue;
      const slot = this.#slot(run.name);
      const known = statuses.find((s) => s.name === run.name && s.containerID?.endsWith(`//${run.id}`) === true);
      slot.attempt = run.attempt;
      slot.run = run;
      slot.view = {
        ...slot.view,
        phase: { kind: "running", id: run.id, startedAt: run.startedAt },
        restarts: run.attempt,
        started: container.startupProbe === undefined || known?.started === true,
        ready: container.readinessProbe === undefined || known?.ready === true,
      };
      this.#follow(container, slot, run);
      // One that ended while no agent looked says so at once.
      await Promise.race([run.exited, this.#deps.clock.sleep(20)]);
      if (slot.view.phase.kind === "running") this.#startProbes(container, slot);
    }
  }

  /**
   * A pod that ran here and of which nothing is left: the machine was restarted, or the cluster stopped in between. All of it starts
   * again, counted as a restart, but for what may not run twice.
   */
  #recall(): void {
    const policy = this.#pod.spec?.restartPolicy ?? "Always";
    const now = this.#deps.clock.now();
    for (const status of this.#pod.status?.containerStatuses ?? []) {
      const { running, terminated = status.lastState?.terminated } = status.state ?? {};
      if (running === undefined && terminated === undefined) continue;
      const id = (status.containerID ?? "").replace(/^[^:]*:\/\//, "");
      const unknown: ContainerExit = {
        code: 137,
        reason: "ContainerStatusUnknown",
        message: "The container could not be located when the pod was restarted",
        at: now,
      };
      const exit: ContainerExit =
        terminated === undefined || running !== undefined
          ? unknown
          : {
              code: terminated.exitCode,
              reason: terminated.exitCode === 0 ? "Completed" : "Error",
              message: terminated.message ?? "",
              at: Date.parse(terminated.finishedAt ?? "") || now,
            };
      const startedAt = Date.parse(running?.startedAt ?? terminated?.startedAt ?? "") || now;
      const end = { kind: "ended", id, startedAt, exit } as const;
      const slot = this.#slot(status.name);
      const over = policy === "Never" || (policy === "OnFailure" && exit.code === 0);
      slot.attempt = over ? status.restartCount : status.restartCount + 1;
      slot.view = { ...noView, restarts: slot.attempt, ...(over ? { phase: end } : { lastEnd: end }) };
    }
  }

  #publish(): void {
    // What has ended before this agent began is told already, and better than it could be told again.
    if (this.#leaving.signal.aborted || this.#toldFinished) return;
    const status = compilePodStatus(
      {
        pod: this.#pod,
        view: (name) => this.view(name),
        podIps: this.#ips,
        hostIps: this.#deps.hostIps,
        startedAt: this.#startedAt,
        finished: this.#finished,
        reason: this.#reason,
        message: this.#message,
        scheme: this.#deps.scheme,
      },
      this.#deps.clock.now(),
    );
    this.#deps.publish(this.#pod, status);
  }

  #event(container: string, type: "Normal" | "Warning", reason: string, message: string): void {
    this.#deps.event(this.#pod, container, type, reason, message);
  }

  #grace(): number {
    return this.#pod.spec?.terminationGracePeriodSeconds ?? defaultGraceSeconds;
  }

  #slot(name: string): Slot {
    const known = this.#slots.get(name);
    if (known !== undefined) return known;
    const slot: Slot = { view: noView, run: undefined, ends: 0, attempt: 0, probes: undefined, stopping: undefined };
    this.#slots.set(name, slot);
    return slot;
  }

  #nudge(): void {
    this.#wake.resolve();
  }

  async #sleepUntil(at: number | undefined): Promise<void> {
    if (at === undefined) {
      await this.#wake.promise;
      return;
    }
    const stop = new AbortController();
    const sleep = this.#deps.clock.sleep(Math.max(0, at - this.#deps.clock.now()), stop.signal).catch(() => undefined);
    await Promise.race([this.#wake.promise, sleep]);
    stop.abort();
  }
}

/** Output of at most 10 KiB; a command that outlives the signal is killed. */
async function runExec(
  runtime: PodRuntime,
  run: ContainerRun,
  argv: readonly string[],
  signal: AbortSignal,
): Promise<{ readonly code: number; readonly output: string }> {
  const session = runtime.exec(run, argv, { tty: false, stdin: false });
  const stop = (): void => session.kill();
  signal.addEventListener("abort", stop, { once: true });
  const chunks: Buffer[] = [];
  let size = 0;
  for (const stream of [session.stdout, session.stderr]) {
    stream.on("data", (d: Buffer) => {
      if (size < 10_240) chunks.push(d);
      size += d.length;
    });
  }
  const code = await session.exitCode;
  signal.removeEventListener("abort", stop);
  return { code, output: Buffer.concat(chunks).toString("utf8").slice(0, 10_240).trim() };
}

function portOf(container: Container, port: number | string): number | undefined {
  const number = Number(port);
  if (Number.isInteger(number)) return number;
  return container.ports?.find((p) => p.name === port)?.containerPort;
}

function timer(clock: Clock, ms: number, cancel: AbortSignal): AbortSignal {
  const over = new AbortController();
  void clock.sleep(ms, cancel).then(
    () => over.abort(new Error("the grace period is over")),
    () => undefined,
  );
  return over.signal;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function isSignal(name: string | undefined): name is NodeJS.Signals {
  return name !== undefined && /^SIG[A-Z0-9]+$/.test(name);
}

function earliest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.min(a, b);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
