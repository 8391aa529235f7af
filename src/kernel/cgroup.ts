import { accessSync, constants, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";

const root = "/sys/fs/cgroup";

/** v1 counts for hybrid machines too: their v2 part holds no controllers that matter here. `none`: missing, or not ours to write. */
export type CgroupVersion = "v1" | "v2" | "none";

/** What this process may use. Makes and removes one probe group, as access bits do not tell (a read-only mount, a container). */
export function detectCgroups(): CgroupVersion {
  const version = existsSync(join(root, "cgroup.controllers")) ? "v2" : existsSync(join(root, "memory")) ? "v1" : "none";
  if (version === "none") return "none";
  const probe = join(root, version === "v1" ? "memory" : "", `fairway-probe-${process.pid}`);
  try {
    accessSync("/proc/self/cgroup", constants.R_OK);
    mkdirSync(probe);
    rmdirSync(probe);
    return version;
  } catch {
    return "none";
  }
}

/** The folders of the group at `path` (as in an OCI spec), one a hierarchy. */
export function cgroupFolders(version: CgroupVersion, path: string): readonly string[] {
  if (version === "none") return [];
  if (version === "v2") return [join(root, path)];
  return readdirSync(root)
    .map((controller) => join(root, controller, path))
    .filter((folder) => existsSync(folder));
}

/** Removes the group at `path` and the groups below it; ones that still hold processes stay. */
export function removeCgroup(version: CgroupVersion, path: string): void {
  for (const folder of cgroupFolders(version, path)) removeTree(folder);
}

/** How often the kernel killed a process of the group for want of memory. */
export function oomKills(version: CgroupVersion, path: string): number {
  const file = version === "v2" ? join(root, path, "memory.events") : join(root, "memory", path, "memory.oom_control");
  try {
    return Number(/^oom_kill (\d+)$/m.exec(readFileSync(file, "utf8"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

function removeTree(folder: string): void {
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true })) if (entry.isDirectory()) removeTree(join(folder, entry.name));
    rmdirSync(folder);
  } catch {
    // Gone already, or busy: the next clean-up takes it.
  }
}
