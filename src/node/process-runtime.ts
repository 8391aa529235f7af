import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Cidr, cidrContains, parseCidr } from "../base/cidr.ts";
import type { Clock } from "../base/clock.ts";
import { type Ip, printHostPort } from "../base/ip.ts";
import { boundAddresses } from "./bound-addresses.ts";
import { containerExit } from "./container-exit.ts";
import type { ContainerPlan, SandboxPlan } from "./container-plan.ts";
import { ContainerProcess, killShim } from "./container-process.ts";
import { inputOf } from "./container-shim.ts";
import { isNodeError } from "./errors.ts";
import { attachTo, onTerminal, startExec } from "./exec-session.ts";
import { containerFolder, containerId, podFolder } from "./pod-names.ts";
import { PodAddresses } from "./pod-network.ts";
import type { AdoptedPod, AttachOptions, ContainerRun, ExecOptions, ExecSession, PodFolders, PodRuntime } from "./pod-runtime.ts";
import { compileProcess, type ProcessPlan } from "./process-plan.ts";
import { foldersIn, readLastAttempts, readSandbox, writeSandbox } from "./sandbox-record.ts";

export interface ProcessRuntimeConfig {
  readonly dataDir: string;
  readonly nodeIps: readonly Ip[];
  /** Where the cluster's DNS answers; pods get it as FAIRWAY_DNS. */
  readonly dns: { readonly ip: Ip; readonly port: number };
}

interface Known {
  readonly run: ContainerRun;
  readonly process: ContainerProcess;
}

/** On Linux all of 127.0.0.0/8 is the loopback's: anyone may bind an address of it. */
const loopback = parseCidr("127.0.0.0/8");
const defaultRange = parseCidr("127.64.0.0/16");
const killMs = 2000;

// The group of its own that setsid gives is what SIGKILL goes to: all that the command started and that did not leave it.
const launch =
  'command -v "$1" >/dev/null || { echo "exec: \\"$1\\": executable file not found" >runtime.log; exit 127; }; echo $$ >pid; cd "$0" 2>/dev/null || cd /; exec "$@"';

/**
 * Pods as plain processes of this user, each with an address of its own in 127.0.0.0/8: no root, no namespace, no mount. What that costs:
 * pods see the machine's files and each other, and a program must bind POD_IP and resolve through FAIRWAY_DNS.
 */
export class ProcessRuntime implements PodRuntime {
  readonly version = `process://${process.versions.node}`;
  readonly addresses = new PodAddresses();
  readonly #config: ProcessRuntimeConfig;
  readonly #clock: Clock;
  readonly #known = new Map<string, Known>();

  constructor(config: ProcessRuntimeConfig, deps: { readonly clock: Clock }) {
    this.#config = config;
    this.#clock = deps.clock;
    this.setPodRanges([]);
  }

  /** Ranges outside 127.0.0.0/8 cannot be bound here and are left out; with none, 127.64.0.0/16 is used. */
  setPodRanges(ranges: readonly Cidr[]): void {
    const usable = ranges.filter((r) => loopback !== undefined && cidrContains(loopback, r.ip));
    this.addresses.setRanges(usable.length > 0 || defaultRange === undefined ? usable : [defaultRange]);
  }

