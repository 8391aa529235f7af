import type { Cidr } from "../../src/base/cidr.ts";

/** How many answers over UDP a range of clients gets, so that this server is no amplifier of forged queries. */
export interface RateLimitConfig {
  /** Answers a second for one range; so many more may come at once after a quiet time. */
  readonly perSecond: number;
  /** Every so manieth of the answers left out is sent empty with TC instead, so that real clients come over TCP; 0 sends none. Default 2. */
  readonly slip?: number;
  /** Bits of a range; default 24 and 56. */
  readonly ipv4Bits?: number;
  readonly ipv6Bits?: number;
  /** Clients without limit: those whose addresses nobody can forge here. */
  readonly exempt?: readonly Cidr[];
}
