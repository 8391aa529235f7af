import { readFileSync } from "node:fs";
import type { Ip } from "../base/ip.ts";

// proc_pid_net(5): a listening TCP socket; a UDP socket is in state 7 while it is open.
const listening = "0A";
const open = "07";

/** IPv4 addresses that sockets of this machine are bound to and take connections or datagrams at. */
export function boundAddresses(): ReadonlySet<Ip> {
  return new Set([...parseSockets(readText("/proc/net/tcp"), listening), ...parseSockets(readText("/proc/net/udp"), open)]);
}

/** Local addresses of the sockets in this state, from the text of /proc/net/tcp or udp. */
export function parseSockets(text: string, state: string): readonly Ip[] {
  return text.split("\n").flatMap((line) => {
    const match = /^\s*\d+: ([0-9A-F]{8}):[0-9A-F]{4} \S+ ([0-9A-F]{2}) /.exec(line);
    if (match?.[1] === undefined || match[2] !== state) return [];
    // Little-endian, as all machines have it that this runs on.
    return [[6, 4, 2, 0].map((at) => Number.parseInt(match[1]?.slice(at, at + 2) ?? "", 16)).join(".")];
  });
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
