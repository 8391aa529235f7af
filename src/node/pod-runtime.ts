import type { Readable, Writable } from "node:stream";
import type { Ip } from "../base/ip.ts";
import type { MemoryMount } from "../kernel/memory-mount.ts";
import type { ContainerPlan, SandboxPlan } from "./container-plan.ts";

/** How a container ended. */
export interface ContainerExit {
  /** 128 + n after signal n; 137 also when nobody saw the end. */
  readonly code: number;
  readonly reason: "Completed" | "Error" | "OOMKilled" | "StartError" | "ContainerStatusUnknown";
  /** What the runtime said; empty for an ordinary end. */
  readonly message: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** A container that was started, by this agent or by one before it. */
export interface ContainerRun {
  /** Unique on this machine. */
  readonly id: string;
  readonly podUid: string;
  readonly name: string;
  readonly attempt: number;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** Settles when it has ended and all its output is in the log; never rejects. */
  readonly exited: Promise<ContainerExit>;
}

export interface ExecOptions {
  readonly tty: boolean;
  readonly stdin: boolean;
}

export interface AttachOptions {
  /** Whether the client writes to the container's standard input. */
  readonly stdin: boolean;
}

/** A command inside a running container. With a terminal, `stderr` stays empty: it is part of `stdout`. */
export interface ExecSession {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  resize(columns: number, rows: number): void;
  readonly exitCode: Promise<number>;
  kill(): void;
}

/** What an earlier agent left of a pod. */
export interface AdoptedPod {
  readonly podUid: string;
  readonly namespace: string;
  readonly name: string;
  readonly ips: readonly Ip[];
  /** The last attempt of each container, running or ended. */
  readonly containers: readonly ContainerRun[];
}

/** Where a pod's files are; the agent lays volumes there, the runtime the rest. */
export interface PodFolders {
  readonly pod: string;
  readonly volumes: string;
  readonly logs: string;
}

/** The effects on containers. Implementations: crun, and plain processes; both pass one contract suite. */
export interface PodRuntime {
  /** As in a Node's status: `crun://1.8.1`. */
  readonly version: string;
  folders(podUid: string): PodFolders;
  /** Gives the pod its addresses; again for one that has them returns the same. */
  createSandbox(plan: SandboxPlan, signal: AbortSignal): Promise<readonly Ip[]>;
  /** Makes an existing folder of a pod's volumes a file system in memory, until the pod is removed; again for one that is does nothing. False: this runtime has no mounts. */
  mountMemory(mount: MemoryMount, signal: AbortSignal): Promise<boolean>;
  /** Rejects with a `runtime-failed` NodeError when the container cannot be made or its command cannot be started. */
  startContainer(plan: ContainerPlan, signal: AbortSignal): Promise<ContainerRun>;
  /** To the container's first process; one that has ended is no error. SIGKILL ends all its processes. */
  signalContainer(run: ContainerRun, signal: "SIGTERM" | "SIGKILL" | NodeJS.Signals): void;
  /** Whether a signal does anything now: the first process of a namespace ignores those that it has no handler for yet. */
  heeds(run: ContainerRun, signal: NodeJS.Signals): boolean;
  exec(run: ContainerRun, argv: readonly string[], options: ExecOptions): ExecSession;
  /** The container's live output and its standard input (unless it has one, `stdin` goes nowhere). */
  attach(run: ContainerRun, options: AttachOptions): ExecSession;
  /** Ends what still runs of the pod, then removes its network, layers, volumes and logs; idempotent. */
  removePod(podUid: string): Promise<void>;
  /** What is on the disk from before; call once, first. */
  adopt(): Promise<readonly AdoptedPod[]>;
  /** Frees the agent's side only: containers run on. */
  close(): Promise<void>;
}
