import { type DomainName, isInZone } from "../wire/name.ts";

/** The longest of `zones` that a name is in; all canonical. */
export function closestZone(name: DomainName, zones: readonly DomainName[]): DomainName | undefined {
  let best: DomainName | undefined;
  for (const zone of zones) if (isInZone(name, zone) && (best === undefined || zone.length > best.length)) best = zone;
  return best;
}

/** Whether a name without an answer is left to the next plugin. */
export function isLeft(name: DomainName, fallthrough: { readonly zones: readonly DomainName[] } | undefined): boolean {
  return fallthrough !== undefined && closestZone(name, fallthrough.zones) !== undefined;
}

/** Whether one of the zones has names in common with the other. */
export function zonesMeet(a: DomainName, b: DomainName): boolean {
  return isInZone(a, b) || isInZone(b, a);
}
