import { constants } from "node:os";
import { getSystemErrorName } from "node:util";
import { type LibC, libc } from "./libc.ts";
import { readAttributes, readString } from "./netlink-attributes.ts";

// linux/netlink.h, asm-generic/socket.h
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_DROP_MEMBERSHIP = 2;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const MSG_DONTWAIT = 0x40;

export const netlinkFamily = { route: 0, netfilter: 12, generic: 16 } as const;
export const NLM_F_REQUEST = 1;
export const NLM_F_ACK = 4;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_ACK_TLVS = 0x200;
/** Of one dump, each interrupted by a change. */
const dumpTries = 30;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLMSGERR_ATTR_MSG = 1;
const NLMSGERR_ATTR_OFFS = 2;

/** One message as the kernel sent it. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** The port of the socket whose request this answers or reports. */
  readonly port: number;
  readonly body: Buffer;
}

/** What the kernel said about one message of a request. */
export interface NetlinkError {
  readonly sequence: number;
  /** `ENOENT` and so on. */
  readonly code: string;
  readonly text: string;
  /** Where in the refused message the bad attribute starts, from the start of its header. */
  readonly offset: number | undefined;
}

/** A system call failed: no such facility, no permission, buffers full. */
export class NetlinkFault extends Error {
  readonly code: string;
  constructor(call: string, errno: number) {
    const code = getSystemErrorName(-errno);
    super(`netlink: ${call}: ${code}`);
    this.name = "NetlinkFault";
    this.code = code;
  }
}

function int32(n: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(n);
  return bytes;
}

/**
 * A netlink socket of the network namespace of the thread that opens it. Requests are answered inside `send`, so all
 * calls return at once; nothing blocks but the kernel's own work.
 */
export class NetlinkSocket {
  readonly #c: LibC;
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(256 * 1024);
  #sequence = 1;
  #closed = false;
  /** Nothing can have arrived: all was read after the last request, and no group is listened to. */
  #read = false;
  #subscribed = false;
  /** The address of this socket: the `port` of what it causes. */
  readonly port: number;

  /** Throws a NetlinkFault, or the loader's error where FFI is missing. */
  constructor(family: number) {
    this.#c = libc();
    this.#fd = this.#check("socket", this.#c.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family));
    try {
      const address = Buffer.alloc(12);
      address.writeUInt16LE(AF_NETLINK);
      this.#check("bind", this.#c.bind(this.#fd, address, 12));
      const name = Buffer.alloc(12);
      this.#check("getsockname", this.#c.getsockname(this.#fd, name, int32(12)));
      this.port = name.readUInt32LE(4);
      // without CAP_NET_ADMIN these fail; small requests work all the same
      this.#c.setsockopt(this.#fd, SOL_SOCKET, SO_SNDBUFFORCE, int32(128 * 1024 * 1024), 4);
      this.#c.setsockopt(this.#fd, SOL_SOCKET, SO_RCVBUFFORCE, int32(8 * 1024 * 1024), 4);
      this.#c.setsockopt(this.#fd, SOL_NETLINK, NETLINK_CAP_ACK, int32(1), 4);
      this.#c.setsockopt(this.#fd, SOL_NETLINK, NETLINK_EXT_ACK, int32(1), 4);
    } catch (error) {
      this.#c.close(this.#fd);
      throw error;
    }
  }

  nextSequence(): number {
    this.#sequence = this.#sequence >= 0x7fffffff ? 1 : this.#sequence + 1;
    return this.#sequence;
  }

  subscribe(group: number): void {
    this.#subscribed = true;
    this.#check("subscribe", this.#c.setsockopt(this.#fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, int32(group), 4));
  }

  unsubscribe(group: number): void {
    this.#check("unsubscribe", this.#c.setsockopt(this.#fd, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, int32(group), 4));
  }

  send(bytes: Uint8Array): void {
    this.#read = false;
    this.#check("send", Number(this.#c.send(this.#fd, bytes, bytes.length, 0)));
  }

  /** What has arrived, without waiting: one datagram's messages, or undefined when there is nothing. Throws ENOBUFS where some were lost. */
  receive(): readonly NetlinkMessage[] | undefined {
    return this.#receive("kept");
  }

