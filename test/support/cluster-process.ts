import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const root = join(import.meta.dirname, "..", "..");
const run = promisify(execFile);
export const fairwayBinary = join(root, "bin", "fairway");

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end; never throws for an exit status. */
export async function command(
  file: string,
  args: readonly string[],
  o: { readonly input?: string; readonly env?: NodeJS.ProcessEnv; readonly timeout?: number } = {},
): Promise<CommandResult> {
  const child = run(file, [...args], { env: { ...process.env, ...o.env }, timeout: o.timeout ?? 240_000, maxBuffer: 64 << 20 });
  if (o.input !== undefined) child.child.stdin?.end(o.input);
  else child.child.stdin?.end();
  try {
    const { stdout, stderr } = await child;
    return { code: 0, stdout, stderr };
  } catch (error) {
    const e = error as { code?: number | string; stdout?: string; stderr?: string };
    return { code: typeof e.code === "number" ? e.code : 1, stdout: e.stdout ?? "", stderr: e.stderr ?? String(error) };
  }
}

export interface TestCluster {
  readonly name: string;
  readonly dataDir: string;
  readonly process: ChildProcess;
  readonly readySeconds: number;
  output(): string;
  kubectl(...args: readonly string[]): Promise<CommandResult>;
  /** kubectl with `input` on standard input. */
  kubectlInput(input: string, ...args: readonly string[]): Promise<CommandResult>;
  fairway(...args: readonly string[]): Promise<CommandResult>;
  /** status.json as `fairway status -o json` prints it. */
  status(): Promise<Record<string, unknown>>;
  /** SIGINT, and waits for the end; the exit code. */
  stop(): Promise<number | null>;
}

const swept = new Set<string>();

/** Ends and removes what a run of the same test that was itself killed has left, its data with it. */
async function sweep(name: string, dataDir: string): Promise<void> {
  if (swept.has(name)) return;
  swept.add(name);
  for (const entry of readdirSync(tmpdir())) {
    // As mkdtemp names them, here and for a user without rights.
    if (!new RegExp(`^(fairway-)?${name}-\\w{6}$`).test(entry)) continue;
    const folder = join(tmpdir(), entry);
    const theirs = existsSync(join(folder, "data")) ? join(folder, "data") : folder;
    if (theirs === dataDir) continue;
    await command(fairwayBinary, ["down", "--name", name, "--data-dir", theirs]);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Starts `fairway up` with a data dir of its own, and waits for the line `ready`. */
export async function startTestCluster(o: {
  readonly name: string;
  readonly args?: readonly string[];
  readonly dataDir?: string;
  readonly wait?: number;
  readonly env?: NodeJS.ProcessEnv;
  readonly command?: string;
  /** What runs it: a command that execs its arguments (setpriv, env). */
  readonly through?: readonly string[];
}): Promise<TestCluster> {
  const dataDir = o.dataDir ?? mkdtempSync(join(tmpdir(), `fairway-${o.name}-`));
  await sweep(o.name, dataDir);
  const started = performance.now();
  const line = [...(o.through ?? []), fairwayBinary, o.command ?? "up", "--name", o.name, "--data-dir", dataDir, "--plain"];
  const child = spawn(line[0] ?? fairwayBinary, [...line.slice(1), ...(o.args ?? [])], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...o.env },
  });
  let output = "";
  const ready = Promise.withResolvers<void>();
  const onText = (text: Buffer): void => {
    output += text.toString();
    if (/^ready$/m.test(output)) ready.resolve();
  };
  child.stdout.on("data", onText);
  child.stderr.on("data", onText);
  child.on("exit", (code) => ready.reject(new Error(`up ended with ${code}:\n${output}`)));
  const timer = setTimeout(() => ready.reject(new Error(`not ready in time:\n${output}`)), o.wait ?? 180_000);
  try {
    await ready.promise;
  } catch (error) {
    child.kill("SIGTERM");
    throw error;
  } finally {
    clearTimeout(timer);
  }
  const kubeconfig = join(dataDir, "kubeconfig");
  const cluster: TestCluster = {
    name: o.name,
    dataDir,
    process: child,
    readySeconds: (performance.now() - started) / 1000,
    output: () => output,
    kubectl: (...args) => command("kubectl", ["--kubeconfig", kubeconfig, ...args]),
    kubectlInput: (input, ...args) => command("kubectl", ["--kubeconfig", kubeconfig, ...args], { input }),
    fairway: (...args) => command(fairwayBinary, args, { env: { KUBECONFIG: kubeconfig } }),
    status: () => Promise.resolve(JSON.parse(readFileSync(join(dataDir, "status.json"), "utf8")) as Record<string, unknown>),
    stop: () =>
      new Promise((resolve) => {
        if (child.exitCode !== null || child.signalCode !== null) {
          resolve(child.exitCode);
          return;
        }
        child.on("exit", (code) => resolve(code));
        child.kill("SIGINT");
      }),
  };
  return cluster;
}

/** Everything below a cluster's `up` that has `text` in its command line. */
export async function pidsOf(cluster: TestCluster, text: string): Promise<number[]> {
  const { stdout } = await command("ps", ["-eo", "pid,ppid,args"]);
  const rows = stdout
    .split("\n")
    .map((l) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(l))
    .filter((m) => m !== null);
  const inside = new Set([cluster.process.pid]);
  for (let grown = true; grown; ) {
    grown = false;
    for (const [, pid, ppid] of rows) {
      if (inside.has(Number(ppid)) && !inside.has(Number(pid))) {
        inside.add(Number(pid));
        grown = true;
      }
    }
  }
  return rows.filter(([, pid, , argv]) => inside.has(Number(pid)) && argv?.includes(text)).map(([, pid]) => Number(pid));
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

export function removeDataDir(cluster: TestCluster): void {
  rmSync(cluster.dataDir, { recursive: true, force: true });
}

/** Asks again until `ask` gives a value; throws with the last error when time is up. For the kernel and e2e tests only. */
export async function eventually<T>(
  ask: () => Promise<T | undefined> | T | undefined,
  o: { readonly timeout?: number; readonly what?: string } = {},
): Promise<T> {
  const until = performance.now() + (o.timeout ?? 90_000);
  let last: unknown;
  for (;;) {
    try {
      const value = await ask();
      if (value !== undefined && value !== false) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() > until) throw new Error(`${o.what ?? "condition"} not met in time`, { cause: last });
    await new Promise((r) => setTimeout(r, 50));
  }
}
