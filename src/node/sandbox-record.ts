import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Ip } from "../base/ip.ts";
import type { SandboxPlan } from "./container-plan.ts";

/** What a pod's network is, on the disk: for the agent that comes after this one. */
export interface SandboxRecord {
  readonly plan: SandboxPlan;
  readonly ips: readonly Ip[];
}

const file = "sandbox.json";

/** Whole or not at all, also when the machine stops in between. */
export function writeSandbox(podFolder: string, record: SandboxRecord): void {
  mkdirSync(podFolder, { recursive: true, mode: 0o750 });
  writeFileSync(join(podFolder, `${file}.tmp`), JSON.stringify(record), { mode: 0o600 });
  renameSync(join(podFolder, `${file}.tmp`), join(podFolder, file));
}

/** `undefined` for a pod folder without one: nothing was made for it yet. */
export function readSandbox(podFolder: string): SandboxRecord | undefined {
  if (!existsSync(join(podFolder, file))) return undefined;
  return JSON.parse(readFileSync(join(podFolder, file), "utf8")) as SandboxRecord;
}

/** `container/attempt` folders of a pod, the last attempt of each container. */
export function readLastAttempts(podFolder: string): readonly { readonly name: string; readonly attempt: number }[] {
  const folder = join(podFolder, "containers");
  return foldersIn(folder).flatMap((name) => {
    const attempts = foldersIn(join(folder, name)).map(Number).filter(Number.isInteger);
    return attempts.length === 0 ? [] : [{ name, attempt: Math.max(...attempts) }];
  });
}

export function foldersIn(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}
