import type { Container, ContainerStatus, Pod } from "../api/types/core-v1.generated.ts";
import type { Ip } from "../base/ip.ts";
import type { ContainerPlan } from "./container-plan.ts";
import { startContainerProbes } from "./container-probes.ts";
import { type Recalled, recallLastEnd } from "./container-recall.ts";
import { stopContainer } from "./container-stop.ts";
import { containerTarget } from "./container-target.ts";
import { isNodeError } from "./errors.ts";
import { runHook } from "./hook.ts";
import { backoffForgottenMs, type ContainerView, isSidecar, noView, restartDelay } from "./pod-lifecycle.ts";
import type { ContainerExit, ContainerRun } from "./pod-runtime.ts";
import type { PodWorkerDeps } from "./pod-worker-deps.ts";
import type { ProbeTarget } from "./probe.ts";

/** What a container's life asks of its pod, and tells it. */
export interface ContainerHome {
  readonly uid: string;
  readonly deps: PodWorkerDeps;
  /** Ends what is waited for while the pod is meant to run. */
  readonly living: AbortSignal;
  /** Ends the work without touching containers. */
  readonly leaving: AbortSignal;
  pod(): Pod;
  ips(): readonly Ip[];
  graceSeconds(): number;
  /** While the pod ends: when the last grace is over, on the monotonic clock. */
  killAt(): number | undefined;
  terminating(): boolean;
  /** What is known of the container has changed: to be told. */
  publish(): void;
  /** Something is to be decided anew. */
  nudge(): void;
}

type Ended = Extract<ContainerView["phase"], { kind: "ended" }>;

const configRetryMs = 2000;
const imageRetryFirstMs = 10_000;
const imageRetryMostMs = 300_000;
/** How long an adopted container has to say that it ended while no agent looked. */
const adoptedEndMs = 20;

/** One container of a pod, through all its runs. */
export class ContainerLife {
  readonly #home: ContainerHome;
  #view: ContainerView = noView;
  #run: ContainerRun | undefined;
  /** Ends in a row without a long run between them. */
  #ends = 0;
  #attempt = 0;
  #probes: AbortController | undefined;
  /** Set while the agent itself stops the container. */
  #stopping: Promise<void> | undefined;

  constructor(home: ContainerHome) {
    this.#home = home;
  }

  get view(): ContainerView {
    return this.#view;
  }

  /** The last run. */
  get run(): ContainerRun | undefined {
    return this.#run;
  }

  get isRunning(): boolean {
    return this.#view.phase.kind === "running";
  }

