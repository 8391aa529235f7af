import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { cpus } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { build } from "esbuild";
import { queryOnce } from "../../dns/index.ts";
import { dnsRuntime } from "../../src/daemon/dns-runtime.ts";

export const serverCpu = "0";
export const clientCpu = String(Math.max(0, cpus().length - 1));

/** A server and its ports: of the cluster's names, of names that it keeps, of names that it asks for each time. */
export interface Candidate {
  readonly name: string;
  readonly ports: { readonly names?: number; readonly cached?: number; readonly forwarded?: number };
  readonly process: ChildProcess;
}

/** On one core, where the machine can say so. */
export function pinned(cpu: string, command: string, args: readonly string[]): readonly [string, readonly string[]] {
  const taskset = find("taskset", "FAIRWAY_TASKSET");
  return taskset === undefined ? [command, args] : [taskset, ["-c", cpu, command, ...args]];
}

function start(command: string, args: readonly string[], more: Readonly<Record<string, string>> = {}): ChildProcess {
  const [program, all] = pinned(serverCpu, command, args);
  return spawn(program, all, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, GOMAXPROCS: "1", NODE_PATH: join(import.meta.dirname, "../../node_modules"), ...more },
  });
}

/** As it is shipped: in one file without types, which node would otherwise take off, and keep the tools for it in memory. */
export async function buildOwn(folder: string): Promise<string> {
  const program = join(folder, "dns-server.program.mjs");
  await build({
    entryPoints: [join(import.meta.dirname, "../guest/dns-server.program.ts")],
    outfile: program,
    bundle: true,
    platform: "node",
    format: "esm",
    external: ["koffi"],
    logLevel: "error",
  });
  return program;
}

/** `what` is what the program takes after its own name. */
export async function startOwn(
  name: string,
  program: string,
  what: readonly string[],
  kinds: readonly (keyof Candidate["ports"])[],
): Promise<Candidate> {
  // as the supervisor does
  const child = start(process.execPath, [...dnsRuntime, program, ...what], { MALLOC_ARENA_MAX: "1" });
  child.stderr?.pipe(process.stderr);
  const [line] = (await once(createInterface({ input: child.stdout ?? process.stdin }), "line")) as [string];
  return { name, ports: Object.fromEntries(kinds.map((kind) => [kind, Number(line)])), process: child };
}

function find(name: string, variable: string): string | undefined {
  const given = process.env[variable];
  if (given !== undefined) return given;
  const found = spawnSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" });
  return found.status === 0 ? found.stdout.trim() : undefined;
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function startRival(
  name: string,
  ports: Candidate["ports"],
  known: string,
  command: string,
  args: readonly string[],
): Promise<Candidate> {
  const child = start(command, args);
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (text: Buffer) => (said = (said + text.toString()).slice(-2000)));
  for (let i = 0; i < 240; i++) {
    if (child.exitCode !== null) throw new Error(`${name} ended: ${said}`);
    const answer = await queryOnce({ ip: "127.0.0.1", port: ports.names ?? 0 }, known, { timeout: 500 }).catch(() => undefined);
    if (answer !== undefined && answer.answers.length > 0) return { name, ports, process: child };
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  child.kill();
  throw new Error(`${name} did not answer: ${said}`);
}

export interface RivalsConfig {
  /** For their files. */
  readonly folder: string;
  /** What they read: a master file, and unbound's `local-data` lines. */
  readonly zoneFile: string;
  readonly localData: string;
  /** Port of a Kubernetes API. */
  readonly lists: number;
  readonly upstream: number;
  /** A name that each has when it is up. */
  readonly known: string;
}

/** Those that this machine has, and the names of those it has not. */
export async function startRivals(o: RivalsConfig): Promise<{ readonly there: readonly Candidate[]; readonly left: readonly string[] }> {
  const { folder, zoneFile, localData, lists, upstream, known } = o;
  const there: Candidate[] = [];
  const left: string[] = [];
  const add = async (name: string, variable: string, configure: () => Promise<[Candidate["ports"], readonly string[]]>): Promise<void> => {
    const command = find(name, variable);
    if (command === undefined) {
      left.push(name);
      return;
    }
    const [ports, args] = await configure();
    there.push(await startRival(name, ports, known, command, args));
  };
  await add("coredns", "FAIRWAY_COREDNS", async () => {
    const ports = { names: await freePort(), cached: await freePort(), forwarded: await freePort() };
    const file = join(folder, "Corefile");
    const block = (port: number, ...lines: readonly string[]): string => `.:${port} {\nbind 127.0.0.1\n${lines.join("\n")}\n}\n`;
    const forward = `forward . 127.0.0.1:${upstream}`;
    const names = block(ports.names, `kubernetes cluster.local {\nendpoint http://127.0.0.1:${lists}\npods insecure\n}`);
    writeFileSync(file, names + block(ports.cached, forward, "cache") + block(ports.forwarded, forward));
    return [ports, ["-conf", file]];
  });
  await add("unbound", "FAIRWAY_UNBOUND", async () => {
    const port = await freePort();
    const file = join(folder, "unbound.conf");
    const server = [
      `interface: 127.0.0.1@${port}`,
      "do-daemonize: no",
      "num-threads: 1",
      'username: ""',
      'chroot: ""',
      'pidfile: ""',
      `directory: "${folder}"`,
      "use-syslog: no",
      'module-config: "iterator"',
      "do-not-query-localhost: no",
      'local-zone: "cluster.local." static',
      `include: ${localData}`,
    ];
    const forward = `forward-zone:\n  name: "."\n  forward-addr: 127.0.0.1@${upstream}\n`;
    writeFileSync(file, `server:\n${server.map((l) => `  ${l}`).join("\n")}\n${forward}remote-control:\n  control-enable: no\n`);
    return [{ names: port, cached: port, forwarded: port }, ["-d", "-c", file]];
  });
  await add("knotd", "FAIRWAY_KNOTD", async () => {
    const port = await freePort();
    const file = join(folder, "knot.conf");
    const server = `server:\n  rundir: ${folder}\n  listen: 127.0.0.1@${port}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n`;
    const rest = `database:\n  storage: ${folder}\ntemplate:\n  - id: default\n    zonefile-load: whole\n    journal-content: none\n`;
    writeFileSync(file, `${server}${rest}zone:\n  - domain: cluster.local\n    file: ${zoneFile}\n`);
    return [{ names: port }, ["-c", file]];
  });
  await add("named", "FAIRWAY_NAMED", async () => {
    const port = await freePort();
    const file = join(folder, "named.conf");
    const options = `directory "${folder}"; listen-on port ${port} { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; pid-file none; session-keyfile none; managed-keys-directory "${folder}"; minimal-responses yes;`;
    writeFileSync(
      file,
      `options { ${options} };\ncontrols { };\nzone "cluster.local" { type primary; file "${zoneFile}"; check-names ignore; };\n`,
    );
    return [{ names: port }, ["-f", "-n", "1", "-c", file]];
  });
  return { there, left };
}
