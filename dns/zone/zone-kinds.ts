import type { Kind } from "../../src/snapshot/cluster-snapshot.ts";
import type { ZonesConfig } from "../config/zone-config.ts";

/** The kinds of objects that names are made of. */
export function zoneKinds({ kubernetes = {} }: ZonesConfig = {}): readonly Kind[] {
  const { pods, multicluster = [] } = kubernetes;
  const kinds: Kind[] = ["Service", "EndpointSlice", "Namespace"];
  if (pods === "verified") kinds.push("Pod");
  if (multicluster.length > 0) kinds.push("ServiceImport");
  return kinds;
}
