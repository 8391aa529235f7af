import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";
import { type ClusterOptions, findLocalCluster } from "./cluster.ts";
import type { ClusterStatus } from "./cluster-status.ts";
import { usageError, workError } from "./errors.ts";

/** Replaces this process by the command, inside the node's network namespace. Returns only by throwing. */
export function execInNode(node: string, words: readonly string[], options: ClusterOptions): never {
  const argv = [...enterNode(findLocalCluster(options), node), ...defaultSignals(), ...words];
  const [program = ""] = argv;
  const file = findProgram(program);
  if (file === undefined) throw workError(`${program}: no such command${program === "nsenter" ? "; install the package util-linux" : ""}`);
  process.execve?.(file, argv, process.env);
  throw workError("this Node.js cannot replace its process; run 'npm run setup' for the one that fairway brings");
}

/** What stands before a command to run it in the node's namespace. In plain mode nodes have none: the command runs as it is. */
export function enterNode(cluster: ClusterStatus, node: string): readonly string[] {
  const found = cluster.nodes.find((n) => n.name === node);
  if (found === undefined) throw usageError(`node-exec ${node}: no such node; there are ${cluster.nodes.map((n) => n.name).join(", ")}`);
  if (found.netns === undefined) return [];
  const path = isAbsolute(found.netns) ? found.netns : join("/run/netns", found.netns);
  return ["nsenter", `--net=${path}`, "--"];
}

/** The runtime ignores SIGPIPE and SIGXFSZ, and what is ignored stays so over exec: coreutils' env gives the command the defaults back. */
function defaultSignals(): readonly string[] {
  const [env, ...reset] = ["env", "--default-signal=PIPE,XFSZ"] as const;
  return spawnSync(env, [...reset, "true"], { stdio: "ignore" }).status === 0 ? [env, ...reset] : [];
}

function findProgram(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  const files = name.includes("/") ? [name] : folders.filter((f) => f !== "").map((f) => join(f, name));
  return files.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
