import { accessSync, constants, readFileSync, statfsSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { inputError } from "./errors.ts";

/** The text of the file that an option names. Throws an input error that names the option, the file and what is wrong with it. */
export function readOption(option: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw inputError(`${option} ${file}: ${describeFileFault(error)}`);
  }
}

/** A file that an option names and others will write: its folder must be there, and itself no folder. */
export function checkWritable(option: string, file: string): void {
  const found = statSync(file, { throwIfNoEntry: false });
  if (found?.isDirectory() === true) throw inputError(`${option} ${file}: is a folder; name a file in it`);
  const folder = dirname(resolve(file));
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw inputError(`${option} ${file}: there is no folder ${folder}; make it first`);
  mayWrite(option, file, found === undefined ? folder : file);
}

/**
 * A folder that an option names and that is made when it is not there: what exists of its path must be folders, this user's to write, on
 * a file system that keeps files (in /proc nothing can be made, and trying to does not even end).
 */
export function checkDataFolder(option: string, folder: string): void {
  let there = resolve(folder);
  while (!exists(option, folder, there)) there = dirname(there);
  const what = there === resolve(folder) ? "it" : there;
  if (!statSync(there).isDirectory()) throw inputError(`${option} ${folder}: ${what} is a file, not a folder; choose another folder`);
  const kept = unkept.get(statfsSync(there).type);
  if (kept !== undefined) throw inputError(`${option} ${folder}: ${what} is on ${kept}, which keeps no files; choose a folder on a disk`);
  mayWrite(option, folder, there);
}

/** What a person would call it; the system's own words where there are no better ones. */
export function describeFileFault(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOENT") return "no such file or folder";
  if (code === "ENOTDIR") return "no such file: a part of its path is a file";
  if (code === "EISDIR") return "is a folder; name a file";
  if (code === "EACCES" || code === "EPERM") return "may not be read by this user";
  return error instanceof Error ? error.message : String(error);
}

// include/uapi/linux/magic.h
const unkept: ReadonlyMap<number, string> = new Map([
  [0x9fa0, "procfs"],
  [0x62656572, "sysfs"],
  [0x63677270, "a cgroup file system"],
  [0x27e0eb, "a cgroup file system"],
  [0x64626720, "debugfs"],
  [0x1cd1, "devpts"],
]);

function exists(option: string, folder: string, path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EACCES") throw inputError(`${option} ${folder}: may not be looked at by this user`);
    throw inputError(`${option} ${folder}: ${describeFileFault(error)}`);
  }
}

function mayWrite(option: string, given: string, path: string): void {
  try {
    accessSync(path, constants.W_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === "EROFS" ? "is on a read-only file system" : "may not be written by this user";
    throw inputError(`${option} ${given}: ${path === resolve(given) ? "" : `${path} `}${why}; choose another place`);
  }
}
