import { readFileSync } from "node:fs";
import { arch, availableParallelism, release, totalmem } from "node:os";
import type { NodeSystemInfo } from "../api/types/core-v1.generated.ts";

/** What this machine is, as a Node's status tells it. */
export function readNodeInfo(runtimeVersion: string, version: string): NodeSystemInfo {
  const os = readText("/etc/os-release");
  return {
    machineID: readText("/etc/machine-id"),
    systemUUID: readText("/sys/class/dmi/id/product_uuid"),
    bootID: readText("/proc/sys/kernel/random/boot_id"),
    kernelVersion: release(),
    osImage: /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(os)?.[1] ?? "Linux",
    containerRuntimeVersion: runtimeVersion,
    kubeletVersion: version,
    kubeProxyVersion: version,
    operatingSystem: "linux",
    architecture: arch() === "x64" ? "amd64" : arch(),
  };
}

/** Nodes on one machine share it: each tells all of it, as the scheduler counts by node. */
export function readCapacity(): Readonly<Record<string, string>> {
  return {
    cpu: String(availableParallelism()),
    memory: `${Math.floor(totalmem() / 1024)}Ki`,
    "ephemeral-storage": "100Gi",
    pods: "110",
  };
}

/** The user that a name or number stands for, by a passwd and a group file. `undefined` for a name that is not there. */
export function findUser(
  name: string,
  passwd: string,
  group: string,
): { readonly uid: number; readonly gid: number; readonly groups: readonly number[] } | undefined {
  const [user = "", groupName] = name.split(":");
  const rows = passwd.split("\n").map((line) => line.split(":"));
  const groups = group.split("\n").map((line) => line.split(":"));
  const row = rows.find((r) => r[0] === user || (/^\d+$/.test(user) && r[2] === user));
  if (row === undefined && !/^\d+$/.test(user)) return undefined;
  const named = groupName === undefined ? undefined : (groups.find((g) => g[0] === groupName)?.[2] ?? groupName);
  const gid = Number(named ?? row?.[3] ?? 0);
  if (!Number.isInteger(gid)) return undefined;
  const member = groupName === undefined ? row?.[0] : undefined;
  const others = member === undefined ? [] : groups.filter((g) => (g[3] ?? "").split(",").includes(member)).map((g) => Number(g[2]));
  return { uid: Number(row?.[2] ?? user), gid, groups: others };
}

export function readText(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}
