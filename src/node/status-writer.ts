import type { Pod, PodStatus } from "../api/types/core-v1.generated.ts";
import type { Clock } from "../base/clock.ts";
import type { Client } from "../client/client.ts";
import { isConflict, isNotFound } from "../client/errors.ts";
import { resources } from "../client/resources.ts";

interface Pending {
  pod: Pod;
  status: PodStatus;
  written: string;
  writing: Promise<void> | undefined;
}

const retryMs = 500;

/** Writes pods' statuses: one write a pod at a time, the last status wins, an equal one is not written again. */
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
      const fresh: Pending = { pod, status, written: "", writing: undefined };
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
    const text = JSON.stringify(pending.status);
    if (text === pending.written) return;
    pending.writing = this.#loop(pending).finally(() => {
      pending.writing = undefined;
    });
  }

  async #loop(pending: Pending): Promise<void> {
    while (!this.#signal.aborted) {
      const text = JSON.stringify(pending.status);
      if (text === pending.written) return;
      const { name = "", namespace, uid } = pending.pod.metadata ?? {};
      // A merge patch keeps what it does not name: what has gone from the status is named with null.
      const gone = { reason: null, message: null };
      const body = { metadata: { uid }, status: { ...gone, ...pending.status } };
      try {
        await this.#client.patch(resources.pods, { namespace, name }, { type: "merge", body }, { subresource: "status" }, this.#signal);
        pending.written = text;
      } catch (error) {
        // A conflict is about the uid: another object has the name now.
        if (this.#signal.aborted || isNotFound(error) || isConflict(error)) return;
        this.#failed(pending.pod, error);
        await this.#clock.sleep(retryMs, this.#signal).catch(() => undefined);
      }
    }
  }
}
