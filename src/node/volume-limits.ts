import { canonicalQuantity } from "../api/quantity.ts";
import type { Pod, Volume } from "../api/types/core-v1.generated.ts";
import { parseQuantity } from "./quantity.ts";

/** An emptyDir on the disk that may not grow beyond a size. */
export interface LimitedVolume {
  readonly name: string;
  readonly bytes: number;
  /** As a person wrote it: `64Mi`. */
  readonly limit: string;
}

/** Those in memory are not among them: the kernel itself keeps their limit. */
export function limitedVolumes(pod: Pod): readonly LimitedVolume[] {
  return (pod.spec?.volumes ?? []).flatMap(({ name, emptyDir }): LimitedVolume[] => {
    const limit = emptyDir?.sizeLimit;
    const bytes = limit === undefined ? undefined : parseQuantity(limit);
    if (limit === undefined || bytes === undefined || bytes <= 0 || emptyDir?.medium === "Memory") return [];
    return [{ name, bytes, limit: canonicalQuantity(limit) ?? limit }];
  });
}

/** In the kubelet's words, with its space at the end. */
export function overLimitMessage({ name, limit }: LimitedVolume): string {
  return `Usage of EmptyDir volume "${name}" exceeds the limit "${limit}". `;
}

/** How large a volume in memory is: its own limit, but never more than the pod's containers may have together, or the node has. */
export function memoryVolumeBytes(pod: Pod, volume: Volume, allocatable: Readonly<Record<string, string>>): number {
  const quantity = (text: string | undefined): number | undefined => (text === undefined ? undefined : parseQuantity(text));
  const limits = (pod.spec?.containers ?? []).map((c) => quantity(c.resources?.limits?.["memory"]));
  const ofPod = limits.every((limit) => limit !== undefined) ? limits.reduce((sum, limit) => sum + limit, 0) : undefined;
  const given = [quantity(allocatable["memory"]), ofPod, quantity(volume.emptyDir?.sizeLimit)];
  return Math.floor(Math.min(...given.filter((bytes) => bytes !== undefined && bytes > 0).map(Number)));
}
