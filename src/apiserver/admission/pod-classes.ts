import type { Resource } from "../../api/scheme.ts";
import { forbidden } from "../../api/status-error.ts";
import type { Pod } from "../../api/types/core-v1.generated.ts";
import type { ApiContext } from "../call.ts";
import type { ApiObject } from "../registry.ts";

/** The priority classes that every cluster has; others could not be made here. */
const priorities: Readonly<Record<string, number>> = {
  "system-cluster-critical": 2_000_000_000,
  "system-node-critical": 2_000_001_000,
};

/** A class that a pod names and nobody has is refused: the pod would run as if it had named none. */
export function admitPodClasses(_context: ApiContext, resource: Resource, object: ApiObject): ApiObject {
  if (resource.kind !== "Pod" || resource.group !== "") return object;
  const { spec } = object as Pod;
  const { runtimeClassName, priorityClassName = "" } = spec ?? {};
  const name = object.metadata.name ?? "";
  if (runtimeClassName !== undefined)
    throw forbidden(resource, name, `pod rejected: RuntimeClass ${JSON.stringify(runtimeClassName)} not found`);
  if (priorityClassName === "") return object;
  const priority = Object.hasOwn(priorities, priorityClassName) ? priorities[priorityClassName] : undefined;
  if (priority === undefined) throw forbidden(resource, name, `no PriorityClass with name ${priorityClassName} was found`);
  return { ...object, spec: { ...spec, priority } } as ApiObject;
}
