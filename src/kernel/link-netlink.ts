import { type Ip, ipBytes, ipFamily, ipFromBytes } from "../base/ip.ts";
import {
  NetlinkFault,
  NetlinkSocket,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  NLM_F_REQUEST,
  netlinkFamily,
} from "./netlink.ts";
import { nested, readAttributes } from "./netlink-attributes.ts";
import { NetlinkWriter } from "./netlink-writer.ts";

// linux/rtnetlink.h, if_link.h, if_addr.h
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const IFLA_IFNAME = 3;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_F_NODAD = 2;
const RT_SCOPE_LINK = 253;
const AF_FAMILY = { 4: 2, 6: 10 } as const;
const largestRequest = 256 * 1024;

export interface AddressFailure {
  readonly ip: Ip;
  /** `ENODEV` and so on. */
  readonly code: string;
}

/** Links and their addresses in one network namespace: that of the thread which opens it. */
export class LinkNetlink {
  readonly #socket = new NetlinkSocket(netlinkFamily.route);

  /** The number of a link; undefined when there is none of that name. */
  index(name: string): number | undefined {
    const w = this.#link(RTM_GETLINK, NLM_F_ACK);
    w.string(IFLA_IFNAME, name);
    w.end();
    try {
      return this.#socket.dump(w.bytes())[0]?.body.readInt32LE(4);
    } catch (error) {
      if (error instanceof NetlinkFault && error.code === "ENODEV") return undefined;
      throw error;
    }
  }

  /** A link that leads nowhere, down. Throws a NetlinkFault: EOPNOTSUPP where the kernel has no such links. */
  addDummy(name: string): void {
    const w = this.#link(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
    w.string(IFLA_IFNAME, name);
    const info = w.open(IFLA_LINKINFO | nested);
    w.string(IFLA_INFO_KIND, "dummy");
    w.close(info);
    w.end();
    this.#socket.dump(w.bytes());
  }

  deleteLink(name: string): void {
    const w = this.#link(RTM_DELLINK, NLM_F_ACK);
    w.string(IFLA_IFNAME, name);
    w.end();
    this.#socket.dump(w.bytes());
  }

  /** Both families, without link-local ones. */
  addresses(index: number): readonly Ip[] {
    const w = new NetlinkWriter(64);
    w.begin(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, this.#socket.nextSequence());
    w.u8(0, 0, 0, 0);
    w.u32(0);
    w.end();
    const found: Ip[] = [];
    for (const { body } of this.#socket.dump(w.bytes())) {
      if (body.readUInt32LE(4) !== index || body[3] === RT_SCOPE_LINK) continue;
      const of = new Map(readAttributes(body, 8));
      const address = of.get(IFA_LOCAL) ?? of.get(IFA_ADDRESS);
      if (address !== undefined) found.push(ipFromBytes(address));
    }
    return found;
  }

  /** Single addresses. Adding one that is there changes nothing. Makes each change whether or not others failed; the failed ones. */
  commit(verb: "add" | "delete", index: number, ips: readonly Ip[]): readonly AddressFailure[] {
    const failures: AddressFailure[] = [];
    for (let i = 0; i < ips.length; ) {
      const w = new NetlinkWriter(4096);
      const sent = new Map<number, Ip>();
      for (; i < ips.length && w.length < largestRequest; i++) {
        const ip = ips[i];
        if (ip === undefined) break;
        const family = ipFamily(ip);
        const sequence = this.#socket.nextSequence();
        sent.set(sequence, ip);
        const flags = verb === "add" ? NLM_F_CREATE | NLM_F_REPLACE : 0;
        w.begin(verb === "add" ? RTM_NEWADDR : RTM_DELADDR, NLM_F_REQUEST | flags, sequence);
        w.u8(AF_FAMILY[family], family === 4 ? 32 : 128, family === 6 ? IFA_F_NODAD : 0, 0);
        w.u32(index);
        for (const type of [IFA_LOCAL, IFA_ADDRESS]) {
          const at = w.open(type);
          w.raw(ipBytes(ip));
          w.close(at);
        }
        w.end();
      }
      w.addFlags(NLM_F_ACK);
      for (const { sequence, code } of this.#socket.transact(w.bytes())) {
        const ip = sent.get(sequence);
        if (ip !== undefined) failures.push({ ip, code });
      }
    }
    return failures;
  }

  close(): void {
    this.#socket.close();
  }

  #link(type: number, flags: number): NetlinkWriter {
    const w = new NetlinkWriter(128);
    w.begin(type, NLM_F_REQUEST | flags, this.#socket.nextSequence());
    w.u32(0);
    w.u32(0);
    w.u32(0);
    w.u32(0);
    return w;
  }
}
