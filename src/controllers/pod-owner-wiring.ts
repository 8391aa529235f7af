import type { LabelSelector, ObjectMeta } from "../api/types/meta-v1.generated.ts";
import type { Informer, ObjectChange } from "../client/informer.ts";
import type { KubeObject } from "../client/resource.ts";
import { objectKey } from "../snapshot/cluster-snapshot.ts";
import { controllerOf, ownerKey } from "./owner.ts";
import { matchesLabels } from "./selection.ts";

type Dependent = KubeObject & { readonly metadata?: ObjectMeta };
type Owner = Dependent & { readonly spec?: { readonly selector?: LabelSelector } };

/** Marks the owner of a changed object dirty, the one it had before, or, for an orphan, all that could adopt it. */
export function ownersOf<T extends Dependent>(
  kind: string,
  owners: Informer<Owner>,
  add: (key: string) => void,
): (c: ObjectChange<T>) => void {
  const addOwner = (object: T): void => {
    const key = ownerKey(object, kind);
    if (key !== undefined) {
      add(key);
      return;
    }
    if (controllerOf(object) !== undefined) return;
    for (const owner of owners.byIndex("namespace", object.metadata?.namespace ?? "")) {
      if (matchesLabels(owner.spec?.selector, object.metadata?.labels)) add(objectKey(owner));
    }
  };
  return ({ before, after }) => {
    if (after !== undefined) addOwner(after);
    if (before === undefined) return;
    if (after === undefined || controllerOf(before)?.uid !== controllerOf(after)?.uid) addOwner(before);
  };
}
