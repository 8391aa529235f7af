import type { Namespace, ServiceAccount } from "../../api/types/core-v1.generated.ts";
import { resources } from "../../client/resources.ts";
import { nothingToDo, type Outcome } from "../outcome.ts";

/** Every namespace that is not going away has a ServiceAccount `default`. */
export function reconcileDefaultAccount(namespace: Namespace, account: ServiceAccount | undefined): Outcome {
  if (namespace.metadata?.deletionTimestamp !== undefined || account !== undefined) return nothingToDo;
  const object: ServiceAccount = { metadata: { namespace: namespace.metadata?.name ?? "", name: "default" } };
  return { writes: [{ kind: "create", of: resources.serviceAccounts, object }] };
}
