import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { RunCommand } from "./command.ts";

/** Where `ip netns` keeps its names. */
export const netnsFolder = "/run/netns";

export function netnsPath(name: string): string {
  return join(netnsFolder, name);
}

/** Names below /run/netns; empty when the folder is missing. */
export function readNetnsNames(): readonly string[] {
  try {
    return readdirSync(netnsFolder);
  } catch {
    return [];
  }
}

/** Removes the names; one that is gone is no error. The namespace lives on while processes are in it. */
export async function deleteNetns(run: RunCommand, names: readonly string[], signal?: AbortSignal): Promise<void> {
  if (names.length === 0) return;
  await run(["ip", "-force", "-batch", "-"], { input: names.map((n) => `netns delete ${n}\n`).join("") }, signal);
}

/** The same command inside the network namespace at `path`; the other namespaces stay the caller's. */
export function inNetns(path: string, argv: readonly string[]): readonly string[] {
  return ["nsenter", `--net=${path}`, "--", ...argv];
}
