import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, sep } from "node:path";
import { NodeError } from "./errors.ts";
import type { VolumeFile, VolumePlan } from "./volume-plan.ts";

/** Only root gives files to a group it is not in; without, pods are this user's own processes anyway. */
const isRoot = process.getuid?.() === 0;

/**
 * Lays a volume's files so that a reader sees all of the old ones or all of the new ones: they are written to a new folder, to which the
 * link `..data` is then moved; the names that a pod sees are links through it. Returns false when nothing differs.
 */
export function writeVolumeFiles(folder: string, files: ReadonlyMap<string, VolumeFile>, stamp: string, group?: number): boolean {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const data = join(folder, "..data");
  const before = existsSync(data) ? readlinkSync(data) : undefined;
  if (before !== undefined && sameFiles(join(folder, before), files, join(folder, before, "..names"))) return false;
  const next = `..${stamp}`;
  mkdirSync(join(folder, next), { mode: 0o755 });
  for (const [path, file] of files) {
    const target = join(folder, next, path);
    mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
    writeFileSync(target, file.bytes);
    chmodSync(target, group === undefined ? file.mode : file.mode | 0o040);
    if (group !== undefined && isRoot) chownSync(target, 0, group);
  }
  writeFileSync(join(folder, next, "..names"), JSON.stringify([...files.keys()].sort()), { mode: 0o600 });
  symlinkSync(next, join(folder, "..data_tmp"));
  renameSync(join(folder, "..data_tmp"), data);
  const roots = new Set([...files.keys()].map((path) => path.split("/")[0] ?? path));
  for (const root of roots) {
    const link = join(folder, root);
    if (!isLink(link)) symlinkSync(join("..data", root), link);
  }
  if (before !== undefined) {
    for (const path of namesIn(join(folder, before, "..names"))) {
      const root = path.split("/")[0] ?? path;
      if (!roots.has(root)) rmSync(join(folder, root), { force: true });
    }
    rmSync(join(folder, before), { recursive: true, force: true });
  }
  return true;
}

/** Makes what a volume is on this machine, and returns the folder or file to mount. Throws `pod-config` where a hostPath is not what its type says. */
export function layVolume(plan: VolumePlan, volumesFolder: string, stamp: string, group?: number): string {
  const folder = join(volumesFolder, plan.name);
  switch (plan.kind) {
    case "files":
      writeVolumeFiles(folder, plan.files, stamp, group);
      return folder;
    case "empty":
    case "memory":
      if (!existsSync(folder)) {
        mkdirSync(folder, { recursive: true });
        chmodSync(folder, emptyDirMode(group));
        if (group !== undefined && isRoot) chownSync(folder, 0, group);
      }
      return folder;
    case "host":
      assertHostPath(plan.path, plan.type);
      return plan.path;
  }
}

/** World-writable as the kubelet's; with a group, new files take it. */
export function emptyDirMode(group: number | undefined): number {
  return group === undefined ? 0o777 : 0o2777;
}

/** The place that a subPath names inside a volume, made when it is missing. Throws `pod-config` when links lead out of the volume. */
export function subPathOf(volume: string, subPath: string): string {
  const root = realpathSync(volume);
  let at = root;
  // One step at a time: nothing may be made behind a link that leads out, either.
  for (const part of subPath.split("/").filter((p) => p !== "" && p !== ".")) {
    const next = join(at, part);
    if (!existsSync(next)) mkdirSync(next, { mode: 0o755 });
    at = realpathSync(next);
    if (at !== root && !at.startsWith(root + sep)) {
      throw new NodeError("pod-config", `subPath "${subPath}" leads out of its volume`);
    }
  }
  return at;
}

function assertHostPath(path: string, type: string): void {
  if (type === "DirectoryOrCreate" && !existsSync(path)) mkdirSync(path, { recursive: true, mode: 0o755 });
  if (type === "FileOrCreate" && !existsSync(path)) writeFileSync(path, "", { mode: 0o644, flag: "a" });
  const found = existsSync(path) ? statSync(path) : undefined;
  if (type === "") {
    // No check is asked for; the runtime needs something to mount.
    if (found === undefined) mkdirSync(path, { recursive: true, mode: 0o755 });
    return;
  }
  const checks: Readonly<Record<string, readonly [ok: boolean | undefined, what: string]>> = {
    Directory: [found?.isDirectory(), "a directory"],
    DirectoryOrCreate: [found?.isDirectory(), "a directory"],
    File: [found?.isFile(), "a file"],
    FileOrCreate: [found?.isFile(), "a file"],
    Socket: [found?.isSocket(), "a socket"],
    CharDevice: [found?.isCharacterDevice(), "a character device"],
    BlockDevice: [found?.isBlockDevice(), "a block device"],
  };
  const [ok, what] = checks[type] ?? [false, `a ${type}`];
  if (ok !== true) throw new NodeError("pod-config", `hostPath type check failed: ${path} is not ${what}`);
}

function sameFiles(folder: string, files: ReadonlyMap<string, VolumeFile>, names: string): boolean {
  if (namesIn(names).join("\n") !== [...files.keys()].sort().join("\n")) return false;
  for (const [path, file] of files) {
    const target = join(folder, path);
    if (!existsSync(target) || !readFileSync(target).equals(file.bytes)) return false;
  }
  return true;
}

function namesIn(file: string): readonly string[] {
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as readonly string[]) : [];
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink();
  } catch {
    return false;
  }
}
