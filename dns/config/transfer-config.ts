import type { Cidr } from "../../src/base/cidr.ts";
import type { Ip } from "../../src/base/ip.ts";
import type { DomainName } from "../wire/name.ts";
import type { DnsAddress } from "./dns-config.ts";

/** Who may have whole zones (AXFR), and who is told when they change. */
export interface TransferConfig {
  /** Names of served zones; absent: all. */
  readonly zones?: readonly DomainName[];
  /** Clients that may have them; `*` for everybody. */
  readonly to: "*" | readonly Cidr[];
  /** Servers that get a NOTIFY when the zones change. */
  readonly notify?: readonly NotifyAddress[];
}

export interface NotifyAddress extends DnsAddress {
  /** Where the NOTIFY comes from; absent: the system's choice. */
  readonly source?: Ip;
}
