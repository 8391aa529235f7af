import { type NetlinkError, NetlinkSocket, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST, netlinkFamily } from "./netlink.ts";
import { readAttributes, readString } from "./netlink-attributes.ts";
import { NetlinkWriter } from "./netlink-writer.ts";

// linux/netfilter/nfnetlink.h, nfnetlink_acct.h
const NFNL_SUBSYS_ACCT = 7;
const NFNL_MSG_ACCT_NEW = 0;
const NFNL_MSG_ACCT_GET = 1;
const NFNL_MSG_ACCT_DEL = 3;
const NFACCT_NAME = 1;
const NFACCT_PKTS = 2;
/** Of a name, with its end. */
const NFACCT_NAME_MAX = 32;

/**
 * Counters of the network namespace of the thread that opens it, which rules of iptables count in by name (`-m nfacct`) and which
 * stay when rules are rewritten.
 */
export class Accounting {
  readonly #socket = new NetlinkSocket(netlinkFamily.netfilter);

  /** Makes those that are not there; one that is keeps its count. Throws with the kernel's code. */
  ensure(names: readonly string[]): void {
    for (const name of names) {
      const [error] = this.#change(NFNL_MSG_ACCT_NEW, NLM_F_CREATE, name);
      if (error !== undefined && error.code !== "EBUSY") throw new Error(`the counter ${name} cannot be made: ${error.code}`);
    }
  }

  /** Removes them; those that are not there, or that rules count in, are passed over. */
  remove(names: readonly string[]): void {
    for (const name of names) this.#change(NFNL_MSG_ACCT_DEL, 0, name);
  }

  /** Packets by name, of all there are. Throws NetlinkFault. */
  packets(): ReadonlyMap<string, number> {
    const w = new NetlinkWriter(64);
    w.begin((NFNL_SUBSYS_ACCT << 8) | NFNL_MSG_ACCT_GET, NLM_F_REQUEST | NLM_F_DUMP, this.#socket.nextSequence());
    w.u8(0, 0, 0, 0);
    w.end();
    const found = new Map<string, number>();
    for (const message of this.#socket.dump(w.bytes())) {
      const of = new Map(readAttributes(message.body, 4));
      const name = of.get(NFACCT_NAME);
      const packets = of.get(NFACCT_PKTS);
      if (name !== undefined && packets !== undefined) found.set(readString(name), Number(packets.readBigUInt64BE(0)));
    }
    return found;
  }

  close(): void {
    this.#socket.close();
  }

  #change(type: number, flags: number, name: string): readonly NetlinkError[] {
    if (name.length >= NFACCT_NAME_MAX) throw new Error(`${name} is too long for a counter`);
    const w = new NetlinkWriter(128);
    w.begin((NFNL_SUBSYS_ACCT << 8) | type, NLM_F_REQUEST | NLM_F_ACK | flags, this.#socket.nextSequence());
    w.u8(0, 0, 0, 0);
    w.string(NFACCT_NAME, name);
    w.end();
    return this.#socket.transact(w.bytes());
  }
}

/** Undefined where they cannot be reached. */
export function openAccounting(): Accounting | undefined {
  try {
    return new Accounting();
  } catch {
    return undefined;
  }
}

/** Removes counters of the calling thread's network namespace, where there can be any. */
export function removeCounters(names: readonly string[]): void {
  const accounting = openAccounting();
  accounting?.remove(names);
  accounting?.close();
}
