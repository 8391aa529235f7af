import { spawn } from "node:child_process";

export interface NftResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the `nft` command in this thread's network namespace. Rejects only when it cannot be started or the signal aborts. */
export function runNft(args: readonly string[], stdin: string, signal: AbortSignal): Promise<NftResult> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`, LC_ALL: "C" };
    const child = spawn("nft", args, { stdio: ["pipe", "pipe", "pipe"], env, signal });
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
}
