import { clusterZones } from "../config/served-zones.ts";
import type { ZonesConfig } from "../config/zone-config.ts";
import { canonicalName, type DomainName, nameLabels } from "../wire/name.ts";

/**
 * The search path that a question's first try tells by itself: a pod's begins with `<its namespace>.svc.<zone>`, so a name that
 * ends so is the first try of a pod there. Nobody has to know which pod has which address.
 */
export function searchPathOf(name: DomainName, zones: ZonesConfig): readonly DomainName[] | undefined {
  const asked = canonicalName(name);
  for (const zone of clusterZones(zones.kubernetes)) {
    const services = `svc.${zone}`;
    if (!asked.endsWith(`.${services}`)) continue;
    const labels = nameLabels(asked.slice(0, asked.length - services.length));
    const namespace = labels.at(-1);
    // `service.namespace.svc…` is a name of its own
    if (namespace === undefined || labels.length < 2) return undefined;
    return [`${namespace}.${services}`, services, zone];
  }
  return undefined;
}
