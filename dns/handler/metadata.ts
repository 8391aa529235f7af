import type { MetadataConfig } from "../corefile/plugins/observation.ts";
import { canonicalName, type DomainName } from "../wire/name.ts";
import type { Query, Wrap } from "./handler.ts";
import { questionLabels } from "./question-labels.ts";
import { closestZone } from "./zone-match.ts";

/** Who a client is, by its address. */
export interface ClientPod {
  readonly namespace: string;
  /** Where it is known. */
  readonly name?: string;
}

/** Tells other plugins what a query is about, and of its client: `kubernetes/client-namespace` and `kubernetes/client-pod-name`. */
export function tellMetadata(config: MetadataConfig, zones: readonly DomainName[], podOf: (q: Query) => ClientPod | undefined): Wrap {
  return (next) => (q, c) => {
    if (closestZone(canonicalName(q.question.name), config.zones) === undefined) return next(q, c);
    for (const [label, value] of questionLabels(q.question.name, zones)) c.metadata.set(label, value);
    const pod = podOf(q);
    if (pod !== undefined) {
      c.metadata.set("kubernetes/client-namespace", pod.namespace);
      if (pod.name !== undefined) c.metadata.set("kubernetes/client-pod-name", pod.name);
    }
    return next(q, c);
  };
}
