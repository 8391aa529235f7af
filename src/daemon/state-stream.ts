/** A change of a keyed table, as it travels from the agent to a process that serves it. */
export interface KeyedDelta {
  /** The publisher's count of changes. */
  readonly revision: number;
  /** The table's own count, where it has one: the zones' serial number grows over restarts of the agent. */
  readonly tag?: number;
  readonly upserts: readonly (readonly [key: string, value: unknown])[];
  /**
   * Parts of values that changed, in the table's own words, after `upserts`. One that is told twice, or after a later value, must do
   * no harm. Default none.
   */
  readonly edits?: readonly (readonly [key: string, edit: unknown])[];
  readonly deletes: readonly string[];
}

/** A table that the agent keeps for its children: `full` is asked when one connects. */
export interface StateSource {
  readonly name: string;
  /** Its children switch from one revision to the next together: see SwitchRounds. Else each takes a change when it reads it. */
  readonly together?: boolean;
  tag?(): number;
  /** Read part by part, while changes go on: what changes meanwhile is sent again after it. */
  full(): Iterable<readonly [key: string, value: unknown]>;
}

/**
 * What a child understands: 2 has `edits`, which version 1 (of children that name none) does not know. A child of before an upgrade may
 * serve under a new agent for long, where the new version of it does not start.
 */
export const streamVersion = 2;

export type ToAgent =
  | { readonly type: "hello"; readonly table: string; readonly pid: number; readonly version?: number }
  /** It could serve this revision now; it waits to be told. */
  | { readonly type: "prepared"; readonly revision: number }
  /** This revision is in force. */
  | { readonly type: "ack"; readonly revision: number }
  | { readonly type: "metrics"; readonly text: string };

export type FromAgent =
  | { readonly type: "full-begin" }
  | { readonly type: "delta"; readonly delta: KeyedDelta }
  /** Keys that the child has and that no part of the full state named are gone. */
  | { readonly type: "full-end"; readonly revision: number }
  /** All that was sent before this comes into force: in tables whose children switch together. */
  | { readonly type: "switch" }
  /** The agent has heard from the API: what is not there does not exist. */
  | { readonly type: "synced" }
  | { readonly type: "metrics?" };

/** The same change for a child of version 1: names that were edited with all they have now. */
export function withoutEdits(delta: KeyedDelta, full: Iterable<readonly [key: string, value: unknown]>): KeyedDelta {
  const { edits = [], ...rest } = delta;
  if (edits.length === 0) return rest;
  const edited = new Set(edits.map(([key]) => key));
  return { ...rest, upserts: [...delta.upserts, ...Array.from(full).filter(([key]) => edited.has(key))] };
}

/** The two changes as one: of what both name, the later word counts. */
export function mergeDeltas(before: KeyedDelta, after: KeyedDelta): KeyedDelta {
  const named = new Set([...after.upserts.map(([key]) => key), ...after.deletes]);
  const edits = [...(before.edits ?? []).filter(([key]) => !named.has(key)), ...(after.edits ?? [])];
  return {
    ...before,
    ...after,
    ...(edits.length === 0 ? {} : { edits }),
    upserts: [...before.upserts.filter(([key]) => !named.has(key)), ...after.upserts],
    deletes: [...before.deletes.filter((key) => !named.has(key)), ...after.deletes],
  };
}
