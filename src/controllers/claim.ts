import type { LabelSelector, ObjectMeta } from "../api/types/meta-v1.generated.ts";
import type { Lister } from "../client/informer.ts";
import type { KubeObject, Resource } from "../client/resource.ts";
import type { Write } from "./outcome.ts";
import { controllerOf, controllerRef, isControlledBy, type Owned } from "./owner.ts";
import { matchesLabels } from "./selection.ts";

export interface Claimed<T> {
  /** What the owner controls and its selector selects. */
  readonly owned: readonly T[];
  /** Orphans to take over, and what no longer fits to let go. */
  readonly writes: readonly Write[];
}

type Candidate = KubeObject & { readonly metadata?: ObjectMeta };

/** All that a selector's owner controls or may adopt. */
export function candidatesOf<T extends Candidate>(owner: Owned, objects: Lister<T>): readonly T[] {
  const uid = owner.metadata?.uid ?? "";
  return [...objects.byIndex("controller", uid), ...objects.byIndex("orphan", owner.metadata?.namespace ?? "")];
}

/** Sorts candidates into what is owned; an owner that is going away neither adopts nor releases. */
export function claim<T extends Candidate>(o: {
  readonly owner: Owned;
  readonly ownerResource: Resource;
  readonly selector: LabelSelector | undefined;
  readonly candidates: readonly T[];
  readonly of: Resource;
}): Claimed<T> {
  const owned: T[] = [];
  const writes: Write[] = [];
  const going = o.owner.metadata?.deletionTimestamp !== undefined;
  for (const candidate of o.candidates) {
    const fits = matchesLabels(o.selector, candidate.metadata?.labels);
    if (isControlledBy(candidate, o.owner)) {
      if (fits) owned.push(candidate);
      else if (!going) writes.push(setOwners(o.of, candidate, withoutOwner(candidate, o.owner)));
      continue;
    }
    if (!fits || going || controllerOf(candidate) !== undefined || candidate.metadata?.deletionTimestamp !== undefined) continue;
    owned.push(candidate);
    writes.push(setOwners(o.of, candidate, [...(candidate.metadata?.ownerReferences ?? []), controllerRef(o.ownerResource, o.owner)]));
  }
  return { owned, writes };
}

function withoutOwner(object: Candidate, owner: Owned): NonNullable<ObjectMeta["ownerReferences"]> {
  return (object.metadata?.ownerReferences ?? []).filter((r) => r.uid !== owner.metadata?.uid);
}

function setOwners(of: Resource, object: Candidate, ownerReferences: NonNullable<ObjectMeta["ownerReferences"]>): Write {
  const { namespace, name, uid, resourceVersion } = object.metadata ?? {};
  const body = { metadata: { uid, resourceVersion, ownerReferences: ownerReferences.length === 0 ? null : ownerReferences } };
  return { kind: "patch", of, at: { namespace, name: name ?? "" }, patch: { type: "merge", body } };
}
