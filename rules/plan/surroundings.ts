import { type Cidr, parseCidr } from "../../src/base/cidr.ts";
import type { Ip } from "../../src/base/ip.ts";
import type { Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import type { Problem } from "../../src/snapshot/problem.ts";

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

/** Those of all ServiceCIDRs. */
export function serviceRanges(snapshot: Snapshot): readonly Cidr[] {
  return [...snapshot.tables.ServiceCIDR.values()].flatMap((o) => o.spec?.cidrs ?? []).flatMap((text) => parseCidr(text) ?? []);
}

export function serviceRangeProblems(snapshot: Snapshot): readonly Problem[] {
  return [...snapshot.tables.ServiceCIDR].flatMap(([name, { spec }]) =>
    (spec?.cidrs ?? []).flatMap((text, i): readonly Problem[] =>
      parseCidr(text) !== undefined
        ? []
        : [
            {
              object: { kind: "ServiceCIDR", name },
              field: `spec.cidrs[${i}]`,
              reason: "RangeInvalid",
              message: `"${text}" is no range such as 10.96.0.0/16; what is sent to its addresses that no Service has is not dropped`,
            },
          ],
    ),
  );
}
