import { type FieldError, invalid } from "../field-error.ts";
import type { Pod } from "../types/core-v1.generated.ts";
import { familyOf, validateIp } from "./addresses.ts";
import { immutable } from "./metadata.ts";
import { qualifiedName } from "./names.ts";
import { nonNegative } from "./numbers.ts";

/** The counts in a status: none below zero, some no more than `replicas`, available ones ready as well. */
interface Counts {
  readonly fields: readonly string[];
  readonly withinReplicas: readonly string[];
  /** How the message calls the count that bounds the available ones. */
  readonly ready: string;
}

interface Counted {
  readonly status?: Readonly<Record<string, unknown>>;
}

const replicas = ["replicas", "readyReplicas", "availableReplicas", "observedGeneration"];
const deploymentCounts: Counts = {
  fields: [...replicas, "updatedReplicas", "unavailableReplicas", "terminatingReplicas", "collisionCount"],
  withinReplicas: ["updatedReplicas", "readyReplicas", "availableReplicas"],
  ready: "readyReplicas",
};
const replicaSetCounts: Counts = {
  fields: [...replicas, "fullyLabeledReplicas", "terminatingReplicas"],
  withinReplicas: ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
  ready: "readyReplicas",
};
const statefulSetCounts: Counts = {
  fields: [...replicas, "currentReplicas", "updatedReplicas", "collisionCount"],
  withinReplicas: ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"],
  ready: "status.readyReplicas",
};
const daemonSetCounts: Counts = {
  fields: [
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "collisionCount",
  ],
  withinReplicas: [],
  ready: "",
};
const budgetCounts: Counts = {
  fields: ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"],
  withinReplicas: [],
  ready: "",
};

export const validateDeploymentStatus = counting(deploymentCounts);
export const validateReplicaSetStatus = counting(replicaSetCounts);
export const validateStatefulSetStatus = counting(statefulSetCounts);
export const validateDaemonSetStatus = counting(daemonSetCounts);
export const validateBudgetStatus = counting(budgetCounts);

const systemConditions = new Set(["PodScheduled", "Ready", "Initialized"]);

export function validatePodStatus({ status = {} }: Pod, old: Pod): readonly FieldError[] {
  const errors: FieldError[] = [];
  (status.conditions ?? []).forEach(({ type, observedGeneration = 0 }, i) => {
    const at = `status.conditions[${i}]`;
    if (observedGeneration < 0) errors.push(invalid(`${at}.observedGeneration`, observedGeneration, "must be a non-negative integer"));
    if (!systemConditions.has(type)) errors.push(...qualifiedName(type).map((why) => invalid(`${at}.Type`, type, why)));
  });
  if ((status.observedGeneration ?? 0) < 0)
    errors.push(invalid("status.observedGeneration", status.observedGeneration, "must be a non-negative integer"));
  errors.push(...immutable("status.qosClass", status.qosClass ?? "", old.status?.qosClass ?? ""));
  const podIps = (status.podIPs ?? []).map(({ ip }) => ip);
  const hostIps = (status.hostIPs ?? []).map(({ ip }) => ip);
  errors.push(
    ...validateIps(
      "status.podIPs",
      podIps,
      (old.status?.podIPs ?? []).map(({ ip }) => ip),
    ),
  );
  if (hostIps.length > 0 && hostIps[0] !== (status.hostIP ?? ""))
    errors.push(invalid("status.hostIPs[0].ip", hostIps[0] ?? "", "must be equal to `hostIP`"));
  return [
    ...errors,
    ...validateIps(
      "status.hostIPs",
      hostIps,
      (old.status?.hostIPs ?? []).map(({ ip }) => ip),
    ),
  ];
}

function validateIps(field: string, ips: readonly string[], kept: readonly string[]): readonly FieldError[] {
  const errors = ips.flatMap((ip, i) => validateIp(`${field}[${i}]`, ip, kept));
  const families = new Set(ips.map(familyOf));
  if (ips.length < 2 || (ips.length === 2 && families.has(4) && families.has(6))) return errors;
  const value = ips.map((IP) => ({ IP }));
  return [...errors, invalid(field, value, "may specify no more than one IP for each IP family")];
}

function counting({ fields, withinReplicas, ready }: Counts): (object: Counted, old: Counted) => readonly FieldError[] {
  return ({ status = {} }, old) => {
    const errors: FieldError[] = fields.flatMap((name) => nonNegative(`status.${name}`, count(status[name])));
    const total = count(status["replicas"]);
    for (const name of withinReplicas) {
      if (count(status[name]) > total)
        errors.push(invalid(`status.${name}`, count(status[name]), "cannot be greater than status.replicas"));
    }
    const available = count(status["availableReplicas"]);
    if (ready !== "" && available > count(status["readyReplicas"])) {
      errors.push(invalid("status.availableReplicas", available, `cannot be greater than ${ready}`));
    }
    const collisions = old.status?.["collisionCount"];
    if (fields.includes("collisionCount") && collisions !== undefined && count(status["collisionCount"]) < count(collisions)) {
      errors.push(invalid("status.collisionCount", count(status["collisionCount"]), "cannot be decremented"));
    }
    return errors;
  };
}

function count(value: unknown): number {
  return typeof value === "number" ? value : 0;
}
