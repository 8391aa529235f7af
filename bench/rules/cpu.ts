import { readdirSync, readFileSync } from "node:fs";

function tasksOf(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** A process and all below it, whichever thread started them. */
function tree(pid: number): readonly number[] {
  const children = tasksOf(pid).flatMap((task) => read(`/proc/${pid}/task/${task}/children`).split(" ").map(Number));
  return [pid, ...children.filter((child) => child > 0).flatMap(tree)];
}

/** Of what has ended meanwhile: nothing. */
function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

/** Processor time of a process, those below it, and the children they have waited for (proc_pid_stat(5), fields 16 and 17), in milliseconds. */
export function cpuMs(pid: number): number {
  let ran = 0;
  for (const one of tree(pid)) {
    for (const task of tasksOf(one)) ran += Number(read(`/proc/${one}/task/${task}/schedstat`).split(" ")[0]) / 1e6;
    const fields = read(`/proc/${one}/stat`).split(") ")[1]?.split(" ") ?? [];
    ran += (Number(fields[13] ?? 0) + Number(fields[14] ?? 0)) * 10;
  }
  return ran;
}

/** Resident now, and the most each process ever was, in MiB. */
export function memoryOf(pid: number): { readonly mib: number; readonly peakMib: number } {
  const of = (field: string): number =>
    Math.round(
      tree(pid).reduce((sum, one) => sum + Number(new RegExp(`${field}:\\s+(\\d+)`).exec(read(`/proc/${one}/status`))?.[1] ?? 0), 0) / 1024,
    );
  return { mib: of("VmRSS"), peakMib: of("VmHWM") };
}

/** Waits until a process has hardly run for a while; its processor time by then. */
export async function cpuWhenQuiet(pid: number): Promise<number> {
  let last = cpuMs(pid);
  for (let quiet = 0; quiet < 4; ) {
    await new Promise((resolve) => setTimeout(resolve, 250));
    const now = cpuMs(pid);
    quiet = now - last < 15 ? quiet + 1 : 0;
    last = now;
  }
  return last;
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
