import type { Container, Pod } from "../api/types/core-v1.generated.ts";
import type { Ip } from "../base/ip.ts";
import { type ContainerHome, ContainerLife } from "./container-life.ts";
import { recallContainer } from "./container-recall.ts";
import { isNodeError } from "./errors.ts";
import { type ContainerView, decidePod, isSidecar, noView } from "./pod-lifecycle.ts";
import { compileSandbox } from "./pod-plan.ts";
import type { AdoptedPod, ContainerRun } from "./pod-runtime.ts";
import { compilePodStatus } from "./pod-status.ts";
import type { PodWorkerDeps } from "./pod-worker-deps.ts";

const sandboxRetryMs = 2000;
const defaultGraceSeconds = 30;
/** What a pod gets that the node ends for want of room. */
const evictionGraceSeconds = 1;
/** What is left at least for a pod whose grace was over while no agent looked. */
const leastGraceMs = 1000;
/** How long the end of a node waits for a container that is just being started. */
const stepEndMs = 2000;

interface Failure {
  readonly reason: string;
  readonly message: string;
}

/** One pod on this node, from its first container to its removal. */
export class PodWorker {
  readonly uid: string;
  readonly done: Promise<void>;
  #pod: Pod;
  #ips: readonly Ip[] = [];
  #finished: "Succeeded" | "Failed" | undefined;
  #failure: Failure | undefined;
  #evicted: string | undefined;
  #toldFinished = false;
  /** While the pod ends: when the last grace is over, on the monotonic clock. */
  #killAt: number | undefined;
  #stopped = false;
  #stepping: Promise<unknown> | undefined;
  #terminating: { readonly graceSeconds: number } | undefined;
  #wake: PromiseWithResolvers<void> = Promise.withResolvers();
  readonly #startedAt: number;
  readonly #deps: PodWorkerDeps;
  readonly #lives = new Map<string, ContainerLife>();
  readonly #home: ContainerHome;
  readonly #adopted: boolean;
  /** Ends what the worker waits for while the pod is meant to run. */
  readonly #living = new AbortController();
  /** Ends the worker without touching containers. */
  readonly #leaving = new AbortController();

  constructor(pod: Pod, deps: PodWorkerDeps, adopted?: AdoptedPod) {
    this.#pod = pod;
    this.uid = pod.metadata?.uid ?? "";
    this.#deps = deps;
    this.#adopted = adopted !== undefined;
    this.#home = {
      uid: this.uid,
      deps,
      living: this.#living.signal,
      leaving: this.#leaving.signal,
      pod: () => this.#pod,
      ips: () => this.#ips,
      graceSeconds: () => this.#grace(),
      killAt: () => this.#killAt,
      terminating: () => this.#terminating !== undefined,
      publish: () => this.#publish(),
      nudge: () => this.#nudge(),
    };
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

  /** Nothing of it will run any more. */
  get isFinished(): boolean {
    return this.#finished !== undefined;
  }

  get ips(): readonly Ip[] {
    return this.#ips;
  }

  /** The container's last run, for logs and exec. */
  run(container: string): ContainerRun | undefined {
    return this.#lives.get(container)?.run;
  }