  folders(podUid: string): PodFolders {
    const pod = podFolder(this.#config.dataDir, podUid);
    return { pod, volumes: join(pod, "volumes"), logs: join(pod, "logs") };
  }

  async createSandbox(plan: SandboxPlan): Promise<readonly Ip[]> {
    const folder = podFolder(this.#config.dataDir, plan.podUid);
    const before = readSandbox(folder);
    if (before !== undefined) return before.ips;
    // All processes of this machine share these addresses: another cluster, or what was left of one, may have some.
    const ips = plan.hostNetwork ? this.#config.nodeIps : this.addresses.allocate(boundAddresses());
    writeSandbox(folder, { plan, ips });
    return ips;
  }

  async mountMemory(): Promise<boolean> {
    return false;
  }

  async startContainer(plan: ContainerPlan, signal: AbortSignal): Promise<ContainerRun> {
    const { podUid, name, attempt } = plan;
    const folder = containerFolder(this.#config.dataDir, podUid, name, attempt);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const ips = readSandbox(podFolder(this.#config.dataDir, podUid))?.ips ?? [];
    const { ip, port } = this.#config.dns;
    const compiled = compileProcess(plan, { POD_IP: ips[0] ?? "", FAIRWAY_DNS: printHostPort(ip, port) });
    // For exec, and for the next agent: the environment may hold secrets.
    writeFileSync(join(folder, "process.json"), JSON.stringify(compiled), { mode: 0o600 });
    const command = ["setsid", "sh", "-c", launch, compiled.workingDir, ...compiled.argv];
    const argv = plan.tty ? onTerminal(command, 'tty >tty; exec "$@"') : command;
    const files = { folder, log: join(this.folders(podUid).logs, name, `${attempt}.log`) };
    try {
      const started = await ContainerProcess.start(
        files,
        { argv, root: { kind: "none" }, input: inputOf(plan), env: compiled.env },
        this.#clock,
        signal,
      );
      return this.#keep(started, podUid, name, attempt);
    } catch (error) {
      if (isNodeError(error, "runtime-failed")) rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  signalContainer(run: ContainerRun, signal: NodeJS.Signals): void {
    const pid = this.#known.get(run.id)?.process.pid ?? 0;
    if (pid <= 1) return;
    try {
      process.kill(signal === "SIGKILL" ? -pid : pid, signal);
    } catch {
      // It has ended.
    }
  }

  /** In no namespace of its own, a process without a handler ends at a signal. */
  heeds(): boolean {
    return true;
  }

  exec(run: ContainerRun, argv: readonly string[], options: ExecOptions): ExecSession {
    const folder = containerFolder(this.#config.dataDir, run.podUid, run.name, run.attempt);
    const place = JSON.parse(readFileSync(join(folder, "process.json"), "utf8")) as ProcessPlan;
    return startExec(["sh", "-c", 'cd "$0" 2>/dev/null || cd /; exec "$@"', place.workingDir, ...argv], options, place.env);
  }

  attach(run: ContainerRun, options: AttachOptions): ExecSession {
    return attachTo(this.#known.get(run.id)?.process, run, options);
  }

  async removePod(podUid: string): Promise<void> {
    const mine = [...this.#known.values()].filter((k) => k.run.podUid === podUid);
    for (const { run } of mine) this.signalContainer(run, "SIGKILL");
    await Promise.race([Promise.all(mine.map((k) => k.run.exited)), this.#clock.sleep(killMs)]);
    for (const { run, process: p } of mine) {
      this.#known.delete(run.id);
      p.abandon();
      killShim(p.files.folder);
    }
    const folder = podFolder(this.#config.dataDir, podUid);
    const sandbox = readSandbox(folder);
    if (sandbox !== undefined && !sandbox.plan.hostNetwork) this.addresses.release(sandbox.ips);
    rmSync(folder, { recursive: true, force: true });
  }

  async adopt(): Promise<readonly AdoptedPod[]> {
    const pods: AdoptedPod[] = [];
    for (const podUid of foldersIn(join(this.#config.dataDir, "pods"))) {
      const folder = podFolder(this.#config.dataDir, podUid);
      const sandbox = readSandbox(folder);
      if (sandbox === undefined) {
        await this.removePod(podUid);
        continue;
      }
      if (!sandbox.plan.hostNetwork) this.addresses.take(sandbox.ips);
      const containers = readLastAttempts(folder)
        .filter(({ name, attempt }) => existsSync(join(containerFolder(this.#config.dataDir, podUid, name, attempt), "pid")))
        .map(({ name, attempt }) => {
          const at = containerFolder(this.#config.dataDir, podUid, name, attempt);
          const files = { folder: at, log: join(this.folders(podUid).logs, name, `${attempt}.log`) };
          return this.#keep(ContainerProcess.adopt(files, this.#clock), podUid, name, attempt);
        });
      pods.push({ podUid, namespace: sandbox.plan.namespace, name: sandbox.plan.name, ips: sandbox.ips, containers });
    }
    return pods;
  }

  async close(): Promise<void> {
    for (const { process: p } of this.#known.values()) p.abandon();
    this.#known.clear();
  }

  #keep(started: ContainerProcess, podUid: string, name: string, attempt: number): ContainerRun {
    const id = containerId(podUid, name, attempt);
    const exited = started.exited.then((end) => containerExit(end));
    const run: ContainerRun = { id, podUid, name, attempt, startedAt: started.startedAt, exited };
    this.#known.set(id, { run, process: started });
    return run;
  }
}
