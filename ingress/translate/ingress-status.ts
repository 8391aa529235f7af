import type { Ingress, IngressStatus } from "../../src/api/types/networking-v1.generated.ts";

/** The status a served Ingress should have, `undefined` when it has it already. `addresses` in the order they are shown. */
export function desiredStatus(ingress: Ingress, addresses: readonly string[]): IngressStatus | undefined {
  const now = (ingress.status?.loadBalancer?.ingress ?? []).map((i) => i.ip ?? i.hostname ?? "");
  if (now.length === addresses.length && now.every((a, i) => a === addresses[i])) return undefined;
  return { loadBalancer: { ingress: addresses.map((a) => (/^[0-9.]+$|:/.test(a) ? { ip: a } : { hostname: a })) } };
}
