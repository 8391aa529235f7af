import { existsSync } from "node:fs";
import type { Command } from "commander";
import { defaultObject } from "../../api/defaults/default-object.ts";
import { resourceOfKind } from "../../api/scheme.ts";
import { parseCidr } from "../../base/cidr.ts";
import { createClient } from "../../client/client.ts";
import { isForbidden, isNotFound } from "../../client/errors.ts";
import { loadKubeconfig } from "../../client/kubeconfig.ts";
import type { KubeObject, ResourceOf } from "../../client/resource.ts";
import { resources } from "../../client/resources.ts";
import { createHttpTransport } from "../../client/transport.ts";
import { withObject } from "../../snapshot/apply-event.ts";
import { type Batch, type Kind, type ObjectKey, objectKey, type Snapshot, snapshotKinds } from "../../snapshot/cluster-snapshot.ts";
import { backendOf, parseBackends } from "../backend-option.ts";
import type { PlanOptions } from "../commands/plan.ts";
import { inputError, usageError } from "../errors.ts";
import { type LoadedObject, loadObjects } from "../objects.ts";
import { allocate } from "../plan/allocate.ts";
import { breaksOf } from "../plan/breaks.ts";
import {
  type FlowChange,
  flowChanges,
  nameChanges,
  type ProblemChange,
  type RuleChange,
  routeChanges,
  ruleChanges,
} from "../plan/differences.ts";
import { rollOut, workloadKinds } from "../plan/rollout.ts";
import { sliceWorld } from "../plan/slices.ts";
import { StandIns } from "../plan/stand-ins.ts";
import { changeWorld, type Deletion, type World, type WorldObject, worldKey } from "../plan/world.ts";
import { isDetail, type Plan, printPlan } from "../printers/plan.ts";
import { commandIo } from "../program.ts";
import { type Asked, askObjects, chooseNode, failIf, remark, splitPaths } from "../question.ts";
import { configOf, ruleSettings } from "./rule-settings.ts";

/** Beyond so many nodes, name one: each is compiled twice. */
const maxNodes = 16;
const plainRange = parseCidr("127.64.0.0/10");

export async function answerPlan(words: readonly string[], options: PlanOptions, self: Command): Promise<void> {
  const io = commandIo(self);
  const { paths, words: rest } = splitPaths(options, words, 0);
  if (rest.length > 0) throw usageError(`plan ${rest.join(" ")}: no such file; what is to be applied is given with --change`);
  if (options.change === undefined && options.delete === undefined)
    throw usageError("say what would change: --change FILE or --delete KIND/NAME");
  const backends = parseBackends(options.backend);
  const documents = loadObjects(options.change ?? [], "--change");
  const deletions = (options.delete ?? []).flatMap(parseDeletion);
  const asked = await askObjects(options, paths, snapshotKinds, io);
  const kinds = new Set([...documents, ...deletions].map((o) => o.kind));
  const workloads = paths.length > 0 ? workloadsOf(loadObjects(paths)) : await liveWorkloads(asked, kinds);

  const before = worldOf(asked.snapshot, workloads);
  const standIns = new StandIns();
  const changed = changeWorld(before, documents, deletions, { now: new Date().toISOString(), isKnown });
  const allocated = allocate(before, changed.after, standIns);
  const rolledOut = rollOut(before, allocated.world, standIns);
  const sliced = sliceWorld(before, rolledOut.world);
  const batch = batchBetween(asked.snapshot, before, sliced.world);

  const configured = configOf(asked, options.config);
  const rules: RuleChange[] = [];
  const flows: FlowChange[] = [];
  const problems: ProblemChange[] = [];
  for (const node of nodesOf(asked, batch, options.node, io)) {
    const [first = "nftables", ...others] = backends ?? [
      await backendOf(asked, node, { configured, named: options.config !== undefined }, (text) => remark(io, text)),
    ];
    const found = ruleChanges(batch, node, { ...ruleSettings(asked, configured, first), nodeName: node });
    problems.push(found.problems);
    for (const c of found.changes) joinNodes(rules, { nodes: [node], ...c });
    for (const backend of [first, ...others]) {
      const settings = ruleSettings(asked, configured, backend);
      const followed = flowChanges(batch, found.changes, { ...settings, nodeName: node, backend });
      problems.push(followed.problems);
      for (const c of followed.changes) joinNodes(flows, { nodes: [node], ...c });
    }
  }
  const names = nameChanges(batch, options.clusterDomain ?? asked.cluster?.status?.clusterDomain);
  const plain = asked.cluster?.status?.mode === "plain" && plainRange !== undefined;
  const routes = routeChanges(batch, plain ? { allowedEndpoints: [plainRange] } : {});
  problems.push(names.problems, routes.problems);
  const plan: Plan = standIns.toldIn({
    objects: changed.objects,
    refusals: changed.refusals,
    rules,
    flows,
    names: names.changes,
    routes: routes.changes,
    problems: { gained: once(problems.flatMap((p) => p.gained)), lost: once(problems.flatMap((p) => p.lost)) },
    breaks: breaksOf(flows, routes.changes, names.changes, isDetail),
    withoutEndpoints: [...new Set(rules.filter((c) => c.lost.length > 0 && c.fate === "reject").map((c) => c.service))],
    remarks: [...changed.remarks, ...allocated.remarks, ...rolledOut.remarks, ...sliced.remarks],
  });
  io.stdout(printPlan(options.output, plan));
  const any =
    plan.rules.length +
      plan.flows.length +
      plan.names.length +
      plan.routes.length +
      plan.problems.gained.length +
      plan.problems.lost.length >
    0;
  failIf(options, any, "connections, names, routes or problems would change");
}

