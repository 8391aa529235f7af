import { readFileSync, writeFileSync } from "node:fs";
import { readSysctl, type Sysctls, writeSysctl } from "../../src/kernel/sysctl.ts";
import type { ConntrackOptions } from "../config/settings.ts";
import type { ProxierDeps } from "./config.ts";

/** Kernel settings by name, so that a test needs no kernel. */
export interface Settings {
  /** Undefined: this kernel has none of that name. */
  read(name: string): string | undefined;
  /** Throws where this process may not. */
  write(name: string, value: string): void;
}

const table = "net.netfilter.nf_conntrack_";
const maximum = `${table}max`;
/** The machine's, whatever the network namespace: how many lists the entries are spread over. */
export const conntrackBuckets = "/sys/module/nf_conntrack/parameters/hashsize";
/** kube-proxy makes lists of four entries at most. */
const entriesPerBucket = 4;

/** Those of this thread's network namespace. */
export const kernelSettings: Settings = {
  read: (name) => (name === conntrackBuckets ? readBuckets() : readSysctl(name)),
  write: (name, value) => (name === conntrackBuckets ? writeFileSync(name, value) : writeSysctl(name, value)),
};

function readBuckets(): string | undefined {
  try {
    return readFileSync(conntrackBuckets, "utf8").trim();
  } catch {
    return undefined;
  }
}

/** What is asked for, on so many processors. */
export function conntrackSysctls(options: ConntrackOptions, processors: number): Sysctls {
  const perCore = options.maxPerCore ?? 0;
  const max = perCore === 0 ? 0 : Math.max(perCore * processors, options.min ?? 0);
  const seconds = (name: string, value: number | undefined): Sysctls => (value === undefined ? {} : { [`${table}${name}`]: `${value}` });
  return {
    ...(max === 0 ? {} : { [maximum]: `${max}` }),
    ...seconds("tcp_timeout_established", options.tcpEstablishedTimeoutSeconds),
    ...seconds("tcp_timeout_close_wait", options.tcpCloseWaitTimeoutSeconds),
    ...seconds("udp_timeout", options.udpTimeoutSeconds),
    ...seconds("udp_timeout_stream", options.udpStreamTimeoutSeconds),
    ...(options.tcpBeLiberal === true ? { [`${table}tcp_be_liberal`]: "1" } : {}),
  };
}

/**
 * Sets what is not so already. What cannot be set (a container without the right to, a network namespace of its own, where the
 * table's size is the machine's) is told, and stays: Services work all the same.
 */
export function setConntrack(
  options: ConntrackOptions,
  processors: number,
  deps: Pick<ProxierDeps, "log">,
  settings = kernelSettings,
): void {
  const wanted = conntrackSysctls(options, processors);
  const kept: string[] = [];
  const set = (name: string, value: string): boolean => {
    const is = settings.read(name);
    if (is === value) return true;
    try {
      if (is === undefined) throw new Error("this kernel has no such setting");
      settings.write(name, value);
      deps.log("info", `connection tracking: ${name} is ${value} (was ${is})`);
      return true;
    } catch (error) {
      kept.push(
        `${name} ${is === undefined ? "is not" : `stays ${is}, not`} ${value} (${error instanceof Error ? error.message : String(error)})`,
      );
      return false;
    }
  };
  for (const [name, value] of Object.entries(wanted)) {
    const done = set(name, value);
    if (name !== maximum || !done) continue;
    const buckets = Number(settings.read(conntrackBuckets));
    if (buckets > 0 && buckets * entriesPerBucket < Number(value)) set(conntrackBuckets, `${Math.ceil(Number(value) / entriesPerBucket)}`);
  }
  if (kept.length > 0) deps.log("warn", `connection tracking is not as configured: ${kept.join("; ")}`);
}

/** Whether connection tracking takes TCP packets that do not fit: then none is INVALID for that. */
export function tcpIsLiberal(settings = kernelSettings): boolean {
  return settings.read(`${table}tcp_be_liberal`) === "1";
}
