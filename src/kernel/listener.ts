import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { type Ip, ipBytes, ipFamily } from "../base/ip.ts";

/** A process that listens at an address. */
export interface Listening {
  readonly pid: number;
  /** Its command line, cut short. */
  readonly command: string;
}

// proc_pid_net(5): the state of a listening TCP socket, and of an open UDP socket.
const states = { tcp: "0A", udp: "07" } as const;
const longest = 200;

/** Who has the port that cannot be bound; undefined when that is nobody this user may look at. */
export function findListener(at: { readonly ip: Ip; readonly port: number; readonly type: "tcp" | "udp" }): Listening | undefined {
  const inodes = new Set(
    [at.type, `${at.type}6`].flatMap((table) => parseListenerInodes(readText(`/proc/net/${table}`), at.ip, at.port, states[at.type])),
  );
  if (inodes.size === 0) return undefined;
  for (const pid of readFolder("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    for (const fd of readFolder(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(readLink(`/proc/${pid}/fd/${fd}`))?.[1];
      if (inode === undefined || !inodes.has(inode)) continue;
      const words = readText(`/proc/${pid}/cmdline`).split("\0").join(" ").trim();
      return { pid: Number(pid), command: words.length > longest ? `${words.slice(0, longest)}…` : words };
    }
  }
  return undefined;
}

/** Inodes of the sockets that keep `ip` and `port` from being bound: at that address, or at every address. `text`: /proc/net/tcp and its like. */
export function parseListenerInodes(text: string, ip: Ip, port: number, state: string): readonly string[] {
  const wanted = ipFamily(ip) === 4 ? [printHex(ip), printHex("0.0.0.0"), printHex("::")] : [printHex(ip), printHex("::")];
  const everywhere = ip === "0.0.0.0" || ip === "::";
  return text.split("\n").flatMap((line) => {
    const match = /^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) \S+ ([0-9A-F]{2}) \S+ \S+ \S+\s+\d+\s+\d+ (\d+)/.exec(line);
    if (match === null) return [];
    const [, address = "", hexPort = "", found, inode = ""] = match;
    return found === state && Number.parseInt(hexPort, 16) === port && (everywhere || wanted.includes(address)) ? [inode] : [];
  });
}

/** As the kernel prints it: each 32-bit word in the machine's order, which is little-endian wherever this runs. */
function printHex(ip: Ip): string {
  const bytes = ipBytes(ip);
  const words: string[] = [];
  for (let at = 0; at < bytes.length; at += 4) {
    words.push([3, 2, 1, 0].map((i) => (bytes[at + i] ?? 0).toString(16).padStart(2, "0")).join(""));
  }
  return words.join("").toUpperCase();
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function readFolder(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function readLink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
