import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Cidr } from "../base/cidr.ts";
import type { Ip } from "../base/ip.ts";
import { type RunCommand, runCommand, runOrThrow } from "../kernel/command.ts";
import { type LinkStep, printLinkStep, readLinks, readRoutes, runLinkSteps } from "../kernel/link.ts";
import { deleteNetns, inNetns, netnsPath, readNetnsNames } from "../kernel/netns.ts";
import { printSysctlScript, type Sysctls } from "../kernel/sysctl.ts";
import {
  assertNameFree,
  assertUnused,
  compileAddressRoutes,
  compileMachines,
  compilePodRoutes,
  type Machine,
  type MachineConfig,
  ownedByName,
} from "./machine-plan.ts";
import { closeWayOut, openWayOut, readUplinks, type WayOut, wayOutTable } from "./way-out.ts";

/** What was made, until `close` removes it; after a kill, `removeMachines` does. */
export interface Machines {
  readonly bridge: string;
  /** The host's addresses on the bridge, IPv4 first. */
  readonly gateways: readonly Ip[];
  readonly machines: readonly Machine[];
  /** The families in which pods reach addresses outside this machine. */
  readonly wayOut: readonly (4 | 6)[];
  /** Routes to the pods of each node (by node name), on the host and on every node; may be called again as nodes get their ranges. */
  setRoutes(podCidrs: ReadonlyMap<string, readonly Cidr[]>, signal?: AbortSignal): Promise<void>;
  /** The host's routes to single addresses, by the name of the node that serves each; replaces what was said before. */
  setAddressRoutes(nodes: ReadonlyMap<Ip, string>): Promise<void>;
  close(): Promise<void>;
}

/** What was made, as it is remembered until it is removed. */
interface MachineRecord extends Leftovers {
  readonly wayOut?: WayOut;
}

/** What a cluster of that name left behind. */
export interface Leftovers {
  readonly netns: readonly string[];
  readonly links: readonly string[];
}

export interface MachineDeps {
  readonly run: RunCommand;
  /** Records of what was made, by cluster; lives as long as the kernel's state does, so below /run. */
  readonly recordFolder: string;
}

const worldDeps: MachineDeps = { run: runCommand, recordFolder: "/run/fairway/machines" };

/** Of a node's namespace, not of the host. */
const nodeSysctls: Sysctls = {
  "net.ipv4.ip_forward": "1",
  "net.ipv6.conf.all.forwarding": "1",
  // Loose: an answer may leave by another link than the request came in by (a DNATed connection through another node).
  "net.ipv4.conf.all.rp_filter": "2",
  "net.ipv4.conf.default.rp_filter": "2",
  "net.ipv6.conf.all.accept_dad": "0",
  "net.ipv6.conf.default.accept_dad": "0",
  "net.ipv4.ip_local_port_range": "32768 60999",
};

/**
 * Makes the cluster's machines, after removing what an earlier run of the same name left. Throws `range-overlaps` before anything is
 * made; a failure later removes what was made.
 */
export async function createMachines(config: MachineConfig, deps: MachineDeps = worldDeps, signal?: AbortSignal): Promise<Machines> {
  const { run } = deps;
  const plan = compileMachines(config);
  await removeMachines(config.name, deps);
  assertNameFree(config.name, await readLinks(run, signal));
  assertUnused(config, await readRoutes(run, signal));
  const netns = plan.machines.map((m) => m.netns);
  const wayOut = await planWayOut(config, deps, signal);
  const record: MachineRecord = {
    netns,
    links: [plan.bridge, ...plan.machines.map((m) => m.port)],
    ...(wayOut === undefined ? {} : { wayOut }),
  };
  await mkdir(deps.recordFolder, { recursive: true });
  // Written before the first link: a kill at any later moment leaves a record of all that may exist.
  await writeFile(recordPath(deps, config.name), JSON.stringify(record));
  const close = (): Promise<void> => removeMachines(config.name, deps);
  try {
    await runLinkSteps(
      run,
      plan.hostSteps.filter((s) => s.kind !== "route-add"),
      {},
      signal,
    );
    await Promise.all(plan.machines.map((m) => setUpNode(run, m, plan.nodeSteps.get(m.name) ?? [], signal)));
    await runLinkSteps(
      run,
      plan.hostSteps.filter((s) => s.kind === "route-add"),
      {},
      signal,
    );
  } catch (error) {
    await close();
    throw error;
  }
  // Without it (no nf_tables here) the cluster stands all the same.
  const isOpen =
    wayOut !== undefined &&
    (await openWayOut(run, config, wayOut, signal).then(
      () => true,
      () => false,
    ));
  let addressRoutes: ReadonlyMap<Ip, string> = new Map();
  let turn = Promise.resolve();
  const changeAddressRoutes = async (nodes: ReadonlyMap<Ip, string>): Promise<void> => {
    const steps = compileAddressRoutes(plan, config.nodeRanges, addressRoutes, nodes);
    await runLinkSteps(run, steps.add);
    await runLinkSteps(run, steps.remove, { force: true });
    addressRoutes = nodes;
  };
  return {
    bridge: plan.bridge,
    gateways: plan.gateways,
    machines: plan.machines,
    wayOut: isOpen ? (wayOut?.opened6 === undefined ? [4] : [4, 6]) : [],
    setRoutes: async (podCidrs, stop) => {
      const routes = compilePodRoutes(plan, config.nodeRanges, podCidrs);
      await Promise.all([
        runLinkSteps(run, routes.host, {}, stop),
        ...plan.machines.map((m) => runLinkSteps(run, routes.nodes.get(m.name) ?? [], { netns: m.netns }, stop)),
      ]);
    },
    setAddressRoutes: (nodes) => {
      const done = turn.then(() => changeAddressRoutes(nodes));
      turn = done.catch(() => undefined);
      return done;
    },
    close,
  };
}

