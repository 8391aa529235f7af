import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";
import { type ClusterOptions, findLocalCluster } from "./cluster.ts";
import type { ClusterStatus } from "./cluster-status.ts";
import { usageError, workError } from "./errors.ts";

/** Replaces this process by the command, inside the node's network namespace. Returns only by throwing. */
export function execInNode(node: string, words: readonly string[], options: ClusterOptions): never {
  const argv = nodeCommand(findLocalCluster(options), node, words);
  const [program = ""] = argv;
  const file = findProgram(program);
  if (file === undefined) {
    throw workError(program === "nsenter" ? "nsenter is missing; install the package util-linux" : `${program}: no such command`);
  }
  process.execve?.(file, [program, ...withSignals(argv.slice(1))], process.env);
  throw workError("this Node.js cannot replace its process; run 'npm run setup' for the one that fairway brings");
}

/** The command line that does it. In plain mode nodes have no namespace: the command runs as it is. */
export function nodeCommand(cluster: ClusterStatus, node: string, words: readonly string[]): readonly string[] {
  const found = cluster.nodes.find((n) => n.name === node);
  if (found === undefined) throw usageError(`node-exec ${node}: no such node; there are ${cluster.nodes.map((n) => n.name).join(", ")}`);
  if (found.netns === undefined) return words;
  const path = isAbsolute(found.netns) ? found.netns : join("/run/netns", found.netns);
  return ["nsenter", `--net=${path}`, "--", ...words];
}

/** The runtime ignores SIGPIPE and SIGXFSZ, and what is ignored stays so over exec: coreutils' env gives the command the defaults back. */
function withSignals(rest: readonly string[]): readonly string[] {
  const at = rest.indexOf("--") + 1;
  const reset = ["env", "--default-signal=PIPE,XFSZ"];
  if (at === 0 || spawnSync(reset[0] ?? "", [...reset.slice(1), "true"], { stdio: "ignore" }).status !== 0) return rest;
  return [...rest.slice(0, at), ...reset, ...rest.slice(at)];
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
