import { realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Command } from "commander";
import { type ClusterStatus, clustersDir, isAlive, readClusterStatus, runningClusters } from "./cluster-status.ts";
import { usageError, workError } from "./errors.ts";
import { readOption } from "./file-options.ts";

/** Which cluster a command is about. */
export interface ClusterOptions {
  readonly name?: string;
  readonly dataDir?: string;
  readonly kubeconfig?: string;
}

export interface FoundCluster {
  /** Absent: the client's own rules (the files in KUBECONFIG). */
  readonly kubeconfig?: string;
  /** Present when it runs on this machine and this user may see it. */
  readonly status?: ClusterStatus;
}

export interface ClusterPlace {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly root: string;
}

export function addClusterOptions(command: Command): Command {
  return command
    .option("--name <name>", "the running cluster of this name")
    .option("--data-dir <dir>", "the running cluster that keeps its data there")
    .option("--kubeconfig <file>", "any cluster; default: KUBECONFIG, else the only one that runs here");
}

/** --data-dir, --name, --kubeconfig, KUBECONFIG, the only one running: the first that is given. Throws when that names none, or several. */
export function findCluster(o: ClusterOptions, place: ClusterPlace = defaultPlace()): FoundCluster {
  if (o.kubeconfig !== undefined) readOption("--kubeconfig", o.kubeconfig);
  if (o.dataDir !== undefined || o.name !== undefined) {
    const status = findLocal(o, place);
    return { kubeconfig: o.kubeconfig ?? status.kubeconfig, status };
  }
  const file = o.kubeconfig ?? (place.env["KUBECONFIG"] || undefined);
  if (file === undefined) {
    const status = findLocal(o, place);
    return { kubeconfig: status.kubeconfig, status };
  }
  const status = localClusterOf(file, place);
  return { ...(o.kubeconfig === undefined ? {} : { kubeconfig: o.kubeconfig }), ...(status === undefined ? {} : { status }) };
}

/** The same, for commands that need the machine and not only the API: what runs here. */
export function findLocalCluster(o: ClusterOptions, place: ClusterPlace = defaultPlace()): ClusterStatus {
  if (o.dataDir !== undefined || o.name !== undefined) return findLocal(o, place);
  const file = o.kubeconfig ?? (place.env["KUBECONFIG"] || undefined);
  const status = file === undefined ? undefined : localClusterOf(file, place);
  // KUBECONFIG may well be of another cluster: it only chooses, it does not forbid.
  if (o.kubeconfig !== undefined && status === undefined)
    throw workError(`--kubeconfig ${o.kubeconfig}: no cluster that runs on this machine has it`);
  return status ?? findLocal(o, place);
}

function findLocal(o: ClusterOptions, place: ClusterPlace): ClusterStatus {
  if (o.dataDir !== undefined) return alive(readClusterStatus(o.dataDir), `--data-dir ${o.dataDir}`);
  if (o.name !== undefined) {
    const found = runningClusters(place.root).find((c) => c.name === o.name);
    return found ?? alive(readClusterStatus(join(place.root, o.name)), `--name ${o.name}`);
  }
  const running = runningClusters(place.root);
  const [only] = running;
  if (only === undefined) {
    throw workError(
      `no cluster runs here that this user may see (looked in ${place.root}); start one with 'fairway up', or pass --data-dir, --kubeconfig or --objects`,
    );
  }
  if (running.length > 1) throw usageError(`several clusters run here; say --name ${running.map((c) => c.name).join(" or --name ")}`);
  return only;
}

function alive(status: ClusterStatus | undefined, what: string): ClusterStatus {
  if (status === undefined) throw workError(`${what}: no such cluster runs; start it with 'fairway up ${what}'`);
  if (!isAlive(status))
    throw workError(`${what}: its process (${status.pid}) is gone; start it again, or clean up with 'fairway down ${what}'`);
  return status;
}

function localClusterOf(kubeconfig: string, place: ClusterPlace): ClusterStatus | undefined {
  const files = kubeconfig.split(":").filter((f) => f !== "");
  const wanted = realPath(files[0] ?? "");
  if (files.length !== 1) return undefined;
  // Another user's cluster is not among those of this one, and its status stands beside its kubeconfig all the same.
  return [...runningClusters(place.root), ...runningBeside(wanted)].find((c) => realPath(c.kubeconfig) === wanted);
}

function runningBeside(kubeconfig: string): readonly ClusterStatus[] {
  try {
    const status = readClusterStatus(dirname(kubeconfig));
    return status !== undefined && isAlive(status) ? [status] : [];
  } catch {
    // Some other program's file of that name.
    return [];
  }
}

function realPath(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
}

function defaultPlace(): ClusterPlace {
  return { env: process.env, root: clustersDir() };
}
