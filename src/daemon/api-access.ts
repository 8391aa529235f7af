import type { Clock } from "../base/clock.ts";
import type { Running } from "../base/running.ts";
import { ApiError, isNotFound } from "../client/errors.ts";
import { type Change, startReflector } from "../client/reflector.ts";
import { resourceOfKind } from "../client/snapshot-resources.ts";
import type { Transport } from "../client/transport.ts";
import type { Log } from "../observe/log.ts";
import { type Kind, objectKey, type SnapshotKinds } from "../snapshot/cluster-snapshot.ts";
import type { SnapshotStore } from "../snapshot/snapshot-store.ts";
import { trimObject } from "./trim.ts";

export interface SnapshotFeedDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly onFailure: (kind: Kind, error: unknown) => void;
  /** The API gave a sign of life. Called often. */
  readonly onHeard?: () => void;
}

/** Keeps `kinds` of the snapshot equal to the API, each by its own reflector. `ready` settles when all had their first list. */
export function startSnapshotFeed(transport: Transport, store: SnapshotStore, kinds: readonly Kind[], deps: SnapshotFeedDeps): Running {
  const all = kinds.map((kind) => startKind(transport, store, kind, deps));
  const ready = Promise.all(all.map((r) => r.ready)).then(() => undefined);
  // Whoever waits for it sees the error; a node that ends before the API ever answered is no crash.
  ready.catch(() => undefined);
  return {
    ready,
    close: async () => {
      await Promise.all(all.map((r) => r.close()));
    },
  };
}

function startKind<K extends Kind>(transport: Transport, store: SnapshotStore, kind: K, deps: SnapshotFeedDeps): Running {
  /** What was last said to be in the way; undefined while objects come. */
  let announced: string | undefined;
  let absentNow = false;
  const optional = kind === "ServiceCIDR" || kind === "ServiceImport";
  const absent = Promise.withResolvers<void>();
  const comes = (): void => {
    if (announced !== undefined) deps.log("info", `reading ${kind} objects again`);
    announced = undefined;
  };
  const reflector = startReflector<SnapshotKinds[K]>(
    transport,
    resourceOfKind[kind],
    (o, text) => trimObject(kind, o as SnapshotKinds[K], text),
    {
      replace: (items) => {
        comes();
        absentNow = false;
        store.replace(kind, items);
      },
      apply: (c: Change<SnapshotKinds[K]>) => {
        comes();
        store.apply(kind, objectKey(c.object), c.type === "put" ? c.object : undefined, c.rev);
      },
      bookmark: comes,
    },
    {
      clock: deps.clock,
      // traffic goes to endpoints that are gone until this node knows; a controller that hears it meanwhile would stand in its way
      urgent: true,
      onHeard: deps.onHeard,
      onFailure: (error, retryInMs) => {
        // API servers before 1.33 have no ServiceCIDR, those without the custom resource no ServiceImport: then there is simply none.
        if (optional && isNotFound(error)) {
          if (!absentNow) store.replace(kind, []);
          absentNow = true;
          absent.resolve();
          return;
        }
        deps.onFailure(kind, error);
        // Once for each thing in the way: the server is away, then it refuses the token.
        const hint = hintOf(error);
        if (announced !== hint)
          deps.log("warn", `cannot read ${kind} objects${hint}; going on with what is known`, {
            error: String(error),
            retryInMs: Math.round(retryInMs),
          });
        announced = hint;
      },
    },
  );
  return { ready: Promise.race([reflector.ready, absent.promise]), close: () => reflector.close() };
}

/** What a person would look at first. */
function hintOf(error: unknown): string {
  if (!(error instanceof ApiError)) return "";
  if (error.code === 401) return ": the API server does not accept this credential (expired? each try reads it anew)";
  return error.code === 403 ? ": this user may not (what it needs is in deploy/rbac.yaml)" : "";
}
