import { semanticEqual } from "../../api/json-value.ts";
import type { DaemonSet, Deployment, ReplicaSet, StatefulSet } from "../../api/types/apps-v1.generated.ts";
import type { Pod } from "../../api/types/core-v1.generated.ts";
import { matchesLabels } from "../../controllers/selection.ts";
import type { StandIns } from "./stand-ins.ts";
import { type World, type WorldObject, worldKey } from "./world.ts";

type Workload = Deployment | ReplicaSet | StatefulSet | DaemonSet;
export const workloadKinds: readonly string[] = ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"];

export interface RolledOut {
  readonly world: World;
  readonly remarks: readonly string[];
}

/**
 * The Pods as they are once changed workloads have been rolled out: as many as are wanted, new ones where the template is new. New Pods
 * are taken to run and be ready, and Pods of the change itself too; where they run and which ones go is not known before.
 */
export function rollOut(before: World, changed: World, standIns: StandIns): RolledOut {
  const world = new Map(changed);
  const remarks: string[] = [];
  const families = podFamilies(before);
  for (const key of new Set([...before.keys(), ...changed.keys()])) {
    const [was, is] = [before.get(key), changed.get(key)];
    if (was === is) continue;
    if ((is ?? was)?.kind === "Pod" && is !== undefined) world.set(key, running(is, families, standIns));
    if (!workloadKinds.includes((is ?? was)?.kind ?? "")) continue;
    remarks.push(...rollOutOne(world, was, is, { families, standIns }));
  }
  return { world, remarks };
}

interface Means {
  readonly families: readonly ("IPv4" | "IPv6")[];
  readonly standIns: StandIns;
}

function rollOutOne(
  world: Map<string, WorldObject>,
  was: WorldObject | undefined,
  is: WorldObject | undefined,
  { families, standIns }: Means,
): readonly string[] {
  const subject = is ?? was;
  if (subject === undefined) return [];
  const [old, now] = [workloadOf(was), workloadOf(is)];
  const selector = (old ?? now)?.spec?.selector;
  const own = [...world.values()].filter(
    (o) => o.kind === "Pod" && o.namespace === subject.namespace && matchesLabels(selector, podOf(o).metadata?.labels),
  );
  const replaced = now === undefined || (old !== undefined && !semanticEqual(templateOf(old), templateOf(now)));
  const kept = replaced ? [] : own;
  const wanted = now === undefined ? 0 : replicasOf(now, own.length, world);
  for (const pod of own) if (!kept.includes(pod)) world.delete(worldKey(pod));
  for (const pod of kept.slice(wanted)) world.delete(worldKey(pod));
  for (let i = kept.length + 1; i <= wanted; i++) {
    const name = `${subject.name}-new-${i}`;
    const metadata = {
      name,
      namespace: subject.namespace ?? "",
      labels: templateOf(now)?.metadata?.labels ?? {},
      uid: `new ${subject.name} ${i}`,
    };
    const pod: WorldObject = {
      apiVersion: "v1",
      kind: "Pod",
      namespace: subject.namespace ?? "",
      name,
      value: { metadata, spec: templateOf(now)?.spec ?? {} },
    };
    world.set(worldKey(pod), running(pod, families, standIns));
  }
  const fresh = Math.max(0, wanted - kept.length);
  return [
    ...(fresh > 0
      ? [
          `${worldKey(subject)}: ${fresh} new Pod${fresh === 1 ? " is" : "s are"} taken as ready; addresses and nodes are known once they run`,
        ]
      : []),
    ...(kept.length > wanted
      ? [`${worldKey(subject)}: ${kept.length - wanted} of ${kept.length} Pods go; which ones is not known before`]
      : []),
  ];
}

function replicasOf(workload: Workload, found: number, world: World): number {
  const spec = workload.spec ?? {};
  if ("replicas" in spec && typeof spec.replicas === "number") return spec.replicas;
  if (!("updateStrategy" in spec) || "serviceName" in spec) return 1;
  // a DaemonSet: as many as it has, else one a node
  return found > 0 ? found : [...world.values()].filter((o) => o.kind === "Node").length;
}

function running(object: WorldObject, families: Means["families"], standIns: StandIns): WorldObject {
  const pod = podOf(object);
  if (pod.status?.podIP !== undefined && pod.status.podIP !== "") return object;
  const name = `${object.namespace ?? ""}/${object.name}`;
  const podIPs = families.map((family) => ({ ip: standIns.address(family, family === "IPv4" ? name : `${name} ${family}`) }));
  const status = { phase: "Running", podIP: podIPs[0]?.ip, podIPs, conditions: [{ type: "Ready", status: "True" }] };
  return { ...object, value: { ...object.value, status } };
}

/** The families that Pods here have addresses of. */
function podFamilies(world: World): Means["families"] {
  const found = new Set<"IPv4" | "IPv6">();
  for (const o of world.values()) {
    if (o.kind === "Node") for (const c of nodeRanges(o)) found.add(c.includes(":") ? "IPv6" : "IPv4");
    if (o.kind === "Pod") for (const { ip } of podOf(o).status?.podIPs ?? []) if (ip) found.add(ip.includes(":") ? "IPv6" : "IPv4");
  }
  return found.size === 0 ? ["IPv4"] : [...found].sort();
}

function nodeRanges(o: WorldObject): readonly string[] {
  return (o.value as { readonly spec?: { readonly podCIDRs?: readonly string[] } }).spec?.podCIDRs ?? [];
}

function templateOf(workload: Workload | undefined) {
  return workload?.spec?.template;
}

function workloadOf(o: WorldObject | undefined): Workload | undefined {
  return o?.value;
}

/** The structure was checked when the object was read. */
export function podOf(o: WorldObject): Pod {
  return o.value;
}
