import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand, runOrThrow } from "../../src/kernel/command.ts";
import { deleteNetns, inNetns, netnsPath } from "../../src/kernel/netns.ts";
import { type CommandResult, command, fairwayBinary, isAlive } from "./cluster-process.ts";

/** One `fairway ROLE` in the lab's network namespace. */
export interface RoleProcess {
  readonly process: ChildProcess;
  output(): string;
  /** Sends the signal and waits for the end: the exit status, or the signal that ended it. */
  end(signal?: NodeJS.Signals): Promise<number | string>;
}

/** A network namespace with one address, a folder, and the processes in them. */
export interface RoleLab {
  readonly folder: string;
  readonly ip: string;
  run(...argv: readonly string[]): Promise<CommandResult>;
  /** `fairway ARGS` to its end. */
  fairway(...args: readonly string[]): Promise<CommandResult>;
  start(...args: readonly string[]): RoleProcess;
  /** Another program, for as long as the lab is open. */
  serve(file: string, ...args: readonly string[]): void;
  /** An HTTP server that answers this text to everything, and keeps connections for as long as the client does. */
  serveText(port: number, text: string): void;
  /** Writes a file into the folder; answers its path. */
  file(name: string, text: string): string;
  /** Ids of the processes in the namespace whose command line has `text`. */
  pids(text?: string): Promise<readonly number[]>;
  close(): Promise<void>;
}

export async function openRoleLab(name: string, ip: string): Promise<RoleLab> {
  const folder = mkdtempSync(join(tmpdir(), `fairway-${name}-`));
  const started: RoleProcess[] = [];
  const path = netnsPath(name);
  const inside = (argv: readonly string[]): [string, string[]] => {
    const [file = "", ...args] = inNetns(path, argv);
    return [file, args];
  };
  const begin = (argv: readonly string[]): RoleProcess => {
    const child = spawn(...inside(argv), { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout?.on("data", (b: Buffer) => (output += b.toString()));
    child.stderr?.on("data", (b: Buffer) => (output += b.toString()));
    const ended = new Promise<number | string>((resolve) => child.on("exit", (code, signal) => resolve(code ?? signal ?? "")));
    const role: RoleProcess = {
      process: child,
      output: () => output,
      end: (signal = "SIGTERM") => {
        child.kill(signal);
        return ended;
      },
    };
    started.push(role);
    return role;
  };
  await deleteNetns(runCommand, [name]);
  await runOrThrow(runCommand, ["ip", "netns", "add", name]);
  const lab: RoleLab = {
    folder,
    ip,
    run: (...argv) => command(...inside(argv)),
    fairway: (...args) => command(...inside([fairwayBinary, ...args])),
    start: (...args) => begin([fairwayBinary, ...args]),
    serve(...argv) {
      begin(argv);
    },
    serveText(port, text) {
      const answer = `(_, r) => r.end(${JSON.stringify(text)})`;
      const server = `Object.assign(require("http").createServer(${answer}), { keepAliveTimeout: 0 }).listen(${port}, "${ip}")`;
      lab.serve(process.execPath, "-e", server);
    },
    file(file, text) {
      writeFileSync(join(folder, file), text, { mode: 0o700 });
      return join(folder, file);
    },
    async pids(text = "") {
      const { stdout } = await command("ip", ["netns", "pids", name]);
      return stdout
        .split("\n")
        .filter((l) => l !== "" && commandLine(l).includes(text))
        .map(Number);
    },
    async close() {
      await Promise.all(started.map((role) => role.end("SIGTERM")));
      for (const pid of await lab.pids()) if (isAlive(pid)) process.kill(pid, "SIGKILL");
      await deleteNetns(runCommand, [name]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  const setUp = `link set lo up
link add eth0 type veth peer name eth0-peer
address add ${ip}/24 dev eth0
link set eth0 up
link set eth0-peer up
route add default dev eth0`;
  try {
    await runOrThrow(runCommand, ["ip", "-n", name, "-batch", "-"], { input: setUp });
    await runOrThrow(runCommand, inNetns(path, ["sysctl", "-qw", "net.ipv4.ip_forward=1"]));
  } catch (error) {
    await lab.close();
    throw error;
  }
  return lab;
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return ""; // it has ended
  }
}

/** A kubeconfig of one context; `user` is the user's fields as JSON. */
export function kubeconfigText(server: string, caPem: string, user: object): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "lab",
    contexts: [{ name: "lab", context: { cluster: "lab", user: "lab" } }],
    clusters: [{ name: "lab", cluster: { server, "certificate-authority-data": Buffer.from(caPem).toString("base64") } }],
    users: [{ name: "lab", user }],
  });
}
