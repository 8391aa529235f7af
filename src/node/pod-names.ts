import { join } from "node:path";
import { fnv1a } from "../base/hash.ts";

/** Names that a node's pods have on the machine: found again by the node's folder alone. */
export function podFolder(dataDir: string, podUid: string): string {
  return join(dataDir, "pods", podUid);
}

export function containerFolder(dataDir: string, podUid: string, name: string, attempt: number): string {
  return join(podFolder(dataDir, podUid), "containers", name, String(attempt));
}

/** Below /run/netns. */
export function podNetnsName(dataDir: string, podUid: string): string {
  return `fwp-${scopeOf(dataDir)}-${podUid}`;
}

/** As in an OCI spec. */
export function nodeCgroup(dataDir: string): string {
  return `/fairway-${scopeOf(dataDir)}`;
}

export function containerId(podUid: string, name: string, attempt: number): string {
  return `${podUid}-${name}-${attempt}`;
}

/** Tells this node's names from those of other nodes on the same machine. */
function scopeOf(dataDir: string): string {
  return fnv1a(dataDir).toString(36);
}
