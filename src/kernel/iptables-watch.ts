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
  /** Counts changes of tables by anybody, ours or not; undefined: the kernel does not. */
  commits(): number | undefined;
  close(): void;
}

const tables = ["nat", "filter"];

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
      if (table === undefined || table === "raw" || tables.includes(table)) this.#changed = true;
    }
    return this.#changed;
  }

  settle(): void {
    this.#nft.foreignTables();
    this.#changed = false;
  }

  commits(): number {
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

  commits(): undefined {
    return undefined;
  }

  close(): void {
    for (const [, fd] of this.#sockets) libc().close(fd);
  }

  #look(): string {
    const seen: string[] = [];
    for (const [family, fd] of this.#sockets) {
      const { level, option } = infoOption[family];
      for (const table of tables) {
        const info = Buffer.alloc(infoSize);
        info.write(table, "latin1");
        const length = Buffer.alloc(4);
        length.writeUInt32LE(infoSize);
        const found = libc().getsockopt(fd, level, option, info, length) === 0;
        seen.push(found ? info.toString("base64") : "none");
      }
    }
    return seen.join(" ");
  }
}

function failure(call: string): KernelError {
  return new KernelError("call-failed", `${call}: ${getSystemErrorName(-libc().errno())}`);
}
