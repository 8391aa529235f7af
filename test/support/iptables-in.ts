import { spawn } from "node:child_process";
import type { RunIptables } from "../../src/kernel/iptables-command.ts";

/** Runs iptables programs in a named network namespace. */
export function iptablesIn(namespace: string): RunIptables {
  return (program, args, stdin) =>
    new Promise((resolve, reject) => {
      const child = spawn("ip", ["netns", "exec", namespace, program, ...args], { stdio: ["pipe", "pipe", "pipe"] });
      let stdout = "";
      let stderr = "";
      child.stdout.on("data", (b: Buffer) => (stdout += b.toString()));
      child.stderr.on("data", (b: Buffer) => (stderr += b.toString()));
      child.on("error", reject);
      child.stdin.on("error", () => undefined); // it ended without reading; its status says why
      child.on("close", (code) => resolve({ code: code ?? 1, stdout, stderr }));
      child.stdin.end(stdin);
    });
}
