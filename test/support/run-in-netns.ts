import { type RunCommand, runCommand } from "../../src/kernel/command.ts";

/** Runs programs in a named network namespace, where /sys and /proc/sys are that namespace's too. */
export function runInNetns(namespace: string): RunCommand {
  return (argv, options, signal) => runCommand(["ip", "netns", "exec", namespace, ...argv], options, signal);
}
