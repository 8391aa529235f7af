import { type FieldError, invalid } from "../../api/field-error.ts";
import type { Draft } from "../../api/json-value.ts";
import type { Service, ServiceSpec } from "../../api/types/core-v1.generated.ts";
import { type IpFamily, ipFamily, parseIp } from "../../base/ip.ts";

export type FamilyName = "IPv4" | "IPv6";

export function familyName(family: IpFamily): FamilyName {
  return family === 4 ? "IPv4" : "IPv6";
}

export function isHeadless(spec: ServiceSpec): boolean {
  return spec.clusterIP === "None" || spec.clusterIPs?.[0] === "None";
}

export function needsClusterIps(spec: ServiceSpec): boolean {
  return spec.type !== "ExternalName" && !isHeadless(spec);
}

/**
 * Fills in ipFamilyPolicy and ipFamilies: from the addresses asked for, from what was (`old`), else from the cluster's
 * families, the first of which is its primary one. Returns what cannot be had here.
 */
export function fillFamilies(service: Draft<Service>, old: Service | undefined, cluster: readonly FamilyName[]): readonly FieldError[] {
  const spec = service.spec;
  if (spec === undefined || spec.type === "ExternalName") return [];
  const was = old?.spec?.type === "ExternalName" ? undefined : old?.spec;
  const wanted = spec.ipFamilyPolicy;
  const errors: FieldError[] = [];
  const families: string[] = [...(spec.ipFamilies ?? [])];
  for (const [i, text] of (spec.clusterIPs ?? []).entries()) {
    const ip = parseIp(text);
    if (ip === undefined) continue;
    const name = familyName(ipFamily(ip));
    if (families[i] === undefined) families[i] = name;
    else if (families[i] !== name) {
      errors.push(invalid(`spec.clusterIPs[${i}]`, text, `expected an ${families[i]} value as indicated by \`spec.ipFamilies[${i}]\``));
    }
  }
  const selectorless = isHeadless(spec) && Object.keys(spec.selector ?? {}).length === 0;
  const dual = cluster.length === 2;
  if (wanted === "SingleStack" && was !== undefined && was.ipFamilyPolicy !== "SingleStack" && families.length === 2) {
    // Going back to one family: the second goes, unless the client changed it as well.
    if (same(spec.ipFamilies, was.ipFamilies) && same(spec.clusterIPs, was.clusterIPs)) {
      families.length = 1;
      if (spec.clusterIPs !== undefined) spec.clusterIPs = spec.clusterIPs.slice(0, 1);
    }
  }
  const policy = wanted ?? was?.ipFamilyPolicy ?? (selectorless && families.length !== 1 ? "RequireDualStack" : "SingleStack");
  if (families.length === 2 && policy === "SingleStack") {
    errors.push(
      invalid("spec.ipFamilyPolicy", policy, "must be RequireDualStack or PreferDualStack when multiple 'ipFamilies' are specified"),
    );
  }
  if (policy === "RequireDualStack" && !dual && !selectorless) {
    errors.push(invalid("spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services"));
  }
  for (const [i, family] of families.entries()) {
    if (!selectorless && !cluster.some((c) => c === family))
      errors.push(invalid(`spec.ipFamilies[${i}]`, family, "not configured on this cluster"));
  }
  if (errors.length > 0) return errors;
  families[0] ??= cluster[0] ?? "IPv4";
  const second = families[0] === "IPv4" ? "IPv6" : "IPv4";
  if (families.length < 2 && policy !== "SingleStack" && (dual || selectorless)) families.push(second);
  spec.ipFamilyPolicy = policy;
  spec.ipFamilies = families;
  return [];
}

function same(a: readonly string[] | undefined, b: readonly string[] | undefined): boolean {
  return (a ?? []).join() === (b ?? []).join();
}
