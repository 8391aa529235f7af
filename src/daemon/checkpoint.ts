import { readFileSync } from "node:fs";
import { gunzipSync, gzipSync } from "node:zlib";
import { writePrivateFile } from "../kernel/private-file.ts";
import type { Kind, SnapshotKinds } from "../snapshot/cluster-snapshot.ts";
import type { SnapshotStore } from "../snapshot/snapshot-store.ts";

/**
 * Writes what the agent knows, whole or not at all, for this user only: a node that starts while no API answers serves what it
 * served before.
 */
export function writeCheckpoint(path: string, store: SnapshotStore, kinds: readonly Kind[]): void {
  const { tables } = store.current;
  const text = JSON.stringify(Object.fromEntries(kinds.map((kind) => [kind, [...tables[kind].values()]])));
  writePrivateFile(path, gzipSync(text, { level: 1 }));
}

/**
 * Fills those of `kinds` that the API has not told yet from a checkpoint. False when there is none, or it does not have all
 * that is missing.
 */
export function readCheckpoint(path: string, store: SnapshotStore, kinds: readonly Kind[]): boolean {
  let saved: Partial<Record<Kind, readonly SnapshotKinds[Kind][]>> | null;
  try {
    saved = JSON.parse(gunzipSync(readFileSync(path)).toString()) as typeof saved;
  } catch {
    // None yet, or one that a full disk cut short: the API has the truth anyway.
    return false;
  }
  const missing = kinds.filter((kind) => !store.synced([kind]));
  if (!missing.every((kind) => Array.isArray(saved?.[kind]))) return false;
  for (const kind of missing) store.replace(kind, saved?.[kind] as readonly SnapshotKinds[typeof kind][]);
  return true;
}
