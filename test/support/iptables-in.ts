import type { RunIptables } from "../../src/kernel/iptables-command.ts";
import { commandsIn } from "./in-netns.ts";

/** Runs iptables programs in a named network namespace. */
export function iptablesIn(namespace: string): RunIptables {
  const run = commandsIn(namespace);
  return (program, args, input, signal) => run([program, ...args], { input }, signal);
}
