import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Cidr } from "../base/cidr.ts";
import { cidrAt } from "../base/cidr.ts";
import type { Clock } from "../base/clock.ts";
import type { Ip } from "../base/ip.ts";
import { type CgroupVersion, detectCgroups, oomKills, removeCgroup } from "../kernel/cgroup.ts";
import { type RunCommand, runOrThrow } from "../kernel/command.ts";
import { type MemoryMount, mountMemory, unmountBelow } from "../kernel/memory-mount.ts";
import { netnsPath, readNetnsNames } from "../kernel/netns.ts";
import { containerExit } from "./container-exit.ts";
import type { ContainerPlan, SandboxPlan } from "./container-plan.ts";
import { ContainerProcess, catchesSignal, killShim } from "./container-process.ts";
import { inputOf, type RootLayer } from "./container-shim.ts";
import { isNodeError } from "./errors.ts";
import { attachTo, onTerminal, startExec } from "./exec-session.ts";
import { makeHostLayers } from "./host-layer.ts";
import { type HostPortUse, printHostPorts } from "./host-ports.ts";
import { compileOciSpec } from "./oci-spec.ts";
import { containerFolder, containerId, nodeCgroup, podFolder, podNetnsName } from "./pod-names.ts";
import { createPodLink, PodAddresses, podLinkName, removePodLink } from "./pod-network.ts";
import type { AdoptedPod, AttachOptions, ContainerRun, ExecOptions, ExecSession, PodFolders, PodRuntime } from "./pod-runtime.ts";
import { foldersIn, readLastAttempts, readSandbox, writeSandbox } from "./sandbox-record.ts";

export interface CrunRuntimeConfig {
  readonly dataDir: string;
  readonly nodeIps: readonly Ip[];
  /** Folders and files of the machine that no container may see, beside the usual ones and `dataDir`. */
  readonly hiddenPaths: readonly string[];
}

export interface CrunRuntimeDeps {
  readonly run: RunCommand;
  readonly clock: Clock;
}

interface Known {
  readonly run: ContainerRun;
  readonly process: ContainerProcess;
}

/** How long the processes of a removed pod may take to die of SIGKILL. */
const killMs = 2000;

/**
 * Containers by crun, in the network namespace that the agent runs in: a container's root is an overlay over the machine's root (or an
 * unpacked image) in the container's own mount namespace, a pod's network a namespace of its own joined by a pair of links.
 */
export class CrunRuntime implements PodRuntime {
  readonly version: string;
  readonly addresses = new PodAddresses();
  readonly #config: CrunRuntimeConfig;
  readonly #deps: CrunRuntimeDeps;
  readonly #hostLayers: string;
  readonly #cgroups: CgroupVersion;
  readonly #known = new Map<string, Known>();
  #hasHostPorts = false;

  private constructor(config: CrunRuntimeConfig, deps: CrunRuntimeDeps, version: string, hostLayers: string) {
    this.#config = config;
    this.#deps = deps;
    this.version = version;
    this.#hostLayers = hostLayers;
    this.#cgroups = detectCgroups();
  }

  /** Throws a KernelError when there is no crun. */
  static async open(config: CrunRuntimeConfig, deps: CrunRuntimeDeps): Promise<CrunRuntime> {
    const [version, layers] = await Promise.all([
      runOrThrow(deps.run, ["crun", "--version"]),
      makeHostLayers(deps.run, join(config.dataDir, "layers"), [config.dataDir, ...config.hiddenPaths]),
    ]);
    return new CrunRuntime(config, deps, `crun://${/version (\S+)/.exec(version.stdout)?.[1] ?? "unknown"}`, layers);
  }

  /** The node's pod ranges, once they are known. */
  setPodRanges(ranges: readonly Cidr[]): void {
    this.addresses.setRanges(ranges);
  }

  folders(podUid: string): PodFolders {
    const pod = this.#podFolder(podUid);
    return { pod, volumes: join(pod, "volumes"), logs: join(pod, "logs") };
  }

