import type { RecordData } from "../wire/record.ts";
import { changedPart } from "./changed-part.ts";
import type { NameRecords, RecordSet, SetEdit } from "./record-delta.ts";
import { sameData } from "./record-sets.ts";

/** Smaller sets are told whole: it costs no more, and keeps their records in the order of a first list. */
const leastEdited = 64;
/** Each is looked for among all records of its set. */
const mostEdited = 64;

/**
 * What makes `after` of `before` in a few records, for names of many: undefined where to tell all of them is as good, and where
 * sets come or go.
 */
export function editsOf(before: NameRecords, after: NameRecords): readonly SetEdit[] | undefined {
  if (before.sets.length !== after.sets.length || before.podAddresses !== after.podAddresses) return undefined;
  if (Math.max(0, ...after.sets.map((set) => set.data.length)) < leastEdited) return undefined;
  const edits: SetEdit[] = [];
  for (const [i, old] of before.sets.entries()) {
    const set = after.sets[i];
    if (set === undefined || set.ttl !== old.ttl || set.data[0]?.kind !== old.data[0]?.kind) return undefined;
    const edit = editOf(old, set);
    if (edit === undefined) return undefined;
    if (edit.removes.length + edit.adds.length > 0) edits.push(edit);
  }
  return edits;
}

/** Undefined for so many records that it would take longer than to replace the set. */
function editOf(before: RecordSet, after: RecordSet): SetEdit | undefined {
  const part = changedPart(before.data, after.data, sameData);
  // what is left in between may have come, gone or moved; its order says nothing
  const gone = new Map(part.before.map((data) => [keyOf(data), data]));
  const adds: RecordData[] = [];
  for (const data of part.after) if (!gone.delete(keyOf(data))) adds.push(data);
  const edited = gone.size + adds.length;
  if (edited > mostEdited || edited * 16 > Math.min(before.data.length, after.data.length)) return undefined;
  return { ...(after.ttl === undefined ? {} : { ttl: after.ttl }), removes: Array.from(gone.values()), adds };
}

/** Records of one kind that have the same are the same. */
function keyOf(data: RecordData): string {
  if (data.kind === "A" || data.kind === "AAAA") return data.ip;
  if (data.kind === "SRV") return `${data.target} ${data.port} ${data.weight} ${data.priority}`;
  return JSON.stringify(data);
}
