import { readFileSync } from "node:fs";

/** What a process has used, as ingress-nginx tells it of nginx's. */
export interface ProcessFigures {
  readonly cpuSeconds: number;
  /** Seconds since 1970. */
  readonly startedAt: number;
  readonly residentBytes: number;
  readonly virtualBytes: number;
  /** From and to storage. */
  readonly readBytes: number;
  readonly writeBytes: number;
}

/** Of this process. Where there is no /proc, what only that tells is 0. */
export function processFigures(now: number): ProcessFigures {
  const { user, system } = process.cpuUsage();
  const io = proc("io");
  return {
    cpuSeconds: (user + system) / 1_000_000,
    startedAt: Math.floor(now / 1000 - process.uptime()),
    residentBytes: process.memoryUsage.rss(),
    virtualBytes: numberIn(proc("status"), "VmSize") * 1024,
    readBytes: numberIn(io, "read_bytes"),
    writeBytes: numberIn(io, "write_bytes"),
  };
}

function proc(file: string): string {
  try {
    return readFileSync(`/proc/self/${file}`, "utf8");
  } catch {
    return "";
  }
}

function numberIn(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s*([0-9]+)`, "m").exec(text)?.[1] ?? 0);
}