/** What is left of the cluster `name`: of its record, or by its names where there is no record, what the kernel still has. */
export async function findLeftovers(name: string, deps: MachineDeps = worldDeps, signal?: AbortSignal): Promise<Leftovers> {
  const record = await readRecord(deps, name);
  // Without a record there need be nothing to ask: plain mode has neither links nor, perhaps, the command.
  const links = await readLinks(deps.run, signal).catch((error: unknown) => {
    if (record === undefined) return [];
    throw error;
  });
  const namespaces = readNetnsNames();
  const { netns, links: made } = record ?? ownedByName(name, links, namespaces);
  const names = new Set(links.map((l) => l.name));
  return { netns: netns.filter((n) => namespaces.includes(n)), links: made.filter((l) => names.has(l)) };
}

/** Names of all clusters whose machines were made on this host and not removed. */
export async function recordedClusters(deps: MachineDeps = worldDeps): Promise<readonly string[]> {
  const files = await readdir(deps.recordFolder).catch(() => []);
  return files.filter((f) => f.endsWith(".json")).map((f) => decodeURIComponent(f.slice(0, -5)));
}

/** Removes the links (their routes go with them) and namespaces of a cluster; what is gone already is no error. */
export async function removeMachines(name: string, deps: MachineDeps = worldDeps): Promise<void> {
  const { netns, links } = await findLeftovers(name, deps);
  await runLinkSteps(
    deps.run,
    links.map((link): LinkStep => ({ kind: "link-delete", name: link })),
    { force: true },
  );
  await deleteNetns(deps.run, netns);
  const record = await readRecord(deps, name);
  const wayOut = record === undefined && links.length > 0 ? { table: wayOutTable(name), opened: [] } : record?.wayOut;
  if (wayOut !== undefined) await closeWayOut(deps.run, wayOut, await openedByOthers(name, deps));
  await rm(recordPath(deps, name), { force: true });
}

/** Undefined when this machine has no way out itself. */
async function planWayOut(config: MachineConfig, deps: MachineDeps, signal?: AbortSignal): Promise<WayOut | undefined> {
  const uplinks = await readUplinks(deps.run, 4, signal);
  if (uplinks.size === 0) return undefined;
  const uplinks6 = config.podRanges.some((r) => r.family === 6) ? await readUplinks(deps.run, 6, signal) : new Map<string, boolean>();
  // One that another cluster has opened is closed by whichever of them ends last.
  const others = await openedByOthers(config.name, deps);
  const toOpen = (links: ReadonlyMap<string, boolean>, shared: readonly string[]): readonly string[] =>
    [...links].filter(([link, open]) => !open || shared.includes(link)).map(([link]) => link);
  return {
    table: wayOutTable(config.name),
    opened: toOpen(uplinks, others.opened),
    ...(uplinks6.size === 0 ? {} : { opened6: toOpen(uplinks6, others.opened6) }),
  };
}

async function openedByOthers(name: string, deps: MachineDeps): Promise<Required<Pick<WayOut, "opened" | "opened6">>> {
  const clusters = (await recordedClusters(deps)).filter((c) => c !== name);
  const records = await Promise.all(clusters.map((c) => readRecord(deps, c)));
  return {
    opened: records.flatMap((r) => r?.wayOut?.opened ?? []),
    opened6: records.flatMap((r) => r?.wayOut?.opened6 ?? []),
  };
}

// One process a node: the settings, then the links, in the node's namespace.
async function setUpNode(run: RunCommand, m: Machine, steps: readonly LinkStep[], signal?: AbortSignal): Promise<void> {
  const script = `${printSysctlScript(nodeSysctls)}\nexec ip -batch -`;
  const input = `${steps.map(printLinkStep).join("\n")}\n`;
  await runOrThrow(run, inNetns(netnsPath(m.netns), ["sh", "-c", script]), { input }, signal);
}

function recordPath(deps: MachineDeps, name: string): string {
  return join(deps.recordFolder, `${encodeURIComponent(name)}.json`);
}

async function readRecord(deps: MachineDeps, name: string): Promise<MachineRecord | undefined> {
  try {
    return JSON.parse(await readFile(recordPath(deps, name), "utf8")) as MachineRecord;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
