import type { Taint, Toleration } from "./types/core-v1.generated.ts";

/** Whether a toleration is for this taint: an empty effect or (with Exists) key stands for any. */
export function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect !== undefined && toleration.effect !== "" && toleration.effect !== taint.effect) return false;
  const key = toleration.key ?? "";
  if (key !== "" && key !== taint.key) return false;
  switch (toleration.operator ?? "Equal") {
    case "Exists":
      return true;
    case "":
    case "Equal":
      return key !== "" && (toleration.value ?? "") === (taint.value ?? "");
    default:
      return false;
  }
}

/** The first taint with one of the effects that no toleration is for. */
export function untoleratedTaint(
  taints: readonly Taint[] | undefined,
  tolerations: readonly Toleration[] | undefined,
  effects: readonly string[],
): Taint | undefined {
  return taints?.find((taint) => effects.includes(taint.effect) && tolerations?.some((t) => tolerates(t, taint)) !== true);
}
