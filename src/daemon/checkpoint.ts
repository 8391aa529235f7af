import { readFileSync } from "node:fs";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { createGzip, gunzipSync } from "node:zlib";
import { writePrivateFile } from "../kernel/private-file.ts";
import type { Kind, Snapshot, SnapshotKinds } from "../snapshot/cluster-snapshot.ts";
import type { SnapshotStore } from "../snapshot/snapshot-store.ts";

/** Characters that are put together at a time: a millisecond of work. */
const pieceSize = 64 << 10;

/**
 * Writes what the agent knows at the moment of the call, whole or not at all, for this user only: a node that starts while no API
 * answers serves what it served before. It is made piece by piece, so that a change that comes meanwhile need not wait for it.
 */
export async function writeCheckpoint(path: string, store: SnapshotStore, kinds: readonly Kind[]): Promise<void> {
  const gzip = createGzip({ level: 1 });
  const [zipped] = await Promise.all([buffer(gzip), pipeline(piecesOf(store.current, kinds), gzip)]);
  writePrivateFile(path, zipped);
}

/** JSON: each kind's objects. */
function* piecesOf({ tables }: Snapshot, kinds: readonly Kind[]): Generator<string> {
  let piece = "{";
  for (const [n, kind] of kinds.entries()) {
    piece += `${n === 0 ? "" : ","}${JSON.stringify(kind)}:[`;
    let separator = "";
    for (const object of tables[kind].values()) {
      piece += separator + JSON.stringify(object);
      separator = ",";
      if (piece.length < pieceSize) continue;
      yield piece;
      piece = "";
    }
    piece += "]";
  }
  yield `${piece}}`;
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