  async createSandbox(plan: SandboxPlan, signal: AbortSignal): Promise<readonly Ip[]> {
    const folder = this.#podFolder(plan.podUid);
    const before = readSandbox(folder);
    if (before !== undefined) return before.ips;
    if (plan.hostNetwork) {
      writeSandbox(folder, { plan, ips: this.#config.nodeIps });
      return this.#config.nodeIps;
    }
    const ips = this.addresses.allocate();
    // Recorded first: a kill from here on leaves nothing that cannot be found.
    writeSandbox(folder, { plan, ips });
    const link = { netns: this.#netnsName(plan.podUid), link: podLinkName(plan.podUid), ips };
    const gateways = this.addresses.ranges.map((r) => cidrAt(r, 1));
    try {
      await createPodLink(this.#deps.run, link, gateways, this.#config.nodeIps, signal);
    } catch (error) {
      await removePodLink(this.#deps.run, link);
      this.addresses.release(ips);
      rmSync(join(folder, "sandbox.json"), { force: true });
      throw error;
    }
    if (plan.hostPorts.length > 0) await this.#setHostPorts(signal);
    return ips;
  }

  async mountMemory(mount: MemoryMount, signal: AbortSignal): Promise<boolean> {
    await mountMemory(this.#deps.run, mount, signal);
    return true;
  }

  async startContainer(plan: ContainerPlan, signal: AbortSignal): Promise<ContainerRun> {
    const id = containerId(plan.podUid, plan.name, plan.attempt);
    const folder = this.#containerFolder(plan.podUid, plan.name, plan.attempt);
    this.#forgetOld(plan);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const spec = compileOciSpec(plan, {
      rootFolder: "root",
      netns: plan.hostNetwork ? undefined : netnsPath(this.#netnsName(plan.podUid)),
      cgroupsPath: this.#cgroups === "none" ? undefined : this.#cgroupPath(id),
    });
    writeFileSync(join(folder, "config.json"), JSON.stringify(spec), { mode: 0o600 });
    const crun = [...this.#crun(), "--log=file:runtime.log", "run", "--bundle=.", "--pid-file=pid", id];
    const files = { folder, log: join(this.folders(plan.podUid).logs, plan.name, `${plan.attempt}.log`) };
    const root: RootLayer =
      plan.root === "host" ? { kind: "host", layers: this.#hostLayers } : { kind: "folder", folder: plan.root.folder };
    const argv = plan.tty ? onTerminal(crun, 'tty >tty; exec "$@"') : crun;
    const command = { argv, root, input: inputOf(plan), env: process.env } as const;
    try {
      const started = await ContainerProcess.start(files, command, this.#deps.clock, signal);
      return this.#keep(started, plan.podUid, plan.name, plan.attempt);
    } catch (error) {
      if (isNodeError(error, "runtime-failed")) rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  signalContainer(run: ContainerRun, signal: NodeJS.Signals): void {
    const pid = this.#known.get(run.id)?.process.pid ?? 0;
    if (pid <= 1) return;
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended.
    }
  }

  heeds(run: ContainerRun, signal: NodeJS.Signals): boolean {
    return catchesSignal(this.#known.get(run.id)?.process.pid ?? 0, signal);
  }

  exec(run: ContainerRun, argv: readonly string[], options: ExecOptions): ExecSession {
    // As in the shim: crun 1.8 refuses a hybrid hierarchy whose v2 part has controllers.
    const hide = "! [ -d /sys/fs/cgroup/unified ] || umount -l /sys/fs/cgroup/unified 2>/dev/null";
    const flags = [...(options.tty ? ["--tty"] : []), ...(this.#mayGainPrivileges(run) ? [] : ["--no-new-privs"])];
    const crun = [...this.#crun(), "exec", ...flags, run.id, ...argv];
    return startExec(["unshare", "--mount", "--propagation", "private", "sh", "-c", `${hide}; exec "$@"`, "sh", ...crun], options);
  }

  /** What is run beside a container's own process gets no more than that has. */
  #mayGainPrivileges(run: ContainerRun): boolean {
    const folder = this.#known.get(run.id)?.process.files.folder;
    if (folder === undefined) return false;
    const spec = JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as { process?: { noNewPrivileges?: boolean } };
    return spec.process?.noNewPrivileges === false;
  }

  attach(run: ContainerRun, options: AttachOptions): ExecSession {
    return attachTo(this.#known.get(run.id)?.process, run, options);
  }

  async removePod(podUid: string): Promise<void> {
    const folder = this.#podFolder(podUid);
    const mine = [...this.#known.values()].filter((k) => k.run.podUid === podUid);
    for (const { run } of mine) this.signalContainer(run, "SIGKILL");
    await Promise.race([Promise.all(mine.map((k) => k.run.exited)), this.#deps.clock.sleep(killMs)]);
    for (const { run, process: p } of mine) {
      this.#known.delete(run.id);
      p.abandon();
      killShim(p.files.folder);
      removeCgroup(this.#cgroups, this.#cgroupPath(run.id));
    }
    const sandbox = readSandbox(folder);
    if (sandbox !== undefined && !sandbox.plan.hostNetwork) {
      await removePodLink(this.#deps.run, { netns: this.#netnsName(podUid), link: podLinkName(podUid) });
      this.addresses.release(sandbox.ips);
    }
    await unmountBelow(this.#deps.run, folder);
    rmSync(folder, { recursive: true, force: true });
    await this.#setHostPorts();
    if (this.#known.size === 0 && foldersIn(join(this.#config.dataDir, "pods")).length === 0) {
      removeCgroup(this.#cgroups, nodeCgroup(this.#config.dataDir));
    }
  }

  async adopt(): Promise<readonly AdoptedPod[]> {
    const pods: AdoptedPod[] = [];
    const namespaces = new Set(readNetnsNames());
    for (const podUid of foldersIn(join(this.#config.dataDir, "pods"))) {
      const folder = this.#podFolder(podUid);
      const sandbox = readSandbox(folder);
      const lost = sandbox !== undefined && !sandbox.plan.hostNetwork && !namespaces.has(this.#netnsName(podUid));
      if (sandbox === undefined || lost) {
        // The machine was restarted, or the start was cut short: nothing of it can run.
        await this.removePod(podUid);
        continue;
      }
      if (!sandbox.plan.hostNetwork) this.addresses.take(sandbox.ips);
      const containers = readLastAttempts(folder).map(({ name, attempt }) => {
        const files = {
          folder: this.#containerFolder(podUid, name, attempt),
          log: join(this.folders(podUid).logs, name, `${attempt}.log`),
        };
        return this.#keep(ContainerProcess.adopt(files, this.#deps.clock), podUid, name, attempt);
      });
      if (sandbox.plan.hostPorts.length > 0) this.#hasHostPorts = true;
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
    const exited = started.exited.then((end) => {
      const outOfMemory = oomKills(this.#cgroups, this.#cgroupPath(id)) > 0;
      removeCgroup(this.#cgroups, this.#cgroupPath(id));
      return containerExit(end, outOfMemory);
    });
    const run: ContainerRun = { id, podUid, name, attempt, startedAt: started.startedAt, exited };
    this.#known.set(id, { run, process: started });
    return run;
  }

  /** As the pods on the disk have them: made anew as a whole, in one transaction. */
  async #setHostPorts(signal?: AbortSignal): Promise<void> {
    const uses = foldersIn(join(this.#config.dataDir, "pods")).flatMap((uid): HostPortUse[] => {
      const sandbox = readSandbox(this.#podFolder(uid));
      return (sandbox?.plan.hostPorts ?? []).map((port) => ({ port, podIps: sandbox?.ips ?? [] }));
    });
    if (uses.length === 0 && !this.#hasHostPorts) return;
    this.#hasHostPorts = uses.length > 0;
    await runOrThrow(this.#deps.run, ["nft", "-f", "-"], { input: printHostPorts(uses) }, signal);
  }

  /** Of the attempts before, the last one's log stays, for `logs --previous`. */
  #forgetOld({ podUid, name, attempt }: ContainerPlan): void {
    for (const old of foldersIn(join(this.#podFolder(podUid), "containers", name)).map(Number)) {
      if (old >= attempt) continue;
      this.#known.delete(containerId(podUid, name, old));
      rmSync(this.#containerFolder(podUid, name, old), { recursive: true, force: true });
    }
    const logs = join(this.folders(podUid).logs, name);
    if (!existsSync(logs)) return;
    for (const file of readdirSync(logs)) if (Number.parseInt(file, 10) < attempt - 1) rmSync(join(logs, file), { force: true });
  }

  #crun(): readonly string[] {
    const manager = this.#cgroups === "none" ? "disabled" : "cgroupfs";
    return ["crun", `--root=${join(this.#config.dataDir, "crun")}`, `--cgroup-manager=${manager}`];
  }

  #podFolder(podUid: string): string {
    return podFolder(this.#config.dataDir, podUid);
  }

  #containerFolder(podUid: string, name: string, attempt: number): string {
    return containerFolder(this.#config.dataDir, podUid, name, attempt);
  }

  #cgroupPath(id: string): string {
    return `${nodeCgroup(this.#config.dataDir)}/${id}`;
  }

  #netnsName(podUid: string): string {
    return podNetnsName(this.#config.dataDir, podUid);
  }
}
