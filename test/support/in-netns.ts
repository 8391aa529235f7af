import { closeSync, openSync } from "node:fs";
import { createRequire } from "node:module";

const CLONE_NEWNET = 0x40000000;

/** Runs synchronous work with this thread in a named network namespace: sockets it opens stay there. */
export function inNetns<T>(namespace: string, work: () => T): T {
  const koffi = createRequire(import.meta.url)("koffi") as typeof import("koffi");
  const setns = koffi.load("libc.so.6").func("int setns(int, int)") as (fd: number, type: number) => number;
  const home = openSync("/proc/thread-self/ns/net", "r");
  const there = openSync(`/run/netns/${namespace}`, "r");
  const enter = (fd: number): void => {
    if (setns(fd, CLONE_NEWNET) !== 0) throw new Error(`setns: errno ${koffi.errno()}`);
  };
  try {
    enter(there);
    try {
      return work();
    } finally {
      enter(home);
    }
  } finally {
    closeSync(home);
    closeSync(there);
  }
}
