import { semanticEqual } from "../../api/json-value.ts";
import type { Node, Pod, Service } from "../../api/types/core-v1.generated.ts";
import type { EndpointSlice } from "../../api/types/discovery-v1.generated.ts";
import { endpointSliceController, managedByLabel, reconcileEndpointSlices } from "../../controllers/endpointslice/reconcile.ts";
import type { Write } from "../../controllers/outcome.ts";
import { hasLabels } from "../../controllers/selection.ts";
import { serviceNameLabel } from "../../snapshot/cluster-snapshot.ts";
import type { RolledOut } from "./rollout.ts";
import { type World, type WorldObject, worldKey } from "./world.ts";

/**
 * The EndpointSlices as their controller will write them: for each Service whose selector, ports or Pods are others than before. A Service
 * without Pods to look at keeps the slices it has.
 */
export function sliceWorld(before: World, after: World): RolledOut {
  const world = new Map(after);
  const remarks: string[] = [];
  const pods = podsByNamespace(after);
  const oldPods = podsByNamespace(before);
  const knowsPods = [...before.values(), ...after.values()].some((o) => o.kind === "Pod");
  for (const [key, object] of after) {
    if (object.kind !== "Service") continue;
    const service = serviceOf(object);
    const selector = service.spec?.selector ?? {};
    if (service.spec?.type === "ExternalName" || Object.keys(selector).length === 0) continue;
    const was = before.get(key);
    const selected = selectedBy(service, pods);
    const isOther = was === undefined || !semanticEqual(decisive(serviceOf(was)), decisive(service));
    if (!isOther && samePods(selectedBy(serviceOf(was), oldPods), selected)) continue;
    if (!knowsPods) {
      remarks.push(
        `${key}: its EndpointSlices are taken as they are, since no Pods are known; with the Pods among the objects the plan says what its controller would write`,
      );
      continue;
    }
    const slices = [...world.values()].filter(
      (o) => o.kind === "EndpointSlice" && o.namespace === object.namespace && isManagedFor(o, object.name),
    );
    const node = (name: string): Node | undefined => after.get(worldKey({ kind: "Node", name }))?.value;
    const { writes } = reconcileEndpointSlices({ service, pods: selected, node, slices: slices.map(sliceOf) });
    for (const write of flat(writes)) take(world, write);
  }
  return { world, remarks };
}

/** What a Service's slices are made from. */
function decisive({ spec }: Service): unknown {
  return [
    spec?.selector,
    spec?.ports,
    spec?.publishNotReadyAddresses,
    spec?.ipFamilies,
    spec?.trafficDistribution,
    spec?.clusterIP === "None",
  ];
}

function samePods(a: readonly Pod[], b: readonly Pod[]): boolean {
  return a.length === b.length && a.every((p, i) => p === b[i]);
}

function selectedBy({ metadata, spec }: Service, pods: ReadonlyMap<string, readonly Pod[]>): readonly Pod[] {
  const selector = spec?.selector ?? {};
  if (Object.keys(selector).length === 0) return [];
  return (pods.get(metadata?.namespace ?? "") ?? []).filter((p) => hasLabels(p.metadata?.labels, selector));
}

function podsByNamespace(world: World): ReadonlyMap<string, readonly Pod[]> {
  const found = new Map<string, Pod[]>();
  for (const o of world.values()) {
    if (o.kind !== "Pod") continue;
    const list = found.get(o.namespace ?? "");
    if (list === undefined) found.set(o.namespace ?? "", [o.value]);
    else list.push(o.value);
  }
  return found;
}

function isManagedFor(o: WorldObject, service: string): boolean {
  const labels = sliceOf(o).metadata?.labels ?? {};
  // slices in files often say only whose they are
  return labels[serviceNameLabel] === service && (labels[managedByLabel] ?? endpointSliceController) === endpointSliceController;
}

function flat(writes: readonly Write[]): readonly Write[] {
  return writes.flatMap((w) => (w.kind === "parallel" || w.kind === "sequence" ? flat(w.writes) : [w]));
}

function take(world: Map<string, WorldObject>, write: Write): void {
  if (write.kind !== "create" && write.kind !== "update" && write.kind !== "delete") return;
  const slice = write.object as EndpointSlice;
  const namespace = slice.metadata?.namespace ?? "";
  const name = slice.metadata?.name ?? freeName(world, namespace, slice.metadata?.generateName ?? "");
  const object = {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    namespace,
    name,
    value: { ...slice, metadata: { ...slice.metadata, name } },
  };
  if (write.kind === "delete") world.delete(worldKey(object));
  else world.set(worldKey(object), object);
}

function freeName(world: World, namespace: string, prefix: string): string {
  for (let i = 1; ; i++)
    if (!world.has(worldKey({ kind: "EndpointSlice", namespace, name: `${prefix}new-${i}` }))) return `${prefix}new-${i}`;
}

/** The structure was checked when the objects were read. */
function serviceOf(o: WorldObject): Service {
  return o.value;
}
function sliceOf(o: WorldObject): EndpointSlice {
  return o.value as unknown as EndpointSlice;
}
