import type { Pod, PodStatus } from "../api/types/core-v1.generated.ts";
import type { Clock } from "../base/clock.ts";
import type { Client } from "../client/client.ts";
import { isConflict, isNotFound } from "../client/errors.ts";
import { resources } from "../client/resources.ts";

interface Pending {
  pod: Pod;
  status: PodStatus;
  written: string;
  /** The object's revision that the last write made. */
  revision: number;
  writing: Promise<void> | undefined;
}

const retryMs = 500;
/** What somebody else sets over and over is not fought over at full speed. */
const reassertMs = 1000;

/**
 * Writes pods' statuses: one write a pod at a time, the last status wins. An equal one is not written again, unless somebody has written
 * something else since: the control plane calls the pods of a silent node not ready, and nobody else takes that back.
 */
export class StatusWriter {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #failed: (pod: Pod, error: unknown) => void;
  readonly #pending = new Map<string, Pending>();

  constructor(client: Client, clock: Clock, signal: AbortSignal, failed: (pod: Pod, error: unknown) => void) {
    this.#client = client;
    this.#clock = clock;
    this.#signal = signal;
    this.#failed = failed;
  }

  publish(pod: Pod, status: PodStatus): void {
    const uid = pod.metadata?.uid ?? "";
    const known = this.#pending.get(uid);
    if (known === undefined) {
      const fresh: Pending = { pod, status, written: "", writing: undefined, revision: 0 };
      this.#pending.set(uid, fresh);
      this.#write(fresh);
      return;
    }
    known.pod = pod;
    known.status = status;
    if (known.writing === undefined) this.#write(known);
  }

  /** Until what was published is written, or the object is gone. */
  async flush(uid: string): Promise<void> {
    await this.#pending.get(uid)?.writing;
  }

  forget(uid: string): void {
    this.#pending.delete(uid);
  }

  #write(pending: Pending): void {
    if (signOf(pending.status) === pending.written && !isOverwritten(pending)) return;
    pending.writing = this.#loop(pending).finally(() => {
      pending.writing = undefined;
    });
  }

  async #loop(pending: Pending): Promise<void> {
    while (!this.#signal.aborted) {
      if (signOf(pending.status) === pending.written) {
        if (!isOverwritten(pending)) return;
        await this.#clock.sleep(reassertMs, this.#signal).catch(() => undefined);
      }
      const text = signOf(pending.status);
      const { name = "", namespace, uid } = pending.pod.metadata ?? {};
      const body = { metadata: { uid }, status: patchOf(pending.status) };
      try {
        const at = { namespace, name };
        const patch = { type: "strategic", body } as const;
        const now = await this.#client.patch(resources.pods, at, patch, { subresource: "status" }, this.#signal);
        pending.written = text;
        pending.revision = revisionOf(now);
      } catch (error) {
        // A conflict is about the uid: another object has the name now.
        if (this.#signal.aborted || isNotFound(error) || isConflict(error)) return;
        this.#failed(pending.pod, error);
        await this.#clock.sleep(retryMs, this.#signal).catch(() => undefined);
      }
    }
  }
}

/**
 * Conditions are merged by their type, so those of others stay. A patch keeps what it does not name: what has gone is named with null.
 * Addresses would be merged, too: they are replaced.
 */
function patchOf(status: PodStatus): object {
  const gone = { reason: null, message: null };
  const replaced = (list: readonly object[] | undefined): object | undefined =>
    list === undefined ? undefined : [{ $patch: "replace" }, ...list];
  return {
    ...gone,
    ...status,
    conditions: (status.conditions ?? []).map((condition) => ({ ...gone, ...condition })),
    podIPs: replaced(status.podIPs),
    hostIPs: replaced(status.hostIPs),
  };
}

/** When a condition changed follows from what is known of the object, and is no news by itself. */
function signOf(status: PodStatus): string {
  return JSON.stringify(status, (key, value: unknown) => (key === "lastTransitionTime" ? undefined : value));
}

/** Whether the object, as somebody wrote it after us, has a phase or a condition that is not as we say. */
function isOverwritten({ pod, status, revision }: Pending): boolean {
  if (revision === 0 || revisionOf(pod) <= revision) return false;
  const live = pod.status?.conditions ?? [];
  return (
    pod.status?.phase !== status.phase ||
    (status.conditions ?? []).some(({ type, status: wanted }) => live.find((c) => c.type === type)?.status !== wanted)
  );
}

function revisionOf(pod: Pod): number {
  return Number(pod.metadata?.resourceVersion ?? 0);
}