/** `--delete`: a file that is there, else a kind and a name. */
function parseDeletion(text: string): readonly Deletion[] {
  if (existsSync(text))
    return loadObjects([text], "--delete").map(({ kind, namespace, name }) => ({
      kind,
      name,
      ...(namespace === undefined ? {} : { namespace }),
    }));
  const parts = text.split("/");
  const kind = [...snapshotKinds, ...workloadKinds].find((k) =>
    [k.toLowerCase(), `${k.toLowerCase()}s`].includes((parts[0] ?? "").toLowerCase()),
  );
  if (kind === undefined || parts.length > 3 || parts.length < 2 || parts.includes(""))
    throw usageError(`--delete ${text}: no such file; a deletion is written KIND/NAME or KIND/NAMESPACE/NAME, as in Service/shop/web`);
  const clusterWide = ["Node", "Namespace", "ServiceCIDR", "IngressClass"].includes(kind);
  if (clusterWide && parts.length === 3)
    throw usageError(`--delete ${text}: a ${kind} is in no namespace; write ${kind}/${parts[2] ?? ""}`);
  return [{ kind, name: parts.at(-1) ?? "", ...(clusterWide ? {} : { namespace: parts.length === 3 ? (parts[1] ?? "") : "default" }) }];
}

function isKnown(kind: string): boolean {
  return workloadKinds.includes(kind) || snapshotKinds.some((k) => k === kind);
}

function nodesOf(asked: Asked, batch: Batch, named: string | undefined, io: Parameters<typeof chooseNode>[2]): readonly string[] {
  if (named !== undefined) return [chooseNode(batch.after.tables.Node.has(named) ? batch.after : asked.snapshot, named, io)];
  const all = [...new Set([...batch.before.tables.Node.keys(), ...batch.after.tables.Node.keys()])].sort();
  if (all.length === 0) throw usageError("--node is missing, and there is no Node among the objects; name the node to ask");
  if (all.length > maxNodes) remark(io, `rules of ${maxNodes} of ${all.length} nodes are compared; --node names another`);
  return all.slice(0, maxNodes);
}

/** Changes that are the same on several nodes are told once. */
function joinNodes<T extends { readonly nodes: readonly string[] }>(list: T[], change: T): void {
  const same = (a: T): string => JSON.stringify({ ...a, nodes: undefined });
  const at = list.findIndex((c) => same(c) === same(change));
  const known = list[at];
  if (known === undefined) list.push(change);
  else list[at] = { ...known, nodes: [...known.nodes, ...change.nodes] };
}

