import type { Patch } from "../client/client.ts";
import type { EventNote } from "../client/events.ts";
import type { KubeObject, ObjectName, Resource } from "../client/resource.ts";

/** One thing to be done to the API, as data. */
export type Write =
  | { readonly kind: "create"; readonly of: Resource; readonly object: KubeObject }
  /** Replaces the object, provided that it is still the version it was made from. */
  | { readonly kind: "update"; readonly of: Resource; readonly object: KubeObject; readonly subresource?: "status" | "finalize" }
  | { readonly kind: "patch"; readonly of: Resource; readonly at: ObjectName; readonly patch: Patch; readonly subresource?: string }
  /** Deletes this very object: one of the same name that came later is left alone. */
  | {
      readonly kind: "delete";
      readonly of: Resource;
      readonly object: KubeObject;
      readonly propagation?: "Background" | "Foreground" | "Orphan";
      readonly gracePeriodSeconds?: number;
    }
  | { readonly kind: "event"; readonly note: EventNote }
  /** All at once; with `slowStart` 1, then 2, 4, 8…, so that a refusal of the first spares the rest. */
  | { readonly kind: "parallel"; readonly writes: readonly Write[]; readonly slowStart: boolean }
  /** One after the other; the first failure ends them. */
  | { readonly kind: "sequence"; readonly writes: readonly Write[] };

/** What a reconcile wants: writes in order, the first failure ends them, and the key comes again. */
export interface Outcome {
  readonly writes: readonly Write[];
  /** When time alone will change the answer. */
  readonly againAfterMs?: number | undefined;
  /** Told how the writes went, for controllers that show it in a status: the API's refusal, or that all went well. A note becomes an Event. */
  readonly failed?: ((message: string) => EventNote | undefined) | undefined;
  readonly succeeded?: (() => void) | undefined;
}

export const nothingToDo: Outcome = { writes: [] };