  /** Bodies that are not to be kept are read where they lie, until the next datagram is asked for. */
  #receive(bodies: "kept" | "read"): readonly NetlinkMessage[] | undefined {
    const n = Number(this.#c.recv(this.#fd, this.#buffer, this.#buffer.length, MSG_DONTWAIT));
    if (n < 0) {
      const errno = this.#c.errno();
      if (errno === constants.errno.EAGAIN) {
        this.#read = !this.#subscribed;
        return undefined;
      }
      throw new NetlinkFault("recv", errno);
    }
    const messages: NetlinkMessage[] = [];
    for (let at = 0; at + 16 <= n; ) {
      const length = this.#buffer.readUInt32LE(at);
      if (length < 16 || at + length > n) break;
      messages.push({
        type: this.#buffer.readUInt16LE(at + 4),
        flags: this.#buffer.readUInt16LE(at + 6),
        sequence: this.#buffer.readUInt32LE(at + 8),
        port: this.#buffer.readUInt32LE(at + 12),
        body: bodies === "read" ? this.#buffer.subarray(at + 16, at + length) : Buffer.from(this.#buffer.subarray(at + 16, at + length)),
      });
      at += (length + 3) & ~3;
    }
    return messages;
  }

  /** Sends and gathers what the kernel answered at once: the errors, none when all was accepted. */
  transact(bytes: Uint8Array): readonly NetlinkError[] {
    this.drain();
    this.send(bytes);
    const errors: NetlinkError[] = [];
    for (let messages = this.receive(); messages !== undefined; messages = this.receive()) {
      for (const message of messages) {
        const error = parseError(message);
        if (error !== undefined) errors.push(error);
      }
    }
    return errors;
  }

  /** All messages of a dump. Starts again when the table changed meanwhile. Throws a NetlinkFault with the kernel's code, or EINTR when it changes all the time. */
  dump(bytes: Uint8Array): readonly NetlinkMessage[] {
    for (let attempt = 0; ; attempt++) {
      this.drain();
      this.send(bytes);
      const found: NetlinkMessage[] = [];
      let interrupted = false;
      let done = false;
      while (!done) {
        const messages = this.receive();
        if (messages === undefined) {
          interrupted = true;
          break;
        }
        for (const message of messages) {
          if ((message.flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
          if (message.type === NLMSG_DONE) done = true;
          else if (message.type === NLMSG_ERROR) {
            const errno = -message.body.readInt32LE(0);
            if (errno !== 0) throw new NetlinkFault("dump", errno);
            done = true;
          } else found.push(message);
        }
      }
      if (!interrupted) return found;
      if (attempt >= dumpTries) throw new NetlinkFault("dump", constants.errno.EINTR);
    }
  }

  /**
   * The messages of a dump, a datagram at a time: the kernel goes on with its table when the next one is asked for, and other work
   * may be done between. Nothing else may use the socket meanwhile, and bodies hold until the next part is asked for. What changes under way is told or not. Throws a NetlinkFault.
   */
  *dumpParts(bytes: Uint8Array): Iterable<readonly NetlinkMessage[]> {
    this.drain();
    this.send(bytes);
    for (let messages = this.#receive("read"); messages !== undefined; messages = this.#receive("read")) {
      for (const message of messages) {
        if (message.type === NLMSG_DONE) return;
        if (message.type !== NLMSG_ERROR) continue;
        throw new NetlinkFault("dump", -message.body.readInt32LE(0));
      }
      yield messages;
    }
  }

  drain(): void {
    if (this.#read) return;
    try {
      while (this.receive() !== undefined);
    } catch (error) {
      if (!(error instanceof NetlinkFault && error.code === "ENOBUFS")) throw error;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#c.close(this.#fd);
  }

  #check(call: string, result: number): number {
    if (result < 0) throw new NetlinkFault(call, this.#c.errno());
    return result;
  }
}

function parseError(message: NetlinkMessage): NetlinkError | undefined {
  if (message.type !== NLMSG_ERROR) return undefined;
  const errno = -message.body.readInt32LE(0);
  if (errno === 0) return undefined;
  let text = "";
  let offset: number | undefined;
  if ((message.flags & NLM_F_ACK_TLVS) !== 0) {
    for (const [type, value] of readAttributes(message.body, 20)) {
      if (type === NLMSGERR_ATTR_MSG) text = readString(value);
      if (type === NLMSGERR_ATTR_OFFS) offset = value.readUInt32LE(0);
    }
  }
  return { sequence: message.body.readUInt32LE(12), code: getSystemErrorName(-errno), text, offset };
}
