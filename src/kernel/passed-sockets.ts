import { rmSync } from "node:fs";
import { getSystemErrorName } from "node:util";
import { libc } from "./libc.ts";
import { unixAddress } from "./service-notice.ts";

// include/linux/socket.h, asm-generic/socket.h, include/net/scm.h
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CTRUNC = 0x8;
const MSG_CMSG_CLOEXEC = 0x40000000;
/** SCM_MAX_FD is 253. */
const mostInMessage = 100;
const mostText = 64 * 1024;

/** struct msghdr and struct cmsghdr on 64-bit Linux (x86-64 and arm64 alike). */
const msghdr = { bytes: 56, iov: 16, iovCount: 24, control: 32, controlBytes: 40, flags: 48 } as const;
const iovAt = msghdr.bytes;
const cmsghdrBytes = 16;

/** What is said of a socket travels beside its descriptor, which is another number in each process. */
export interface HasDescriptor {
  readonly fd: number;
}

/** Thrown where sockets cannot be handed to, or taken from, another process. */
export class PassError extends Error {}

/** Hands sockets to the process that waits at `path` (`openPassedSockets`); it then holds them as well. */
export function passSockets(path: string, sockets: readonly HasDescriptor[]): void {
  const c = libc();
  const fd = check(c.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "a socket cannot be made");
  try {
    const address = unixAddress(path);
    check(c.connect(fd, address, address.length), `nobody waits at ${path}`);
    for (let i = 0; i < sockets.length; i += mostInMessage) {
      const part = sockets.slice(i, i + mostInMessage);
      const text = Buffer.from(JSON.stringify(part.map(({ fd: _, ...said }) => said)));
      const message = new Message(text.length, rightsBytes(part.length));
      message.text.set(text);
      const fds = part.map((s) => s.fd);
      writeRights(message.control, fds);
      check(c.sendmsg(fd, message.address, MSG_NOSIGNAL), `sockets cannot be handed to ${path}`);
    }
  } finally {
    c.close(fd);
  }
}

export interface PassedSockets {
  /** What has been handed over since; the caller owns the descriptors. */
  take<T>(): readonly (T & HasDescriptor)[];
  close(): void;
}

/** A place where another process of this user hands over sockets. */
export function openPassedSockets(path: string): PassedSockets {
  const c = libc();
  rmSync(path, { force: true });
  const fd = check(c.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "a socket cannot be made");
  const address = unixAddress(path);
  check(c.bind(fd, address, address.length), `${path} cannot be had`);
  return {
    take: <T>() => {
      const all: (T & HasDescriptor)[] = [];
      for (;;) {
        const message = new Message(mostText, rightsBytes(mostInMessage));
        const length = c.recvmsg(fd, message.address, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (length < 0) return all;
        if ((message.flags & MSG_CTRUNC) !== 0) throw new PassError("more sockets were handed over than this process may have open");
        const fds = descriptorsOf(message.control);
        const said = JSON.parse(message.text.subarray(0, Number(length)).toString()) as readonly T[];
        all.push(...said.flatMap((s, i) => (fds[i] === undefined ? [] : [{ ...s, fd: fds[i] }])));
      }
    },
    close: () => {
      c.close(fd);
      rmSync(path, { force: true });
    },
  };
}

/** A struct msghdr, its struct iovec, text and control data, in one piece of memory. */
class Message {
  readonly #memory: Uint8Array;
  readonly #view: DataView;
  readonly text: Buffer;
  readonly control: Buffer;

  constructor(textBytes: number, controlBytes: number) {
    const textAt = iovAt + 16;
    // control data is aligned to 8 bytes
    const controlAt = Math.ceil((textAt + textBytes) / 8) * 8;
    // a backing store of its own lies outside of the heap and is never moved
    const memory = new ArrayBuffer(controlAt + controlBytes);
    this.#memory = new Uint8Array(memory);
    this.#view = new DataView(memory);
    this.text = Buffer.from(memory, textAt, textBytes);
    this.control = Buffer.from(memory, controlAt, controlBytes);
    const base = this.address;
    const word = (at: number, value: bigint): void => this.#view.setBigUint64(at, value, true);
    word(iovAt, base + BigInt(textAt));
    word(iovAt + 8, BigInt(textBytes));
    word(msghdr.iov, base + BigInt(iovAt));
    word(msghdr.iovCount, 1n);
    word(msghdr.control, base + BigInt(controlAt));
    word(msghdr.controlBytes, BigInt(controlBytes));
  }

  get address(): bigint {
    return libc().addressOf(this.#memory);
  }

  get flags(): number {
    return this.#view.getInt32(msghdr.flags, true);
  }
}

function writeRights(control: Buffer, fds: readonly number[]): void {
  control.writeBigUInt64LE(BigInt(cmsghdrBytes + 4 * fds.length), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  for (const [i, fd] of fds.entries()) control.writeInt32LE(fd, cmsghdrBytes + 4 * i);
}

/** Each control message is a multiple of 8 bytes long (CMSG_ALIGN). */
function rightsBytes(count: number): number {
  return Math.ceil((cmsghdrBytes + 4 * count) / 8) * 8;
}

function descriptorsOf(control: Buffer): readonly number[] {
  if (control.readInt32LE(8) !== SOL_SOCKET || control.readInt32LE(12) !== SCM_RIGHTS) return [];
  const count = (Number(control.readBigUInt64LE(0)) - cmsghdrBytes) / 4;
  return Array.from({ length: count }, (_, i) => control.readInt32LE(cmsghdrBytes + 4 * i));
}

function check(result: number, what: string): number {
  if (result >= 0) return result;
  throw new PassError(`${what}: ${getSystemErrorName(-libc().errno())}`);
}
