import { readFileSync } from "node:fs";

/** A port below 1024 that may not be bound is served this much higher, in plain mode. */
const movedBy = 8000;
const lastMoved = 1023;
// include/uapi/linux/capability.h
const CAP_NET_BIND_SERVICE = 10n;

/** What decides where a Service's port is served: /proc/self/status, and the first port that anybody may bind. */
export interface BindRights {
  readonly status: string;
  readonly firstFree: string;
}

/** Plain mode: where the listeners of this user serve a Service's port. */
export function servedPortOf(rights: BindRights): (port: number) => number {
  const capabilities = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(rights.status)?.[1] ?? "0"}`);
  if (((capabilities >> CAP_NET_BIND_SERVICE) & 1n) === 1n) return (port) => port;
  const firstFree = Number(rights.firstFree.trim() || lastMoved + 1);
  return (port) => (port < firstFree && port <= lastMoved ? port + movedBy : port);
}

/** The rights of this process. */
export function readBindRights(): BindRights {
  return { status: readText("/proc/self/status"), firstFree: readText("/proc/sys/net/ipv4/ip_unprivileged_port_start") };
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
