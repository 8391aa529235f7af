import type { Ingress } from "../../src/api/types/networking-v1.generated.ts";
import type { ObjectKey } from "../../src/snapshot/cluster-snapshot.ts";
import { AnnotationReader } from "./annotation-reader.ts";
import { noDefaults } from "./annotations.ts";
import { parseCanary } from "./canary-annotations.ts";
import { type CanaryProgress, type CanaryStatus, planHash } from "./canary-progress.ts";

/** A canary whose share grows by itself. */
export interface GrowingCanary {
  readonly progress: CanaryProgress;
  readonly status: CanaryStatus | undefined;
  readonly plan: string;
  /** Keys of the Services that its paths lead to. */
  readonly services: readonly ObjectKey[];
}

/** `undefined` for Ingresses that are no canary, or whose share is a fixed one. */
export function growingCanary(ingress: Ingress): GrowingCanary | undefined {
  const annotations = ingress.metadata?.annotations ?? {};
  if (!Object.hasOwn(annotations, "fairway.dev/canary-steps")) return undefined;
  const canary = parseCanary(new AnnotationReader(annotations, noDefaults, () => undefined));
  if (canary?.progress === undefined) return undefined;
  const namespace = ingress.metadata?.namespace ?? "";
  const paths = (ingress.spec?.rules ?? []).flatMap((r) => r.http?.paths ?? []);
  const services = [
    ...new Set(paths.flatMap((p) => (p.backend.service === undefined ? [] : [`${namespace}/${p.backend.service.name}`]))),
  ].sort();
  return { progress: canary.progress, status: canary.status, services, plan: planHash(canary.progress, services.join()) };
}
