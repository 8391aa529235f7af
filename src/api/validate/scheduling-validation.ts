import { type FieldError, invalid, notSupported, required } from "../field-error.ts";
import type { Affinity, NodeSelectorTerm, PodAffinityTerm, Toleration, TopologySpreadConstraint } from "../types/core-v1.generated.ts";
import { validateLabelSelector, validateRequirement } from "./metadata.ts";
import { dns1123Label, dns1123Subdomain, labelValue, qualifiedName } from "./names.ts";

export const taintEffects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
const requiredTerms = "requiredDuringSchedulingIgnoredDuringExecution";
const preferredTerms = "preferredDuringSchedulingIgnoredDuringExecution";

export function validateTolerations(tolerations: readonly Toleration[], at: string): readonly FieldError[] {
  return tolerations.flatMap(({ key = "", operator = "", value = "", effect = "", tolerationSeconds }, i) => {
    const field = `${at}[${i}]`;
    const errors: FieldError[] = key === "" ? [] : qualifiedName(key).map((why) => invalid(`${field}.key`, key, why));
    if (key === "" && operator !== "Exists") {
      errors.push(
        invalid(`${field}.operator`, operator, 'operator must be Exists when `key` is empty, which means "match all values and all keys"'),
      );
    }
    if (tolerationSeconds !== undefined && effect !== "NoExecute") {
      errors.push(invalid(`${field}.effect`, effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"));
    }
    if (operator === "" || operator === "Equal") {
      const wrong = labelValue(value);
      if (wrong.length > 0) errors.push(invalid(`${field}.operator`, value, wrong.join(";")));
    } else if (operator === "Exists") {
      if (value !== "") errors.push(invalid(`${field}.operator`, value, "value must be empty when `operator` is 'Exists'"));
    } else errors.push(notSupported(`${field}.operator`, operator, ["Equal", "Exists"]));
    if (effect !== "" && !taintEffects.includes(effect)) errors.push(notSupported(`${field}.effect`, effect, taintEffects));
    return errors;
  });
}

export function validateAffinity({ nodeAffinity, podAffinity, podAntiAffinity }: Affinity, at: string): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (nodeAffinity !== undefined) {
    const wanted = nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution;
    const field = `${at}.nodeAffinity`;
    const terms = wanted?.nodeSelectorTerms ?? [];
    if (wanted !== undefined && terms.length === 0) {
      errors.push(required(`${field}.${requiredTerms}.nodeSelectorTerms`, "must have at least one node selector term"));
    }
    terms.forEach((term, i) => {
      errors.push(...validateTerm(term, `${field}.${requiredTerms}.nodeSelectorTerms[${i}]`));
    });
    (nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution ?? []).forEach(({ weight, preference }, i) => {
      const of = `${field}.${preferredTerms}[${i}]`;
      errors.push(...validateWeight(weight, `${of}.weight`), ...validateTerm(preference, `${of}.preference`));
    });
  }
  for (const [name, affinity] of Object.entries({ podAffinity, podAntiAffinity })) {
    (affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []).forEach((term, i) => {
      errors.push(...validatePodTerm(term, `${at}.${name}.${requiredTerms}[${i}]`));
    });
    (affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).forEach(({ weight, podAffinityTerm }, i) => {
      const of = `${at}.${name}.${preferredTerms}[${i}]`;
      errors.push(...validateWeight(weight, `${of}.weight`), ...validatePodTerm(podAffinityTerm, `${of}.podAffinityTerm`));
    });
  }
  return errors;
}

export function validateSpread(constraints: readonly TopologySpreadConstraint[], at: string): readonly FieldError[] {
  const modes = ["DoNotSchedule", "ScheduleAnyway"];
  return constraints.flatMap(({ maxSkew, topologyKey, whenUnsatisfiable, labelSelector }, i) => {
    const field = `${at}[${i}]`;
    const errors: FieldError[] = [];
    if (maxSkew <= 0) errors.push(invalid(`${field}.maxSkew`, maxSkew, "must be greater than zero"));
    if (topologyKey === "") errors.push(required(`${field}.topologyKey`, "can not be empty"));
    if (!modes.includes(whenUnsatisfiable)) errors.push(notSupported(`${field}.whenUnsatisfiable`, whenUnsatisfiable, modes));
    const repeats = constraints.slice(i + 1).some((c) => c.topologyKey === topologyKey && c.whenUnsatisfiable === whenUnsatisfiable);
    if (repeats) {
      const both = `{${topologyKey}, ${whenUnsatisfiable}}`;
      errors.push({ type: "Duplicate", field: `${field}.{topologyKey, whenUnsatisfiable}`, badValue: both, detail: "" });
    }
    return [...errors, ...validateLabelSelector(labelSelector, `${field}.labelSelector`)];
  });
}

const nodeOperators: readonly string[] = ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"];

function validateTerm({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm, at: string): readonly FieldError[] {
  return [
    ...matchExpressions.flatMap((requirement, i) => validateRequirement(requirement, `${at}.matchExpressions[${i}]`, nodeOperators)),
    ...matchFields.flatMap(({ key, operator, values = [] }, i) => {
      const field = `${at}.matchFields[${i}]`;
      const errors: FieldError[] = [];
      if (operator !== "In" && operator !== "NotIn") errors.push(invalid(`${field}.operator`, operator, "not a valid selector operator"));
      else if (values.length !== 1)
        errors.push(required(`${field}.values`, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"));
      if (key !== "metadata.name") errors.push(invalid(`${field}.key`, key, "not a valid field selector key"));
      else
        values.forEach((value, j) => {
          errors.push(...dns1123Subdomain(value).map((why) => invalid(`${field}.values[${j}]`, value, why)));
        });
      return errors;
    }),
  ];
}

function validatePodTerm({ labelSelector, namespaces = [], topologyKey }: PodAffinityTerm, at: string): readonly FieldError[] {
  return [
    ...validateLabelSelector(labelSelector, `${at}.labelSelector`),
    ...namespaces.flatMap((name) => dns1123Label(name).map((why) => invalid(`${at}.namespace`, name, why))),
    ...(topologyKey === "" ? [required(`${at}.topologyKey`, "can not be empty")] : []),
    ...qualifiedName(topologyKey).map((why) => invalid(`${at}.topologyKey`, topologyKey, why)),
  ];
}

function validateWeight(weight: number, field: string): readonly FieldError[] {
  return weight <= 0 || weight > 100 ? [invalid(field, weight, "must be in the range 1-100")] : [];
}
