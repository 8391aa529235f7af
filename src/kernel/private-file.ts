import { lstatSync, renameSync, writeFileSync } from "node:fs";

/**
 * A file for this user only, whole or not at all: who reads it meanwhile, and a kill, find the old one. What is no plain file
 * (a pipe, a link that somebody chose) is written to as it is.
 */
export function writePrivateFile(file: string, data: string | Uint8Array): void {
  const found = lstatSync(file, { throwIfNoEntry: false });
  if (found !== undefined && !found.isFile()) {
    writeFileSync(file, data, { mode: 0o600 });
    return;
  }
  // of this process alone, so that two who write at once do not mix
  const next = `${file}.${process.pid}.new`;
  writeFileSync(next, data, { mode: 0o600 });
  renameSync(next, file);
}
