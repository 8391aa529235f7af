import type { ConfigMap, Namespace } from "../../api/types/core-v1.generated.ts";
import { resources } from "../../client/resources.ts";
import { nothingToDo, type Outcome } from "../outcome.ts";
import { rootCaName } from "../views.ts";

/** Every namespace has the CA by which its pods know the API server; a changed copy is put right. */
export function reconcileRootCa(namespace: Namespace, existing: ConfigMap | undefined, caPem: string): Outcome {
  if (namespace.metadata?.deletionTimestamp !== undefined) return nothingToDo;
  const data = { "ca.crt": caPem };
  if (existing === undefined) {
    const object: ConfigMap = { metadata: { namespace: namespace.metadata?.name ?? "", name: rootCaName }, data };
    return { writes: [{ kind: "create", of: resources.configMaps, object }] };
  }
  const keys = Object.keys(existing.data ?? {});
  if (keys.length === 1 && existing.data?.["ca.crt"] === caPem) return nothingToDo;
  return { writes: [{ kind: "update", of: resources.configMaps, object: { ...existing, data } as ConfigMap }] };
}
