import type { Cidr } from "../../src/base/cidr.ts";
import type { Ip } from "../../src/base/ip.ts";

/** What the rules of a node depend on besides the frontends. Both families together. */
export interface Surroundings {
  /** Where node ports answer: addresses, or `0.0.0.0` and `::` for every local one. Empty where none is known. */
  readonly nodePortIps: readonly Ip[];
  /** Sources that are pods of this node. */
  readonly podCidrs: readonly Cidr[];
  readonly serviceCidrs: readonly Cidr[];
  /** Addresses this node serves itself: not tracked, and no Service rule sees them. */
  readonly localDnsIps: readonly Ip[];
}
