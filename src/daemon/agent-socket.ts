import { tmpdir } from "node:os";
import { join } from "node:path";
import { fnv1a } from "../base/hash.ts";
import type { DaemonConfig } from "./daemon-config.ts";

/** sun_path of a UNIX socket holds 107 bytes and the zero behind them (unix(7)). */
const maxPath = 107;

/** Where a node's agent gives its tables to the processes that serve them: below the run dir, or a short path where that is too long. */
export function agentSocket(config: Pick<DaemonConfig, "runDir">): string {
  return runSocket(config, "agent.sock");
}

/** A UNIX socket of a node's daemon; its folder may have to be made. */
export function runSocket({ runDir }: Pick<DaemonConfig, "runDir">, name: string): string {
  const path = join(runDir, name);
  if (Buffer.byteLength(path) <= maxPath) return path;
  return join(tmpdir(), `fairway-${process.getuid?.() ?? 0}-${fnv1a(runDir).toString(36)}`, name);
}
