import { eventFieldToCore, eventToCore, eventToEventsGroup } from "../api/event-view.ts";
import { findResource, type Resource } from "../api/scheme.ts";
import { decodeObject } from "../store/object-bytes.ts";
import type { ApiObject } from "./registry.ts";

/** A resource as a request names it. Events stand in two groups but are stored once, in the form of the core group. */
export interface View {
  /** As it is shown. */
  readonly resource: Resource;
  /** As it is stored. */
  readonly stored: Resource;
  /** Whether both are the same, so that stored bytes can be sent as they are. */
  readonly form: "as-stored" | "converted";
  show(object: ApiObject): ApiObject;
  store(object: ApiObject): ApiObject;
  /** What a field that is shown is called where it is stored. */
  storedField(field: string): string;
}

export function viewOf(resource: Resource): View {
  const core = resource.group === "events.k8s.io" ? findResource("", "v1", "events") : undefined;
  if (core === undefined) return { resource, stored: resource, form: "as-stored", show: (o) => o, store: (o) => o, storedField: (f) => f };
  return {
    resource,
    stored: core,
    form: "converted",
    show: (object) => eventToEventsGroup(object) as ApiObject,
    store: (object) => eventToCore(object) as ApiObject,
    storedField: eventFieldToCore,
  };
}

/** Stored bytes as the view shows them. */
export function shownBytes(view: View, bytes: Uint8Array): Uint8Array {
  if (view.form === "as-stored") return bytes;
  return new TextEncoder().encode(JSON.stringify(view.show(decodeObject(bytes) as ApiObject)));
}
