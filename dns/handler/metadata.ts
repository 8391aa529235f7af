import type { MetadataConfig } from "../corefile/plugins/observation.ts";
import { canonicalName } from "../wire/name.ts";
import type { Query, Wrap } from "./handler.ts";
import { closestZone } from "./zone-match.ts";

/** Who a client is, by its address. */
export interface ClientPod {
  readonly namespace: string;
  readonly name: string;
}

/** Tells other plugins of a query's client: `kubernetes/client-namespace` and `kubernetes/client-pod-name`. */
export function tellMetadata(config: MetadataConfig, podOf: (q: Query) => ClientPod | undefined): Wrap {
  return (next) => (q, c) => {
    if (closestZone(canonicalName(q.question.name), config.zones) === undefined) return next(q, c);
    const pod = podOf(q);
    if (pod !== undefined) {
      c.metadata.set("kubernetes/client-namespace", pod.namespace);
      c.metadata.set("kubernetes/client-pod-name", pod.name);
    }
    return next(q, c);
  };
}
