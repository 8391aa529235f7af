import type { Resource } from "../../api/scheme.ts";
import type { Pod, Taint, Toleration } from "../../api/types/core-v1.generated.ts";
import type { ApiObject } from "../registry.ts";

const seconds = 300;
const troubles: readonly Taint[] = [
  { key: "node.kubernetes.io/not-ready", effect: "NoExecute" },
  { key: "node.kubernetes.io/unreachable", effect: "NoExecute" },
];

/** A pod stays five minutes on a node in trouble, unless it says itself how long. */
export function admitTolerations(resource: Resource, object: ApiObject): ApiObject {
  if (resource.kind !== "Pod" || resource.group !== "") return object;
  const { spec } = object as Pod;
  if (spec === undefined) return object;
  const given = spec.tolerations ?? [];
  const added = troubles
    // Whatever its operator and value: who names the taint, or every taint, has thought of it.
    .filter(({ key, effect }) => !given.some((t) => ["", key].includes(t.key ?? "") && ["", effect].includes(t.effect ?? "")))
    .map(({ key, effect }): Toleration => ({ key, operator: "Exists", effect, tolerationSeconds: seconds }));
  return added.length === 0 ? object : ({ ...object, spec: { ...spec, tolerations: [...given, ...added] } } as ApiObject);
}