  view(container: string): ContainerView {
    return this.#lives.get(container)?.view ?? noView;
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

  /** Ends the containers and leaves the object, failed, with `message` as the reason. */
  evict(message: string): void {
    if (this.#evicted !== undefined || this.#finished !== undefined) return;
    this.#evicted = message;
    this.#nudge();
  }

  /** Ends the containers, each within the grace, and leaves the object and what the next agent may go on with. */
  async stop(graceSeconds: number): Promise<void> {
    this.#living.abort(new Error("the node is ending"));
    this.#leaving.signal.throwIfAborted();
    this.#stopped = true;
    // A container that is being started is either given up, or there to be stopped.
    if (this.#stepping !== undefined) await Promise.race([this.#stepping, this.#deps.clock.sleep(stepEndMs)]);
    await this.#stopAll(this.#running(), Math.min(graceSeconds, this.#grace()));
    await this.#deps.runtime.removePod(this.uid);
  }

  /** Lets go of the pod; its containers run on. */
  leave(): void {
    this.#leaving.abort(new Error("the agent is ending"));
    this.#living.abort(new Error("the agent is ending"));
    for (const life of this.#lives.values()) life.stopProbes();
    this.#nudge();
  }

  async #live(adopted: AdoptedPod | undefined): Promise<void> {
    if (adopted !== undefined) await this.#adopt(adopted);
    else {
      this.#recall();
      await this.#admit();
    }
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

  /** What ran here before has been taken already. */
  async #admit(): Promise<void> {
    if (this.#finished !== undefined || this.#pod.status?.startTime !== undefined) return;
    const refusal = await this.#deps.admit(this.#pod, this.#living.signal);
    if (refusal === undefined) return;
    this.#deps.event(this.#pod, undefined, "Warning", refusal.reason, refusal.message);
    this.#finished = "Failed";
    this.#failure = { reason: refusal.reason, message: `Pod was rejected: ${refusal.message}` };
  }

  /** Does what is to be done now; returns when to look again. */
  async #step(): Promise<number | undefined> {
    const { clock } = this.#deps;
    if (this.#evicted !== undefined) {
      await this.#fail({ reason: "Evicted", message: this.#evicted }, "Warning", evictionGraceSeconds);
      return undefined;
    }
    const deadline = this.#pod.spec?.activeDeadlineSeconds;
    const deadlineAt = deadline === undefined ? undefined : this.#startedAt + deadline * 1000;
    if (deadlineAt !== undefined && clock.now() >= deadlineAt) {
      const message = "Pod was active on the node longer than the specified deadline";
      await this.#fail({ reason: "DeadlineExceeded", message }, "Normal", this.#grace());
      return undefined;
    }
    const decision = decidePod(this.#pod, (name) => this.view(name), clock.now());
    if (decision.stop.length > 0) {
      await this.#stopAll(decision.stop, this.#grace());
      return clock.now();
    }
    if (decision.finished !== undefined) {
      this.#finished = decision.finished;
      return undefined;
    }
    if (decision.start.length === 0) return earliest(decision.wakeAt, deadlineAt);
    try {
      if (this.#ips.length === 0) {
        this.#ips = await this.#deps.runtime.createSandbox(compileSandbox(this.#pod), this.#living.signal);
      }
      await this.#deps.prepare(this.#pod, this.#ips, this.#living.signal);
    } catch (error) {
      if (this.#living.signal.aborted) return undefined;
      const [reason, message] = isNodeError(error, "pod-config")
        ? ["FailedMount", `MountVolume.SetUp failed for ${error.message}`]
        : ["FailedCreatePodSandBox", `Failed to create pod sandbox: ${messageOf(error)}`];
      this.#deps.event(this.#pod, undefined, "Warning", reason, message);
      return clock.now() + sandboxRetryMs;
    }
    for (const container of decision.start) {
      if (this.#living.signal.aborted) return undefined;
      await this.#life(container.name).start(container);
      this.#publish();
    }
    // A start changes what is to be done next (an init container that has ended already, a failed start).
    const after = decidePod(this.#pod, (name) => this.view(name), clock.now());
    return earliest(earliest(after.wakeAt, deadlineAt), after.start.length > 0 ? clock.now() : undefined);
  }

  /** The end of a pod that is deleted, to the removal of its object. */
  async #end(): Promise<void> {
    const { clock } = this.#deps;
    this.#publish();
    if (this.#running().length > 0) await this.#deps.endpointGone(this.#pod, this.#leaving.signal).catch(() => undefined);
    const most = this.#mostGraceMs();
    const endAt = clock.monotonic() + Math.min(this.#terminatingMs(), most);
    const sidecars = new Set((this.#pod.spec?.initContainers ?? []).filter(isSidecar).map((c) => c.name));
    const stop = async (names: readonly string[]): Promise<void> => {
      const left = Math.max(0, endAt - clock.monotonic()) / 1000;
      for (const name of names) this.#deps.event(this.#pod, name, "Normal", "Killing", `Stopping container ${name}`);
      await this.#stopAll(names, left);
    };
    const watch = this.#shortenGrace(most);
    await stop(this.#running().filter((name) => !sidecars.has(name)));
    // Sidecars outlive what they serve, and end in reverse order.
    for (const name of this.#running().toReversed()) await stop([name]);
    watch.abort();
    if (this.#leaving.signal.aborted) return;
    for (const life of this.#lives.values()) life.stopProbes();
    this.#finished ??= (this.#pod.spec?.containers ?? []).every((c) => this.#endCode(c.name) === 0) ? "Succeeded" : "Failed";
    this.#publish();
    await Promise.all([this.#deps.runtime.removePod(this.uid), this.#deps.finish(this.#pod)]);
  }

  /** While the pod ends: a later, shorter grace moves the kill forward. */
  #shortenGrace(mostMs: number): AbortController {
    const stop = new AbortController();
    const begun = this.#deps.clock.monotonic();
    const loop = async (): Promise<void> => {
      while (!stop.signal.aborted) {
        this.#killAt = begun + Math.min(this.#terminatingMs(), mostMs);
        this.#wake = Promise.withResolvers();
        await Promise.race([this.#wake.promise, aborted(stop.signal)]);
      }
    };
    void loop();
    return stop;
  }

  #terminatingMs(): number {
    return (this.#terminating?.graceSeconds ?? defaultGraceSeconds) * 1000;
  }

  /** For a pod whose end an earlier agent began: what is left by the object's own clock. */
  #mostGraceMs(): number {
    const due = Date.parse(this.#pod.metadata?.deletionTimestamp ?? "");
    if (!this.#adopted || Number.isNaN(due)) return Number.POSITIVE_INFINITY;
    return Math.max(leastGraceMs, due - this.#deps.clock.now());
  }

  async #fail(failure: Failure, type: "Normal" | "Warning", graceSeconds: number): Promise<void> {
    this.#deps.event(this.#pod, undefined, type, failure.reason, failure.message);
    await this.#stopAll(this.#running(), graceSeconds);
    this.#finished = "Failed";
    this.#failure = failure;
  }

  async #stopAll(names: readonly string[], graceSeconds: number): Promise<void> {
    await Promise.all(
      names.map(async (name) => {
        const container = this.#container(name);
        if (container !== undefined) await this.#lives.get(name)?.stop(container, graceSeconds);
      }),
    );
  }

  async #adopt(adopted: AdoptedPod): Promise<void> {
    this.#ips = adopted.ips;
    const statuses = [...(this.#pod.status?.initContainerStatuses ?? []), ...(this.#pod.status?.containerStatuses ?? [])];
    for (const run of adopted.containers) {
      const container = this.#container(run.name);
      if (container === undefined) continue;
      const known = statuses.find((s) => s.name === run.name);
      await this.#life(run.name).adopt(container, run, known);
    }
  }

  #recall(): void {
    const policy = this.#pod.spec?.restartPolicy ?? "Always";
    for (const status of this.#pod.status?.containerStatuses ?? []) {
      const recalled = recallContainer(status, policy, this.#deps.clock.now());
      if (recalled !== undefined) this.#life(status.name).recall(recalled);
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
        reason: this.#failure?.reason,
        message: this.#failure?.message,
        scheme: this.#deps.scheme,
      },
      this.#deps.clock.now(),
    );
    this.#deps.publish(this.#pod, status);
  }

  #running(): readonly string[] {
    return [...this.#lives].filter(([, life]) => life.isRunning).map(([name]) => name);
  }

  #endCode(name: string): number | undefined {
    const { phase } = this.view(name);
    return phase.kind === "ended" ? phase.exit.code : undefined;
  }

  #container(name: string): Container | undefined {
    return [...(this.#pod.spec?.containers ?? []), ...(this.#pod.spec?.initContainers ?? [])].find((c) => c.name === name);
  }

  #life(name: string): ContainerLife {
    const known = this.#lives.get(name);
    if (known !== undefined) return known;
    const life = new ContainerLife(this.#home);
    this.#lives.set(name, life);
    return life;
  }

  #grace(): number {
    return this.#pod.spec?.terminationGracePeriodSeconds ?? defaultGraceSeconds;
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

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function earliest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.min(a, b);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
