import type { Container, Pod, PodStatus } from "../api/types/core-v1.generated.ts";
import type { Clock } from "../base/clock.ts";
import type { Ip } from "../base/ip.ts";
import type { Refusal } from "./admission.ts";
import type { ContainerPlan } from "./container-plan.ts";
import type { PodRuntime } from "./pod-runtime.ts";

/** What a worker needs from the node around it. */
export interface PodWorkerDeps {
  readonly clock: Clock;
  readonly runtime: PodRuntime;
  readonly hostIps: readonly Ip[];
  readonly scheme: string;
  /** Whether the node takes a pod that it did not have before. */
  admit(pod: Pod, signal: AbortSignal): Promise<Refusal | undefined>;
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
