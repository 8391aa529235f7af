import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import type { GuestCase } from "../support/guest-case.ts";

const run = (command: string, ...args: readonly string[]): string => execFileSync(command, args, { encoding: "utf8" });

/** The guest has what the host's kernel may lack. */
export const kernelCases: readonly GuestCase[] = [
  {
    name: "the kernel has virtual servers, one table a network namespace",
    run() {
      const [here, there] = ["fwgst-k1", "fwgst-k2"];
      for (const name of [here, there]) run("ip", "netns", "add", name);
      try {
        run("ip", "netns", "exec", here, "ipvsadm", "-A", "-t", "10.96.0.1:80", "-s", "rr");
        assert.match(run("ip", "netns", "exec", here, "ipvsadm", "-S", "-n"), /-A -t 10\.96\.0\.1:80 -s rr/);
        assert.equal(run("ip", "netns", "exec", there, "ipvsadm", "-S", "-n"), "");
      } finally {
        for (const name of [here, there]) run("ip", "netns", "delete", name);
      }
      return Promise.resolve();
    },
  },
  {
    name: "the kernel has dummy links and sets of addresses",
    run() {
      run("ip", "link", "add", "fwgst0", "type", "dummy");
      run("ip", "link", "delete", "fwgst0");
      run("ipset", "create", "fwgst", "hash:ip,port,ip");
      run("ipset", "destroy", "fwgst");
      return Promise.resolve();
    },
  },
];
