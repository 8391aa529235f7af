import type { DomainName } from "../wire/name.ts";
import { endpointLabel } from "./endpoint-name.ts";
import type { NameSource } from "./name-source.ts";
import type { PodAddress } from "./pod-addresses.ts";
import { addressSets } from "./record-sets.ts";

/** `10-244-1-9.shop.pod.<zone>` of a pod that is there. */
export function podName({ namespace, ip }: PodAddress, zone: DomainName): { readonly key: DomainName; readonly source: NameSource } {
  return {
    key: `${endpointLabel(undefined, ip)}.${namespace}.pod.${zone}`,
    source: { kind: "records", records: { sets: addressSets([ip]) } },
  };
}
