import type { Cidr } from "../../src/base/cidr.ts";
import type { DomainName } from "../wire/name.ts";
import type { DnsAddress } from "./dns-config.ts";

/** Who may have whole zones (AXFR), and who is told when they change. */
export interface TransferConfig {
  /** Names of served zones; absent: all. */
  readonly zones?: readonly DomainName[];
  /** Clients that may have them; `*` for everybody. */
  readonly to: "*" | readonly Cidr[];
  /** Servers that get a NOTIFY when the zones change. */
  readonly notify?: readonly DnsAddress[];
}
