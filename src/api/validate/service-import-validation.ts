import { type FieldError, notSupported, tooMany } from "../field-error.ts";
import type { ServiceImport } from "../types/multicluster-v1alpha1.generated.ts";

/** As the custom resource's schema has it: what else is wrong with one is its controller's business. */
export function validateServiceImport({ spec }: ServiceImport): readonly FieldError[] {
  if (spec === undefined) return [];
  const { type, ips = [], ipFamilies = [] } = spec;
  return [
    ...(types.includes(type) ? [] : [notSupported("spec.type", type, types)]),
    ...(ips.length > maxFamilies ? [tooMany("spec.ips", ips.length, maxFamilies)] : []),
    ...(ipFamilies.length > maxFamilies ? [tooMany("spec.ipFamilies", ipFamilies.length, maxFamilies)] : []),
  ];
}

const types: readonly string[] = ["ClusterSetIP", "Headless"];
const maxFamilies = 2;