  /** Starts the next attempt: what comes of it, also a refusal, is in `view`. */
  async start(container: Container): Promise<void> {
    const { deps, living } = this.#home;
    const attempt = this.#attempt + (this.#run === undefined && this.#view.phase.kind !== "ended" ? 0 : 1);
    let plan: ContainerPlan;
    try {
      plan = deps.plan(this.#home.pod(), container, attempt, this.#home.ips());
    } catch (error) {
      if (!isNodeError(error)) throw error;
      if (error.code === "image-missing") this.#lacksImage(container, error.message);
      else this.#lacksReference(container, error.message);
      return;
    }
    this.#event(container, "Normal", "Pulled", `Container image "${container.image ?? ""}" already present on machine`);
    const begun = deps.clock.now();
    let run: ContainerRun;
    try {
      run = await deps.runtime.startContainer(plan, living);
    } catch (error) {
      if (living.aborted) return;
      const message = error instanceof Error ? error.message : String(error);
      this.#event(container, "Warning", "Failed", `Error: ${message}`);
      this.#attempt = attempt;
      const exit: ContainerExit = { code: 128, reason: "StartError", message, at: deps.clock.now() };
      this.#ended(container, { kind: "ended", id: `${this.#home.uid}-${container.name}-${attempt}`, startedAt: begun, exit }, attempt);
      return;
    }
    this.#attempt = attempt;
    this.#run = run;
    const probed = container.startupProbe !== undefined;
    const fresh = { started: !probed, ready: !probed && container.readinessProbe === undefined };
    this.#view = {
      ...this.#view,
      phase: { kind: "running", id: run.id, startedAt: run.startedAt },
      lastEnd: this.#lastEnd(),
      restarts: attempt,
      ...fresh,
    };
    this.#event(container, "Normal", "Created", `Created container: ${container.name}`);
    this.#event(container, "Normal", "Started", `Started container ${container.name}`);
    this.#follow(container, run);
    const hook = container.lifecycle?.postStart;
    if (hook !== undefined) {
      this.#view = { ...this.#view, started: false, ready: false };
      this.#home.publish();
      const failure = await runHook(hook, this.#target(container), living);
      if (living.aborted || this.#run !== run) return;
      if (failure !== undefined) {
        this.#event(container, "Warning", "FailedPostStartHook", `PostStartHook failed: ${failure}`);
        await this.stop(container, this.#home.graceSeconds());
        return;
      }
      this.#view = { ...this.#view, ...fresh };
    }
    this.#startProbes(container);
  }

  /** Ends a running container within the grace. A second call waits for the first. */
  async stop(container: Container, graceSeconds: number): Promise<void> {
    const run = this.#run;
    if (run === undefined || !this.isRunning) return;
    const { deps, leaving } = this.#home;
    this.#stopping ??= stopContainer(
      {
        run,
        lifecycle: container.lifecycle,
        graceSeconds,
        clock: deps.clock,
        runtime: deps.runtime,
        target: () => this.#target(container),
        killAt: () => this.#home.killAt(),
        hookFailed: (message) => this.#event(container, "Warning", "FailedPreStopHook", `PreStopHook failed: ${message}`),
      },
      leaving,
    ).finally(() => {
      this.#stopping = undefined;
    });
    await this.#stopping;
  }

  /** Goes on with what an earlier agent left. `known` is what that agent told of it last. */
  async adopt(container: Container, run: ContainerRun, known: ContainerStatus | undefined): Promise<void> {
    const { clock } = this.#home.deps;
    const same = known?.containerID?.endsWith(`//${run.id}`) === true;
    const started = container.startupProbe === undefined || (same && known.started === true);
    this.#attempt = run.attempt;
    this.#run = run;
    this.#view = {
      ...this.#view,
      phase: { kind: "running", id: run.id, startedAt: run.startedAt },
      lastEnd: recallLastEnd(known, clock.now()),
      restarts: run.attempt,
      started,
      ready: started && (container.readinessProbe === undefined || (same && known.ready)),
    };
    this.#follow(container, run);
    // One that ended while no agent looked says so at once.
    await Promise.race([run.exited, clock.sleep(adoptedEndMs)]);
    if (this.isRunning) this.#startProbes(container);
  }

  /** What is remembered of a container of which nothing is left. */
  recall({ attempt, view }: Recalled): void {
    this.#attempt = attempt;
    this.#view = view;
  }

  stopProbes(): void {
    this.#probes?.abort();
    this.#probes = undefined;
  }

  #follow(container: Container, run: ContainerRun): void {
    void run.exited.then((exit) => {
      if (this.#run !== run || this.#home.leaving.aborted) return;
      const last = this.#home.deps.terminationMessage(this.#home.pod(), container, run.attempt, exit.code !== 0);
      const full = exit.message === "" ? { ...exit, message: last } : exit;
      this.#ended(container, { kind: "ended", id: run.id, startedAt: run.startedAt, exit: full }, run.attempt);
      this.#home.nudge();
    });
  }

  #ended(container: Container, end: Ended, attempt: number): void {
    this.stopProbes();
    this.#ends = end.exit.at - end.startedAt >= backoffForgottenMs ? 1 : this.#ends + 1;
    const delay = restartDelay(this.#ends);
    const ended = { phase: end, restarts: attempt, started: false, ready: false, retryAt: end.exit.at + delay };
    this.#view = { ...this.#view, lastEnd: this.#lastEnd(), ...ended };
    if (delay > 0 && !this.#home.terminating() && this.#restarts(container, end.exit.code)) {
      const { name = "", namespace = "" } = this.#home.pod().metadata ?? {};
      const message = `Back-off restarting failed container ${container.name} in pod ${name}_${namespace}(${this.#home.uid})`;
      this.#event(container, "Warning", "BackOff", message);
    }
  }

  /** The end before what comes now. */
  #lastEnd(): Ended | undefined {
    return this.#view.phase.kind === "ended" ? this.#view.phase : this.#view.lastEnd;
  }

