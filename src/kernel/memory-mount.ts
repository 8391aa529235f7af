import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type RunCommand, runOrThrow } from "./command.ts";

export interface MemoryMount {
  readonly folder: string;
  readonly bytes: number;
  /** Permission bits of the folder. */
  readonly mode: number;
  /** Who owns it, beside root. */
  readonly group?: number | undefined;
}

/** A file system in memory at an existing folder; one that is mounted there already stays as it is. */
export async function mountMemory(run: RunCommand, { folder, bytes, mode, group }: MemoryMount, signal: AbortSignal): Promise<void> {
  if (mountPointsBelow(folder).includes(folder)) return;
  const options = [`size=${bytes}`, `mode=${mode.toString(8)}`, "nosuid", "nodev", ...(group === undefined ? [] : [`gid=${group}`])];
  await runOrThrow(run, ["mount", "-t", "tmpfs", "-o", options.join(","), "tmpfs", folder], {}, signal);
}

/**
 * Takes away all that is mounted at or below a folder. The files go first: namespaces that were made meanwhile have the mount as well, and
 * would keep the memory.
 */
export async function unmountBelow(run: RunCommand, folder: string): Promise<void> {
  for (const point of mountPointsBelow(folder).toReversed()) {
    for (const name of readdirSync(point)) rmSync(join(point, name), { recursive: true, force: true });
    await runOrThrow(run, ["umount", "--lazy", point]);
  }
}

/** In the order in which they were mounted. */
function mountPointsBelow(folder: string): readonly string[] {
  return parseMountPoints(readFileSync("/proc/self/mountinfo", "utf8")).filter((p) => p === folder || p.startsWith(`${folder}/`));
}

/** proc_pid_mountinfo(5): the fifth field, in which spaces, tabs, newlines and backslashes are octal. */
export function parseMountPoints(text: string): readonly string[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) =>
      (line.split(" ")[4] ?? "").replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    );
}
