import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from "node:fs";
import { type Ip, ipBytes, ipFamily, ipFromBytes } from "../base/ip.ts";

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

/** A socket that waits for others to begin. */
export interface ListeningSocket {
  readonly type: "tcp" | "udp";
  /** `0.0.0.0` or `::` where it is every address. */
  readonly ip: Ip;
  readonly port: number;
}

/** Every listening TCP socket and every UDP socket without a peer of this thread's network namespace. */
export function readListeningSockets(): readonly ListeningSocket[] {
  return (["tcp", "udp"] as const).flatMap((type) =>
    [type, `${type}6`].flatMap((table) => parseListeningSockets(readHead(`/proc/thread-self/net/${table}`, type), type)),
  );
}

/** `text`: /proc/net/tcp and its like. */
export function parseListeningSockets(text: string, type: ListeningSocket["type"]): readonly ListeningSocket[] {
  return text.split("\n").flatMap((line) => {
    const [, address = "", port = "", state] = /^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) \S+ ([0-9A-F]{2}) /.exec(line) ?? [];
    return state === states[type] ? [{ type, ip: parseHex(address), port: Number.parseInt(port, 16) }] : [];
  });
}

/** The listening sockets come first, and a busy machine has a hundred thousand connections after them. */
function readHead(path: string, type: ListeningSocket["type"]): string {
  if (type === "udp") return readText(path);
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    return "";
  }
  try {
    const chunk = Buffer.alloc(32 * 1024);
    let text = "";
    for (let n = readSync(fd, chunk); n > 0; n = readSync(fd, chunk)) {
      text += chunk.toString("latin1", 0, n);
      const last = text.slice(0, text.lastIndexOf("\n")).split("\n").at(-1) ?? "";
      if (/^\s*\d+: \S+ \S+ (?!0A)/.test(last)) break;
    }
    return text;
  } finally {
    closeSync(fd);
  }
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

function parseHex(text: string): Ip {
  const bytes = Buffer.from(text, "hex");
  return ipFromBytes(bytes.length % 4 === 0 ? bytes.swap32() : bytes);
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