  #restarts(container: Container, code: number): boolean {
    const policy = isSidecar(container) ? "Always" : (this.#home.pod().spec?.restartPolicy ?? "Always");
    return policy === "Always" || (policy === "OnFailure" && code !== 0);
  }

  #lacksReference(container: Container, message: string): void {
    this.#event(container, "Warning", "Failed", `Error: ${message}`);
    const phase = { kind: "waiting", reason: "CreateContainerConfigError", message } as const;
    this.#view = { ...this.#view, lastEnd: this.#lastEnd(), phase, retryAt: this.#home.deps.clock.now() + configRetryMs };
  }

  #lacksImage(container: Container, message: string): void {
    const image = container.image ?? "";
    const again = this.#view.phase.kind === "waiting";
    if (!again) {
      this.#event(container, "Normal", "Pulling", `Pulling image "${image}"`);
      this.#event(container, "Warning", "Failed", `Failed to pull image "${image}": ${message}`);
      this.#event(container, "Warning", "Failed", "Error: ErrImagePull");
    } else {
      this.#event(container, "Normal", "BackOff", `Back-off pulling image "${image}"`);
      this.#event(container, "Warning", "Failed", "Error: ImagePullBackOff");
    }
    this.#ends++;
    this.#view = {
      ...this.#view,
      phase: again
        ? { kind: "waiting", reason: "ImagePullBackOff", message: `Back-off pulling image "${image}": ErrImagePull: ${message}` }
        : { kind: "waiting", reason: "ErrImagePull", message },
      retryAt: this.#home.deps.clock.now() + Math.min(imageRetryMostMs, imageRetryFirstMs * 2 ** (this.#ends - 1)),
    };
  }

  #startProbes(container: Container): void {
    const { phase, started } = this.#view;
    const { clock } = this.#home.deps;
    const startedAt = phase.kind === "running" ? phase.startedAt : clock.now();
    this.#probes = new AbortController();
    startContainerProbes(
      { container, startedAt, started, clock, target: () => this.#target(container), ending: () => this.#home.terminating() },
      {
        started: () => this.#change({ started: true, ready: container.readinessProbe === undefined }),
        ready: (ok) => this.#change({ ready: ok }),
        mustRestart: (kind, probe) => {
          const message = `Container ${container.name} failed ${kind.toLowerCase()} probe, will be restarted`;
          this.#event(container, "Normal", "Killing", message);
          void this.stop(container, probe.terminationGracePeriodSeconds ?? this.#home.graceSeconds());
        },
        failed: (kind, message) => this.#event(container, "Warning", "Unhealthy", `${kind} probe failed: ${message}`),
      },
      this.#probes.signal,
    );
  }

  #change(change: Partial<ContainerView>): void {
    this.#view = { ...this.#view, ...change };
    this.#home.publish();
    this.#home.nudge();
  }

  #target(container: Container): ProbeTarget {
    return containerTarget(container, { ip: this.#home.ips()[0], runtime: this.#home.deps.runtime, run: () => this.#run });
  }

  #event({ name }: Container, type: "Normal" | "Warning", reason: string, message: string): void {
    this.#home.deps.event(this.#home.pod(), name, type, reason, message);
  }
}
