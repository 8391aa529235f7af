import type { DnsZone, NameEdit, NameRecords, RecordDelta } from "../../dns/index.ts";
import type { KeyedDelta } from "./state-stream.ts";

/** Changed names as they travel from the agent to the DNS process. */
export function keyedNames(delta: RecordDelta): Omit<KeyedDelta, "revision"> {
  return {
    tag: delta.revision,
    upserts: delta.upserts.map(({ key, records }) => [key, records] as const),
    edits: (delta.edits ?? []).map(({ key, sets }) => [key, sets] as const),
    deletes: delta.deletes,
  };
}

/** The inverse. */
export function recordDelta({ tag, revision, upserts, edits = [], deletes }: KeyedDelta): RecordDelta {
  return {
    revision: tag ?? revision,
    upserts: upserts.map(([key, records]) => ({ key, records: records as NameRecords })),
    edits: edits.map(([key, sets]) => ({ key, sets: sets as NameEdit["sets"] })),
    deletes,
  };
}

/** All names, one by one. */
export function* zoneEntries(zone: DnsZone): Iterable<readonly [string, NameRecords]> {
  for (const { key, records } of zone.names()) yield [key, records];
}
