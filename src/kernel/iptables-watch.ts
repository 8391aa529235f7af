import { getSystemErrorName } from "node:util";
import type { IpFamily } from "../base/ip.ts";
import { KernelError } from "./errors.ts";
import type { IptablesMake } from "./iptables-command.ts";
import { libc } from "./libc.ts";
import { NftNetlink } from "./nft-netlink.ts";

/** Sees that somebody else changed rules, at the cost of microseconds. */
export interface ForeignEyes {
  /** Whether rules of our tables were changed since `settle` was last called. */
  changed(): boolean;
  /** What there is now is as it should be. */
  settle(): void;
  /**
   * What anybody's changes add to: commits, or entries of the tables where the kernel counts no commits. Less what our own added it is
   * the same before and after a change of ours, unless others changed something meanwhile.
   */
  tally(): number;
  close(): void;
}

/** Of the legacy make: asking for another would make it. */
export const watchedTables = ["nat", "filter"] as const;

/** For the network namespace of the thread that opens it. Throws where FFI is missing or this process may not look. */
export function openForeignEyes(make: IptablesMake, families: readonly IpFamily[]): ForeignEyes {
  return make === "nft" ? new NftEyes() : new LegacyEyes(families);
}

/** The nft make's tables are nf_tables' own: every change of them is told. */
class NftEyes implements ForeignEyes {
  readonly #nft = new NftNetlink();
  #changed = false;

  constructor() {
    this.#nft.listen();
  }

  changed(): boolean {
    for (const table of this.#nft.foreignTables()) {
      if (table === undefined || table === "raw" || watchedTables.some((t) => t === table)) this.#changed = true;
    }
    return this.#changed;
  }

  settle(): void {
    this.#nft.foreignTables();
    this.#changed = false;
  }

  tally(): number {
    return this.#nft.generation();
  }

  close(): void {
    this.#nft.close();
  }
}

// linux/in.h, linux/in6.h, linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const IPPROTO_RAW = 255;
const infoOption: Readonly<Record<IpFamily, { readonly level: number; readonly option: number }>> = {
  4: { level: 0, option: 64 }, // IPPROTO_IP, IPT_SO_GET_INFO
  6: { level: 41, option: 64 }, // IPPROTO_IPV6, IP6T_SO_GET_INFO
};
/** struct ipt_getinfo and ip6t_getinfo: the table's name, its hooks, where they start and end, how many entries, how many bytes. */
const infoSize = 84;
const validHooksAt = 32;
const entriesAt = 76;

/** Nothing tells of changes to legacy tables, but the kernel says how many entries and bytes each has. */
class LegacyEyes implements ForeignEyes {
  readonly #sockets: readonly (readonly [family: IpFamily, fd: number])[];
  #settled: string | undefined;

  constructor(families: readonly IpFamily[]) {
    this.#sockets = families.map((family) => {
      const fd = libc().socket(family === 4 ? AF_INET : AF_INET6, SOCK_RAW_CLOEXEC, IPPROTO_RAW);
      if (fd < 0) throw failure("socket");
      return [family, fd] as const;
    });
  }

  changed(): boolean {
    return this.#settled !== undefined && this.#look() !== this.#settled;
  }

  settle(): void {
    this.#settled = this.#look();
  }

  tally(): number {
    return this.#tables().reduce((sum, info) => sum + (info === undefined ? 0 : entriesIn(info)), 0);
  }

  close(): void {
    for (const [, fd] of this.#sockets) libc().close(fd);
  }

  #look(): string {
    return this.#tables()
      .map((info) => info?.toString("base64") ?? "none")
      .join(" ");
  }

  /** What the kernel tells of each; undefined: there is no such table. */
  #tables(): readonly (Buffer | undefined)[] {
    return this.#sockets.flatMap(([family, fd]) => {
      const { level, option } = infoOption[family];
      return watchedTables.map((table) => {
        const info = Buffer.alloc(infoSize);
        info.write(table, "latin1");
        const length = Buffer.alloc(4);
        length.writeUInt32LE(infoSize);
        return libc().getsockopt(fd, level, option, info, length) === 0 ? info : undefined;
      });
    });
  }
}

/** Beyond those of an empty table: the policy of each hook, and one that ends it. */
function entriesIn(info: Buffer): number {
  let hooks = 0;
  for (let bits = info.readUInt32LE(validHooksAt); bits !== 0; bits &= bits - 1) hooks++;
  return info.readUInt32LE(entriesAt) - hooks - 1;
}

function failure(call: string): KernelError {
  return new KernelError("call-failed", `${call}: ${getSystemErrorName(-libc().errno())}`);
}
