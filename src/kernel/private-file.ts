import { lstatSync, renameSync, rmSync, writeFileSync } from "node:fs";

/**
 * A file for this user only, whole or not at all: who reads it meanwhile, and a kill, find the old one. What is no plain file
 * (a pipe, a link that somebody chose) is written to as it is; so is, where `evenIfFull` asks for it, a file on a disk
 * without room for two: for what is made anew at each start, and without which there is none.
 */
export function writePrivateFile(file: string, data: string | Uint8Array, o: { readonly evenIfFull?: true } = {}): void {
  const found = lstatSync(file, { throwIfNoEntry: false });
  if (found?.isFile() === false) {
    writeFileSync(file, data, { mode: 0o600 });
    return;
  }
  // of this process alone, so that two who write at once do not mix
  const next = `${file}.${process.pid}.new`;
  try {
    writeFileSync(next, data, { mode: 0o600 });
    renameSync(next, file);
  } catch (error) {
    rmSync(next, { force: true });
    if (o.evenIfFull !== true || found === undefined || !isFull(error)) throw error;
    writeFileSync(file, data);
  }
}

function isFull(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT");
}