function once<T>(list: readonly T[]): readonly T[] {
  return [...new Map(list.map((v) => [JSON.stringify(v), v])).values()];
}

function worldOf(snapshot: Snapshot, workloads: readonly WorldObject[]): World {
  const world = new Map<string, WorldObject>();
  for (const kind of snapshotKinds) {
    for (const value of snapshot.tables[kind].values()) {
      const { namespace, name = "" } = value.metadata ?? {};
      const object = {
        apiVersion: apiVersions[kind] ?? "v1",
        kind,
        name,
        ...(namespace === undefined || namespace === "" ? {} : { namespace }),
        value: { ...value },
      };
      world.set(worldKey(object), object);
    }
  }
  for (const w of workloads) world.set(worldKey(w), w);
  return world;
}

const apiVersions: Partial<Record<Kind, string>> = {
  EndpointSlice: "discovery.k8s.io/v1",
  Ingress: "networking.k8s.io/v1",
  IngressClass: "networking.k8s.io/v1",
  ServiceCIDR: "networking.k8s.io/v1",
  ServiceImport: "multicluster.x-k8s.io/v1alpha1",
};

/** What is not the same object as before is dirty. */
function batchBetween(snapshot: Snapshot, before: World, after: World): Batch {
  const dirty = new Map<Kind, Set<ObjectKey>>();
  let next = snapshot;
  for (const key of new Set([...before.keys(), ...after.keys()])) {
    const [was, is] = [before.get(key), after.get(key)];
    const kind = snapshotKinds.find((k) => k === (is ?? was)?.kind);
    if (was === is || kind === undefined) continue;
    const object =
      (is ?? was)?.namespace === undefined
        ? { name: (is ?? was)?.name ?? "" }
        : { namespace: (is ?? was)?.namespace ?? "", name: (is ?? was)?.name ?? "" };
    const objectId = objectKey({ metadata: object });
    // the structure was checked when the document was read
    next = withObject(next, kind, objectId, is?.value as never);
    dirty.set(kind, (dirty.get(kind) ?? new Set<ObjectKey>()).add(objectId));
  }
  return { before: snapshot, after: next, dirty, causes: [] };
}

function workloadsOf(objects: readonly LoadedObject[]): readonly WorldObject[] {
  // with the API's defaults, or every template would differ from one that is applied
  return objects
    .filter((o) => workloadKinds.includes(o.kind))
    .map((o) => ({ ...o, value: defaultObject(resourceOfKind(o.apiVersion, o.kind) ?? { group: "", kind: o.kind }, o.value) }));
}

/** Listed only where a change is about some. */
async function liveWorkloads(asked: Asked, kinds: ReadonlySet<string>): Promise<readonly WorldObject[]> {
  const wanted: readonly (readonly [string, ResourceOf<KubeObject>])[] = [
    ["Deployment", resources.deployments],
    ["ReplicaSet", resources.replicaSets],
    ["StatefulSet", resources.statefulSets],
    ["DaemonSet", resources.daemonSets],
  ];
  if (!wanted.some(([kind]) => kinds.has(kind))) return [];
  const transport = createHttpTransport(loadKubeconfig({ path: asked.cluster?.kubeconfig }));
  const client = createClient(transport);
  const list = async ([kind, of]: (typeof wanted)[number]): Promise<readonly WorldObject[]> => {
    if (!kinds.has(kind)) return [];
    try {
      const { items } = await client.list(of);
      return items.map((value) => ({
        apiVersion: "apps/v1",
        kind,
        namespace: value.metadata?.namespace ?? "",
        name: value.metadata?.name ?? "",
        value: { ...value },
      }));
    } catch (e) {
      if (isForbidden(e) || isNotFound(e)) throw inputError(`plan of a ${kind}: this user may not list them: ${String(e)}`);
      throw e;
    }
  };
  try {
    return (await Promise.all(wanted.map(list))).flat();
  } finally {
    transport.close();
  }
}
