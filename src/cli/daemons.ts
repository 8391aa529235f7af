import { printHostPort } from "../base/ip.ts";
import { type ClusterOptions, findCluster } from "./cluster.ts";
import type { NodeStatus } from "./cluster-status.ts";
import { inputError, usageError } from "./errors.ts";

const timeoutMs = 2000;

/** A daemon and where its metrics are served. */
export interface Daemon {
  readonly name: string;
  /** `address:port`. */
  readonly address: string;
}

export interface DaemonOptions extends ClusterOptions {
  readonly node?: string;
  readonly observe?: readonly string[];
}

/** Those that `--observe` names, else the nodes' of a cluster on this machine, or the one of `--node`. */
export function daemonsOf({ observe, node, ...where }: DaemonOptions): readonly Daemon[] {
  if (observe !== undefined) {
    return observe.map((address) => {
      if (!/^(\[[0-9a-f:.]+\]|[^:/]+):\d+$/i.test(address)) throw usageError(`--observe ${address}: write it as ADDRESS:PORT`);
      return { name: address, address };
    });
  }
  const { status } = findCluster(where);
  if (status === undefined)
    throw usageError("this cluster's nodes do not run on this machine; name their daemons with --observe ADDRESS:PORT (--metrics-port)");
  const nodes = status.nodes.filter((n) => node === undefined || n.name === node);
  if (nodes.length === 0) throw inputError(`--node ${node ?? ""}: no such node; there are ${status.nodes.map((n) => n.name).join(", ")}`);
  return nodes.flatMap(({ name, metrics }) => {
    if (metrics === undefined) return [];
    return [{ name, address: printHostPort(metrics.address, metrics.port) }];
  });
}

/** What a node's daemon answers at a path of its metrics address; undefined when it does not. */
export async function askDaemon({ metrics }: NodeStatus, path: string): Promise<string | undefined> {
  if (metrics === undefined) return undefined;
  try {
    const url = `http://${printHostPort(metrics.address, metrics.port)}${path}`;
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
    return response.ok ? await response.text() : undefined;
  } catch {
    return undefined;
  }
}
