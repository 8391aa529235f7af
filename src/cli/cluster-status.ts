import { lstatSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { isRecord, own } from "../api/json-value.ts";
import { writePrivateFile } from "../kernel/private-file.ts";
import type { Problem } from "../snapshot/problem.ts";
import { inputError } from "./errors.ts";

export interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

/** One node of a running cluster, and where its parts can be asked. */
export interface NodeStatus {
  readonly name: string;
  readonly addresses: readonly string[];
  /** The name of its network namespace (`ip netns`), or a path to one. Absent in plain mode. */
  readonly netns?: string;
  readonly backend?: string;
  readonly metrics?: SocketAddress;
  readonly health?: SocketAddress;
}

/** What `fairway up` writes to DIR/status.json (0600), and what `fairway status -o json` prints. */
export interface ClusterStatus {
  readonly name: string;
  readonly dataDir: string;
  readonly pid: number;
  /** Clock ticks from boot to the start of `pid` (/proc/PID/stat, field 22): tells it from a later process of the same number. */
  readonly pidStarted?: number;
  readonly mode: "full" | "plain";
  readonly api: SocketAddress;
  readonly kubeconfig: string;
  /** The KubeProxyConfiguration that its nodes' daemons follow. */
  readonly config?: string;
  readonly nodes: readonly NodeStatus[];
  readonly dns?: { readonly addresses: readonly string[]; readonly port: number };
  readonly ingress?: { readonly addresses: readonly { readonly ip: string; readonly http: number; readonly https: number }[] };
  readonly metrics?: SocketAddress;
  readonly serviceCidrs: readonly string[];
  readonly clusterCidrs: readonly string[];
  readonly lbPool: readonly string[];
  readonly clusterDomain: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly problems?: readonly Problem[];
}

const statusFile = "status.json";

/** The status as it stands in a file. Throws an input error that names the field. */
export function parseClusterStatus(text: string, file: string): ClusterStatus {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (e) {
    throw inputError(`${file}: not JSON; stop the cluster and start it again`, e);
  }
  const fail = (field: string, want: string): never => {
    throw inputError(`${file}: ${field}: must be ${want}; was it written by another version of fairway?`);
  };
  const object = isRecord(value) ? value : fail("document", "an object");
  for (const field of ["name", "dataDir", "kubeconfig", "clusterDomain"]) {
    if (typeof own(object, field) !== "string") fail(field, "text");
  }
  if (!Number.isSafeInteger(own(object, "pid"))) fail("pid", "a number");
  if (!["full", "plain"].includes(String(own(object, "mode")))) fail("mode", "full or plain");
  const api = own(object, "api");
  if (!isRecord(api) || typeof own(api, "address") !== "string" || typeof own(api, "port") !== "number") fail("api", "{address, port}");
  for (const field of ["nodes", "serviceCidrs", "clusterCidrs", "lbPool"]) if (!Array.isArray(own(object, field))) fail(field, "a list");
  const nodes = own(object, "nodes") as readonly unknown[];
  for (const [i, node] of nodes.entries()) {
    if (!isRecord(node) || typeof own(node, "name") !== "string" || !Array.isArray(own(node, "addresses")))
      fail(`nodes[${i}]`, "{name, addresses}");
  }
  if (!isRecord(own(object, "versions"))) fail("versions", "an object");
  return object as unknown as ClusterStatus;
}

/** Where clusters keep their data when no --data-dir is given; those elsewhere leave a link here. */
export function clustersDir(): string {
  if (process.getuid?.() === 0) return "/var/lib/fairway";
  return join(process.env["XDG_DATA_HOME"] ?? join(homedir(), ".local", "share"), "fairway");
}

/** Writes DIR/status.json in one step, for this user only, and makes the cluster findable by its name. */
export function writeClusterStatus(status: ClusterStatus, root: string = clustersDir()): void {
  const file = join(status.dataDir, statusFile);
  mkdirSync(status.dataDir, { recursive: true, mode: 0o700 });
  writePrivateFile(file, `${JSON.stringify(status)}\n`);
  const link = join(root, status.name);
  if (realPath(link) === realPath(status.dataDir)) return;
  mkdirSync(root, { recursive: true, mode: 0o755 });
  // A folder of that name holds another cluster's data: never touched.
  if (isLink(link)) rmSync(link);
  else if (realPath(link) !== undefined) return;
  symlinkSync(status.dataDir, link);
}

/** Whether a cluster has run on this folder, now or once. */
export function hasClusterData(dataDir: string): boolean {
  return realPath(join(dataDir, "pki")) !== undefined && realPath(join(dataDir, "store")) !== undefined;
}

/** What remains of an ended cluster is its data; its status and link go. */
export function removeClusterStatus(dataDir: string, name: string, root: string = clustersDir()): void {
  rmSync(join(dataDir, statusFile), { force: true });
  const link = join(root, name);
  if (isLink(link) && (realPath(link) === undefined || realPath(link) === realPath(dataDir))) rmSync(link, { force: true });
}

/** The status in a data folder; undefined when there is none. Says nothing about whether the cluster lives. */
export function readClusterStatus(dataDir: string): ClusterStatus | undefined {
  const file = join(dataDir, statusFile);
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    if (code === "EACCES") throw inputError(`${file}: may not be read by this user; ask as the user who runs the cluster`);
    throw e;
  }
  return parseClusterStatus(text, file);
}

/** All clusters that run now and that this user may see. */
export function runningClusters(root: string = clustersDir()): readonly ClusterStatus[] {
  let names: readonly string[];
  try {
    names = readdirSync(root).sort();
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    const status = readClusterStatus(join(root, name));
    return status !== undefined && isAlive(status) ? [status] : [];
  });
}

/** Whether the process that wrote the status still runs. */
export function isAlive(status: Pick<ClusterStatus, "pid" | "pidStarted">): boolean {
  const started = processStart(status.pid);
  return started !== undefined && (status.pidStarted === undefined || status.pidStarted === started);
}

/** Clock ticks from boot to the process's start; undefined when there is no such process (or it has ended and not been waited for). */
export function processStart(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name in field 2 may hold spaces and brackets: count from behind it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? undefined : Number(fields[19]);
  } catch {
    return undefined;
  }
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink();
  } catch {
    return false;
  }
}
