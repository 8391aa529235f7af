import type { ObjectMeta, OwnerReference } from "../../api/types/meta-v1.generated.ts";
import type { KubeObject, Resource } from "../../client/resource.ts";
import { nothingToDo, type Outcome, type Write } from "../outcome.ts";

export const foregroundFinalizer = "foregroundDeletion";
export const orphanFinalizer = "orphan";

/** An object of any kind, as far as ownership goes. */
export interface Node {
  readonly of: Resource;
  readonly object: KubeObject & { readonly metadata?: ObjectMeta };
}

/**
 * What is known of an owner: `solid` keeps its dependents, `waiting` is going and waits for them to go first, `absent`
 * is no more, `unknown` could not be found out.
 */
export type OwnerState = "solid" | "waiting" | "absent" | "unknown";

export interface Dependent extends Node {
  /** In the order of its owner references. */
  readonly owners: readonly OwnerState[];
  readonly hasDependents: boolean;
  /** One of its own dependents waits for dependents already: they may all wait for each other, in a ring. */
  readonly mayBeRing: boolean;
}

export function isGoing({ object }: Node): boolean {
  return object.metadata?.deletionTimestamp !== undefined;
}

export function hasFinalizer({ object }: Node, finalizer: string): boolean {
  return (object.metadata?.finalizers ?? []).includes(finalizer);
}

/** It waits until the dependents that block it are gone. */
export function isWaiting(node: Node): boolean {
  return isGoing(node) && hasFinalizer(node, foregroundFinalizer);
}

/** An object lives while one owner does; references to owners that are gone are taken out; with the last one it goes. */
export function reconcileDependent(d: Dependent): Outcome {
  const refs = d.object.metadata?.ownerReferences ?? [];
  if (refs.length === 0 || isGoing(d) || d.owners.includes("unknown")) return nothingToDo;
  const solid = refs.filter((_, i) => d.owners[i] === "solid");
  if (solid.length === refs.length) return nothingToDo;
  if (solid.length > 0) return { writes: [setOwners(d, solid)] };
  // Nobody may wait for it then: in a ring, it would wait for him.
  if (goesWithAllBelow(d) && d.mayBeRing && refs.some((r) => r.blockOwnerDeletion === true)) {
    return {
      writes: [
        setOwners(
          d,
          refs.map((r) => ({ ...r, blockOwnerDeletion: false })),
        ),
      ],
    };
  }
  return { writes: [deletion(d)] };
}

/** An owner that waits wants the whole tree below to be gone before it. */
function goesWithAllBelow(d: Dependent): boolean {
  return d.owners.includes("waiting") && d.hasDependents;
}

function deletion(d: Dependent): Write {
  const orphan = hasFinalizer(d, orphanFinalizer);
  const propagation = orphan ? "Orphan" : goesWithAllBelow(d) || hasFinalizer(d, foregroundFinalizer) ? "Foreground" : "Background";
  return { kind: "delete", of: d.of, object: d.object, propagation };
}

/** An owner deleted in the foreground: its dependents go, then its finalizer. */
export function reconcileForeground(owner: Node, dependents: readonly Dependent[]): Outcome {
  const uid = owner.object.metadata?.uid;
  const blocking = dependents.filter((d) =>
    (d.object.metadata?.ownerReferences ?? []).some((r) => r.uid === uid && r.blockOwnerDeletion === true),
  );
  if (blocking.length === 0) return { writes: [withoutFinalizer(owner, foregroundFinalizer)] };
  const writes = dependents.flatMap((d) => reconcileDependent(d).writes);
  return { writes: writes.length === 0 ? [] : [{ kind: "parallel", writes, slowStart: false }] };
}

/** An owner whose dependents shall stay: they forget it, then its finalizer goes. */
export function reconcileOrphan(owner: Node, dependents: readonly Node[]): Outcome {
  const uid = owner.object.metadata?.uid;
  const writes = dependents.map((d) =>
    setOwners(
      d,
      (d.object.metadata?.ownerReferences ?? []).filter((r) => r.uid !== uid),
    ),
  );
  return { writes: [{ kind: "parallel", writes, slowStart: false }, withoutFinalizer(owner, orphanFinalizer)] };
}

function setOwners({ of, object }: Node, refs: readonly OwnerReference[]): Write {
  return patchMeta({ of, object }, { ownerReferences: refs.length === 0 ? null : refs });
}

function withoutFinalizer(node: Node, finalizer: string): Write {
  const rest = (node.object.metadata?.finalizers ?? []).filter((f) => f !== finalizer);
  return patchMeta(node, { finalizers: rest.length === 0 ? null : rest });
}

/** Only if the object is still as it was seen: lists are replaced whole. */
function patchMeta({ of, object }: Node, fields: object): Write {
  const { namespace, name, uid, resourceVersion } = object.metadata ?? {};
  const body = { metadata: { uid, resourceVersion, ...fields } };
  return { kind: "patch", of, at: { namespace, name: name ?? "" }, patch: { type: "merge", body } };
}
