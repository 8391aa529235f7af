import type { Client } from "../client/client.ts";
import { ApiError, isConflict, isNotFound } from "../client/errors.ts";
import type { EventRecorder } from "../client/events.ts";
import type { KubeObject, Resource } from "../client/resource.ts";
import type { Write } from "./outcome.ts";

export interface WriteContext {
  readonly client: Client;
  readonly recorder: EventRecorder;
  /** Told what a write answered, so that views contain it before its event comes. */
  assume(of: Resource, object: KubeObject): void;
  assumeGone(of: Resource, object: KubeObject): void;
}

const requestMs = 30_000;

/** Does one write. An object that is gone already is no failure; one that changed meanwhile is (`isConflict`). */
export async function applyWrite(w: Write, c: WriteContext, s: AbortSignal): Promise<void> {
  const signal = AbortSignal.any([s, AbortSignal.timeout(requestMs)]);
  switch (w.kind) {
    case "create":
      try {
        c.assume(w.of, await c.client.create(w.of, w.object, {}, signal));
      } catch (e) {
        // A namespace that is being deleted takes nothing new; what wants to create there will be deleted, too.
        if (!isNamespaceGoing(e)) throw e;
      }
      return;
    case "update":
      await unlessGone(w.of, w.object, c, async () => {
        const o = w.subresource === undefined ? {} : { subresource: w.subresource };
        c.assume(w.of, await c.client.update(w.of, w.object, o, signal));
      });
      return;
    case "patch": {
      const o = w.subresource === undefined ? {} : { subresource: w.subresource };
      await unlessGone(w.of, undefined, c, async () =>
        c.assume(w.of, (await c.client.patch(w.of, w.at, w.patch, o, signal)) as KubeObject),
      );
      return;
    }
    case "delete":
      await unlessGone(w.of, w.object, c, () => applyDelete(w, c, signal));
      return;
    case "event":
      c.recorder.record(w.note);
      return;
    case "sequence":
      for (const each of w.writes) await applyWrite(each, c, s);
      return;
    case "parallel":
      await applyParallel(w.writes, w.slowStart ? 1 : w.writes.length, c, s);
  }
}

async function applyDelete(w: Extract<Write, { kind: "delete" }>, c: WriteContext, signal: AbortSignal): Promise<void> {
  const { namespace, name, uid } = w.object.metadata ?? {};
  const deleted = await c.client.delete(
    w.of,
    { namespace, name: name ?? "" },
    {
      ...(uid === undefined ? {} : { preconditions: { uid } }),
      ...(w.propagation === undefined ? {} : { propagationPolicy: w.propagation }),
      ...(w.gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds: w.gracePeriodSeconds }),
    },
    signal,
  );
  if (deleted.kind === "gone") c.assumeGone(w.of, w.object);
  else c.assume(w.of, deleted.object as KubeObject);
}

async function unlessGone(of: Resource, object: KubeObject | undefined, c: WriteContext, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (e) {
    if (!isNotFound(e)) throw e;
    if (object !== undefined) c.assumeGone(of, object);
  }
}

async function applyParallel(writes: readonly Write[], first: number, c: WriteContext, s: AbortSignal): Promise<void> {
  for (let done = 0, size = Math.max(first, 1); done < writes.length; done += size, size *= 2) {
    const results = await Promise.allSettled(writes.slice(done, done + size).map((w) => applyWrite(w, c, s)));
    const failures = results.filter((r) => r.status === "rejected");
    // The most telling failure: a conflict only says to look again.
    const failure = failures.find((r) => !isConflict(r.reason)) ?? failures[0];
    if (failure !== undefined) throw failure.reason;
  }
}

function isNamespaceGoing(e: unknown): boolean {
  if (!(e instanceof ApiError)) return false;
  const { details } = e.status;
  return (
    (details?.causes ?? []).some((cause) => cause.reason === "NamespaceTerminating") || (e.code === 404 && details?.kind === "namespaces")
  );
}
