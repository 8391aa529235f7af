import { type JsonObject, setKey } from "./json-value.ts";

/** Fields that have other names in `events.k8s.io/v1`: there, and in the core group. */
const names: readonly (readonly [events: string, core: string])[] = [
  ["regarding", "involvedObject"],
  ["note", "message"],
  ["reportingController", "reportingComponent"],
  ["deprecatedSource", "source"],
  ["deprecatedFirstTimestamp", "firstTimestamp"],
  ["deprecatedLastTimestamp", "lastTimestamp"],
  ["deprecatedCount", "count"],
];
const toCore = new Map(names);
const toEvents = new Map(names.map(([events, core]) => [core, events] as const));

/** An Event of events.k8s.io/v1 as the core group shows it: the form that is stored. */
export function eventToCore(event: JsonObject): JsonObject {
  return renamed(event, toCore, "v1");
}

/** A core Event as events.k8s.io/v1 shows it. */
export function eventToEventsGroup(event: JsonObject): JsonObject {
  return renamed(event, toEvents, "events.k8s.io/v1");
}

/** The name that the core group has for a field of events.k8s.io/v1: `regarding.kind` is `involvedObject.kind`. */
export function eventFieldToCore(field: string): string {
  const [first = "", ...rest] = field.split(".");
  return [toCore.get(first) ?? first, ...rest].join(".");
}

function renamed(event: JsonObject, mapping: ReadonlyMap<string, string>, apiVersion: string): JsonObject {
  const out: Record<string, unknown> = {};
  for (const key of Object.keys(event)) setKey(out, mapping.get(key) ?? key, event[key]);
  return { ...out, apiVersion };
}
