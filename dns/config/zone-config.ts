import type { Selector } from "../../src/api/selector.ts";
import type { DomainName } from "../wire/name.ts";

/** Which pods have names `a-b-c-d.<namespace>.pod.<zone>`: none, every address spelt, or addresses that a Pod has. */
export type PodMode = "disabled" | "insecure" | "verified";

/** What a cluster's objects are called: for the compiler that makes the names, and the server that answers them. */
export interface KubernetesConfig {
  /**
   * Forward zones, each with all names, and reverse zones (below `in-addr.arpa` and `ip6.arpa`, classless ones of RFC 2317
   * included) in which unknown addresses are told not to exist. PTR records lead to the first forward zone. Default
   * `cluster.local` alone.
   */
  readonly zones?: readonly DomainName[];
  /** Seconds that clients may keep the names, 0 to 3600; default 5. */
  readonly ttl?: number;
  /** Default insecure, as cluster installers configure it. */
  readonly pods?: PodMode;
  /** Endpoints without a hostname are called by their Pod's name instead of their address. */
  readonly endpointPodNames?: true;
  /** Endpoints have no names: headless Services do not exist. */
  readonly noEndpoints?: true;
  /** Only these are known; default all. */
  readonly namespaces?: readonly string[];
  /** Only namespaces with these labels are known. */
  readonly namespaceLabels?: Selector;
  /** Only Services and Pods with these labels are known. */
  readonly labels?: Selector;
  /** Services with a cluster IP, but without a ready endpoint, do not exist. */
  readonly ignoreEmptyServices?: true;
  /** Names at or below these that do not exist are left to the rest of the chain; `.` for all. */
  readonly fallthrough?: readonly DomainName[];
  /** Those of `zones` that have the ServiceImports of a set of clusters (KEP-1645: `clusterset.local`), and no Services. */
  readonly multicluster?: readonly DomainName[];
  /**
   * `<topology zone>.pin._zone.<service>…` of a headless Service has the ready endpoints of that zone alone, and with `prefer` for `pin`
   * all of them where the zone has none.
   */
  readonly zonalNames?: true;
  /** Labels below a zone's name that its NS and SOA records name; default `ns.dns`. */
  readonly nameServer?: string;
}

/** External addresses of Services as `<service>.<namespace>.<zone>`. Namespaces and labels are those of the cluster's zones. */
export interface ExternalNamesConfig {
  /** Forward zones, and reverse zones for PTR records of external addresses; the first forward zone is what they lead to. */
  readonly zones: readonly DomainName[];
  /** Seconds, 0 to 3600; default 5. */
  readonly ttl?: number;
  /** The label whose child `ns1` is the zones' name server; default `dns`. */
  readonly apex?: string;
  /** Headless Services are there too, by their ready endpoints. */
  readonly headless?: true;
  /** As in `KubernetesConfig`. */
  readonly fallthrough?: readonly DomainName[];
}

/** All that makes names of objects. */
export interface ZonesConfig {
  readonly kubernetes?: KubernetesConfig;
  readonly external?: ExternalNamesConfig;
}

export const defaultTtl = 5;
export const defaultZones: readonly DomainName[] = ["cluster.local."];
export const defaultNameServer = "ns.dns";

/** A name of its answers is the most a zone may leave no room for. */
const maxZoneLength = 100;
/** A /17 of Services and one of pods have 128 reverse zones each; a name's block has room for 4096. */
const maxZones = 4000;

/** What is wrong with it, each with the field and what would be right. */
export function validateZones({ kubernetes = {}, external }: ZonesConfig): readonly string[] {
  return [
    ...validateTtl("kubernetes.ttl", kubernetes.ttl),
    ...validateTtl("external.ttl", external?.ttl),
    ...validateNames("kubernetes.zones", kubernetes.zones ?? []),
    ...validateNames("external.zones", external?.zones ?? []),
    ...(kubernetes.multicluster ?? []).flatMap((zone) =>
      (kubernetes.zones ?? defaultZones).some((z) => printZone(z) === printZone(zone)) && !isReverseZone(zone)
        ? []
        : [`kubernetes.multicluster: ${zone} is not one of the forward zones of kubernetes.zones`],
    ),
    ...validateLabels("kubernetes.nameServer", kubernetes.nameServer),
    ...validateLabels("external.apex", external?.apex),
    ...((kubernetes.zones?.length ?? 0) + (external?.zones.length ?? 0) > maxZones
      ? [`zones: more than ${maxZones}; give fewer and larger reverse zones`]
      : []),
  ];
}

function validateTtl(field: string, ttl: number | undefined): readonly string[] {
  const isGood = ttl === undefined || (Number.isInteger(ttl) && ttl >= 0 && ttl <= 3600);
  return isGood ? [] : [`${field}: ${ttl} is not a number of seconds from 0 to 3600`];
}

function validateNames(field: string, zones: readonly DomainName[]): readonly string[] {
  return zones.flatMap((zone) => {
    if (zone.length > maxZoneLength && !isReverseZone(zone))
      return [`${field}: ${zone} has more than ${maxZoneLength} characters, which leaves no room for names in it`];
    return /^([a-z0-9_]([a-z0-9/_-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.?$/.test(zone)
      ? []
      : [`${field}: ${JSON.stringify(zone)} is not a domain name in lower case`];
  });
}

function validateLabels(field: string, labels: string | undefined): readonly string[] {
  return labels === undefined || /^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?){0,2}$/.test(labels)
    ? []
    : [`${field}: ${JSON.stringify(labels)} is not one to three labels in lower case, without the zone's name`];
}

function printZone(zone: DomainName): string {
  return zone.replace(/\.$/, "");
}

/** Whether names in it are addresses; with or without the last dot. */
export function isReverseZone(zone: DomainName): boolean {
  return /(^|\.)(in-addr|ip6)\.arpa\.?$/.test(zone);
}
