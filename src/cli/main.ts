import { type CommandEntry, runCli } from "./program.ts";

const cluster = "Cluster on this machine:";
const questions = "Questions, of files (--objects) or of a cluster:";
const roles = "One role a process, against this or any Kubernetes API server:";
const others = "This program:";

/** In the order of `fairway --help`. Only the module of the command that was asked for is loaded. */
const entries: readonly CommandEntry[] = [
  { group: cluster, names: ["up"], load: () => import("./commands/up.ts") },
  { group: cluster, names: ["demo"], load: () => import("./commands/demo.ts") },
  { group: cluster, names: ["down"], load: () => import("./commands/down.ts") },
  { group: cluster, names: ["status"], load: () => import("./commands/status.ts") },
  { group: cluster, names: ["node-exec"], load: () => import("./commands/node-exec.ts") },
  { group: questions, names: ["render"], load: () => import("./commands/render.ts") },
  { group: questions, names: ["trace"], load: () => import("./commands/trace.ts") },
  { group: questions, names: ["resolve"], load: () => import("./commands/resolve.ts") },
  { group: questions, names: ["route"], load: () => import("./commands/route.ts") },
  { group: questions, names: ["migrate"], load: () => import("./commands/migrate.ts") },
  { group: questions, names: ["plan"], load: () => import("./commands/plan.ts") },
  { group: questions, names: ["history"], load: () => import("./commands/history.ts") },
  { group: roles, names: ["apiserver"], load: () => import("./commands/apiserver.ts") },
  { group: roles, names: ["controllers", "scheduler"], load: () => import("./commands/control-plane.ts") },
  { group: roles, names: ["node"], load: () => import("./commands/node.ts") },
  { group: roles, names: ["daemon", "proxy", "dns", "ingress"], load: () => import("./commands/daemon.ts") },
  { group: others, names: ["check"], load: () => import("./commands/check.ts") },
  { group: others, names: ["config"], load: () => import("./commands/config.ts") },
  { group: others, names: ["process"], load: () => import("./commands/process.ts") },
  { group: others, names: ["completion"], load: () => import("./commands/completion.ts") },
];

// A reader that went away (`fairway render | head`) is no failure. What ends in an order of its own (a cluster, a role) goes on
// without one: at Ctrl-C the `tee` beside it is gone first.
process.stdout.on("error", (e: NodeJS.ErrnoException) => {
  if (process.listenerCount("SIGTERM") > 0) return;
  if (e.code === "EPIPE") process.exit(0);
  throw e;
});
// Nobody is left to be told.
process.stderr.on("error", () => undefined);

const status = await runCli(process.argv.slice(2), entries, {
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
});
// A command that goes on (a role) sets its own status when it ends.
if (status !== 0) process.exitCode = status;
