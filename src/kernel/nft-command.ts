import { spawn } from "node:child_process";
import { closeSync, constants, openSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";

export interface NftResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a pipe takes at once, whatever becomes of the writer. */
const pipeTakes = 32_768;
/** Linux's __O_TMPFILE. */
const tmpFile = 0o20000000;

/**
 * Text in a file without a name. A pipe would end where this process is killed, and nft takes a part that ends with a line
 * for a transaction. Undefined where there is no such file to be had.
 */
function unnamedFile(text: string): number | undefined {
  let file: number | undefined;
  try {
    file = openSync(tmpdir(), tmpFile | constants.O_DIRECTORY | constants.O_RDWR, 0o600);
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at, bytes.length - at, at);
    return file;
  } catch {
    if (file !== undefined) closeSync(file);
    return undefined; // a file system without them, or a full one
  }
}

/** Runs the `nft` command in this thread's network namespace. Rejects only when it cannot be started or the signal aborts. */
export function runNft(args: readonly string[], stdin: string, signal: AbortSignal): Promise<NftResult> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`, LC_ALL: "C" };
    const file = stdin.length > pipeTakes ? unnamedFile(stdin) : undefined;
    const child = spawn("nft", args, { stdio: [file ?? "pipe", "pipe", "pipe"], env, signal });
    if (file !== undefined) closeSync(file);
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout?.on("data", (b: Buffer) => out.push(b));
    child.stderr?.on("data", (b: Buffer) => err.push(b));
    child.stdin?.on("error", () => undefined); // it ended without reading everything; its status says why
    child.on("error", reject);
    child.on("close", (code) => {
      resolve({ code: code ?? 1, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() });
    });
    child.stdin?.end(stdin);
  });
}
