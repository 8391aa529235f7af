import { getSystemErrorName } from "node:util";
import { type Ip, ipBytes, ipFamily, ipFromBytes, printHostPort } from "../base/ip.ts";
import { libc } from "./libc.ts";

/** A bound socket that nobody reads from yet: its descriptor is for a child (`listen({fd})`, `bind({fd})`). */
export interface BoundSocket {
  readonly fd: number;
  readonly ip: Ip;
  readonly port: number;
  readonly type: "tcp" | "udp";
}

export class BindError extends Error {
  /** The errno's name: EADDRINUSE, EACCES, EADDRNOTAVAIL, … */
  readonly code: string;
  constructor(code: string, what: string) {
    const advice: Record<string, string> = {
      EADDRINUSE: "another program has it; end that program or choose another port",
      EACCES: "ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher port",
      EADDRNOTAVAIL: "this machine does not have that address",
    };
    super(`cannot bind ${what}: ${code}${advice[code] === undefined ? "" : ` (${advice[code]})`}`);
    this.code = code;
  }
}

// include/linux/socket.h, asm-generic/socket.h, linux/in6.h
const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const IP_FREEBIND_LEVEL = 0;
const IP_FREEBIND = 15;

/** Binds (and, for TCP, listens, so that connections queue while no child accepts). Port 0 takes any. Throws a BindError. */
export function bindSocket(o: {
  readonly ip: Ip;
  readonly port: number;
  readonly type: "tcp" | "udp";
  readonly freeBind?: boolean;
  /** Others of this user that say so too may have the same port: each takes a part of what comes. */
  readonly sharePort?: boolean;
  /** What may wait in it; above the machine's limit only with the right to. Default: the kernel's. */
  readonly receiveBytes?: number;
}): BoundSocket {
  const c = libc();
  const what = `${o.type} ${printHostPort(o.ip, o.port)}`;
  const check = (result: number): number => {
    if (result >= 0) return result;
    const code = getSystemErrorName(-c.errno());
    throw new BindError(code, what);
  };
  const six = ipFamily(o.ip) === 6;
  const fd = check(c.socket(six ? AF_INET6 : AF_INET, (o.type === "tcp" ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  try {
    const one = new Uint8Array([1, 0, 0, 0]);
    if (o.type === "tcp") check(c.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, one, 4));
    if (o.sharePort === true) check(c.setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, one, 4));
    if (six) check(c.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, one, 4));
    if (o.freeBind === true) check(c.setsockopt(fd, IP_FREEBIND_LEVEL, IP_FREEBIND, one, 4));
    if (o.receiveBytes !== undefined) {
      const bytes = new Uint8Array(Uint32Array.of(o.receiveBytes).buffer);
      if (c.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes, 4) < 0) check(c.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, bytes, 4));
    }
    const address = socketAddress(o.ip, o.port);
    check(c.bind(fd, address, address.length));
    if (o.type === "tcp") check(c.listen(fd, 1024));
    const name = new Uint8Array(28);
    check(c.getsockname(fd, name, new Uint8Array([28, 0, 0, 0])));
    const port = ((name[2] ?? 0) << 8) | (name[3] ?? 0);
    return { fd, ip: six ? ipFromBytes(name.subarray(8, 24)) : ipFromBytes(name.subarray(4, 8)), port, type: o.type };
  } catch (error) {
    c.close(fd);
    throw error;
  }
}

export function closeSocket(socket: BoundSocket): void {
  libc().close(socket.fd);
}

/** struct sockaddr_in (16 bytes) or sockaddr_in6 (28 bytes). */
function socketAddress(ip: Ip, port: number): Uint8Array {
  const six = ipFamily(ip) === 6;
  const out = new Uint8Array(six ? 28 : 16);
  out[0] = six ? AF_INET6 : AF_INET;
  out[2] = port >> 8;
  out[3] = port & 255;
  out.set(ipBytes(ip), six ? 8 : 4);
  return out;
}

/** Two sockets that are each other's peer; they do not wait. `close` closes both. */
export function socketPair(): { readonly ends: readonly [number, number]; readonly close: () => void } {
  const c = libc();
  const descriptors = Buffer.alloc(8);
  if (c.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, descriptors) !== 0)
    throw new BindError(getSystemErrorName(-c.errno()), "a pair of sockets");
  const ends = [descriptors.readInt32LE(0), descriptors.readInt32LE(4)] as const;
  return { ends, close: () => void ends.map((end) => c.close(end)) };
}
