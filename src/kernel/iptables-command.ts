import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import type { IpFamily } from "../base/ip.ts";
import type { CommandResult } from "./command.ts";

/** Two makes of iptables: each has rules of its own, and neither sees the other's. */
export type IptablesMake = "legacy" | "nft";

/** Runs one of the iptables programs in this thread's network namespace. Rejects only when it cannot be started or the signal aborts. */
export type RunIptables = (program: string, args: readonly string[], stdin: string, signal: AbortSignal) => Promise<CommandResult>;

export const runIptables: RunIptables = (program, args, stdin, signal) =>
  new Promise((resolve, reject) => {
    const env = { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`, LC_ALL: "C" };
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], env, signal });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on("data", (b: Buffer) => out.push(b));
    child.stderr.on("data", (b: Buffer) => err.push(b));
    child.stdin.on("error", () => undefined); // it ended without reading everything; its status says why
    child.on("error", reject);
    child.on("close", (code) => {
      resolve({ code: code ?? 1, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() });
    });
    child.stdin.end(stdin);
  });

/** `ip6tables-nft-restore` */
export function iptablesProgram(family: IpFamily, make: IptablesMake, what: "save" | "restore"): string {
  return `${family === 4 ? "iptables" : "ip6tables"}-${make}-${what}`;
}

/** Legacy tables that this thread's network namespace has; none where the kernel has no legacy iptables. */
export function legacyTables(family: IpFamily): readonly string[] {
  try {
    const names = readFileSync(`/proc/thread-self/net/${family === 4 ? "ip" : "ip6"}_tables_names`, "utf8");
    return names.split("\n").filter((name) => name !== "");
  } catch {
    return [];
  }
}

/** Whether the kernel was started with IPv6: where it was not, there are no tables for it either. */
export function hasIpv6(): boolean {
  return existsSync("/proc/net/if_inet6");
}
