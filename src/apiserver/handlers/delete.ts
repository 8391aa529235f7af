import { isRecord } from "../../api/json-value.ts";
import { apiVersionOf, type Resource } from "../../api/scheme.ts";
import { conflict, notFound } from "../../api/status-error.ts";
import type { Pod } from "../../api/types/core-v1.generated.ts";
import type { DeleteOptions } from "../../api/types/meta-v1.generated.ts";
import { decodeObject } from "../../store/object-bytes.ts";
import { forbidImmortal } from "../admission/namespace-lifecycle.ts";
import { type Answer, json } from "../answer.ts";
import { readOptions } from "../body.ts";
import { type ApiContext, type Call, isDryRun, timestamp } from "../call.ts";
import { isReadyToGo, overwrite, removeObject } from "../object-writer.ts";
import { type ApiObject, type Found, keyOf } from "../registry.ts";
import { isSelected, selectionOf } from "../selection.ts";
import { answerObject } from "./answer-object.ts";

export const deleteOptionsType = {
  group: "meta.k8s.io",
  version: "v1",
  kind: "DeleteOptions",
  type: "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
};
const orphan = "orphan";
const foreground = "foregroundDeletion";
const maxTries = 8;
/** Kinds whose deletion answers with the object, as clients of old rely on; the others answer with a Status. */
const answersObject = new Set(["Pod", "Service", "ServiceAccount"]);

/** What became of an object that was to go. */
export interface Deleted {
  readonly object: ApiObject;
  /** "waits": for its node or for finalizers; it is still there, marked. */
  readonly outcome: "gone" | "waits";
}

export async function remove(call: Call): Promise<Answer> {
  const { resource, info } = call;
  const options = await optionsOf(call);
  forbidImmortal(resource, info.name);
  const deleted = await deleteObject(call.context, resource, keyOf(info.namespace, info.name), options);
  const { object } = deleted;
  if (deleted.outcome === "waits" || answersObject.has(resource.kind)) {
    return answerObject(
      call,
      new TextEncoder().encode(JSON.stringify(object)),
      options.orphanDependents === false && deleted.outcome === "waits" ? 202 : 200,
    );
  }
  const details = {
    name: info.name,
    ...(resource.group === "" ? {} : { group: resource.group }),
    kind: resource.plural,
    uid: object.metadata.uid,
  };
  return json({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details });
}

/** Every selected object by itself; the answer lists what was asked to go. */
export async function removeCollection(call: Call): Promise<Answer> {
  const { resource, info, context } = call;
  const options = await optionsOf(call);
  const selection = selectionOf(call.view, info.namespace, call.query);
  const items: ApiObject[] = [];
  for (const entry of context.registry.table(resource).range(selection.prefix)) {
    if (!isSelected(selection, entry)) continue;
    items.push(call.view.show(decodeObject(entry.bytes) as ApiObject));
    await deleteObject(context, resource, entry.key, options).catch((error: unknown) => {
      if (!(error instanceof Error && "reason" in error && error.reason === "NotFound")) throw error;
    });
  }
  return json({
    kind: `${resource.kind}List`,
    apiVersion: apiVersionOf(call.view.resource),
    metadata: { resourceVersion: String(context.registry.cache.rev) },
    items,
  });
}

/** Deletes, or marks for deletion what must wait: pods for their node, everything for its finalizers. */
export async function deleteObject(context: ApiContext, resource: Resource, key: string, options: DeleteOptions): Promise<Deleted> {
  for (let attempt = 1; ; attempt++) {
    const current = context.registry.find(resource, key);
    const name = key.slice(key.indexOf("/") + 1);
    if (current === undefined) throw notFound(resource, name);
    checkPreconditions(resource, name, current, options);
    const marked = mark(context, resource, current.object, options);
    const done = await carryOut(context, resource, current, marked, isDryRun("DeleteOptions", options.dryRun ?? []));
    if (done !== undefined) return done;
    if (attempt === maxTries) throw conflict(resource, name);
  }
}

/** Undefined when somebody changed the object meanwhile. */
async function carryOut(
  context: ApiContext,
  resource: Resource,
  current: Found,
  marked: ApiObject,
  dryRun: boolean,
): Promise<Deleted | undefined> {
  if (isReadyToGo(resource, marked)) {
    if (!dryRun && !(await removeObject(context, resource, current))) return undefined;
    return { object: current.object, outcome: "gone" };
  }
  if (marked === current.object || dryRun) return { object: marked, outcome: "waits" };
  const bytes = await overwrite(context, resource, current, marked);
  return bytes === undefined ? undefined : { object: decodeObject(bytes) as ApiObject, outcome: "waits" };
}

/** The object as it is while it waits to go; the same object when nothing changes by that. */
function mark(context: ApiContext, resource: Resource, object: ApiObject, options: DeleteOptions): ApiObject {
  const finalizers = finalizersAfter(object.metadata.finalizers ?? [], options);
  const { deletionTimestamp: since, deletionGracePeriodSeconds: graceBefore } = object.metadata;
  const grace = resource.kind === "Pod" && resource.group === "" ? podGrace(object as Pod, options) : 0;
  const sameFinalizers = finalizers.join() === (object.metadata.finalizers ?? []).join();
  // A second deletion may shorten the time that is left, never lengthen it.
  if (since !== undefined && grace >= (graceBefore ?? 0) && sameFinalizers) return object;
  const { finalizers: _, ...metadata } = object.metadata;
  const shorter = since === undefined || grace < (graceBefore ?? 0);
  const times = shorter
    ? { deletionTimestamp: timestamp(context.clock, grace), deletionGracePeriodSeconds: grace }
    : { deletionTimestamp: since, deletionGracePeriodSeconds: graceBefore ?? 0 };
  const generation = since === undefined && metadata.generation !== undefined ? { generation: metadata.generation + 1 } : {};
  const marked = { ...object, metadata: { ...metadata, ...generation, ...(finalizers.length === 0 ? {} : { finalizers }), ...times } };
  if (resource.kind !== "Namespace") return marked;
  return { ...marked, status: { ...(isRecord(object["status"]) ? object["status"] : {}), phase: "Terminating" } };
}

/** Seconds a pod gets: what is asked for, else its own; none when no node has it or it has ended. */
function podGrace(pod: Pod, options: DeleteOptions): number {
  const { spec, status } = pod;
  if ((spec?.nodeName ?? "") === "" || status?.phase === "Succeeded" || status?.phase === "Failed") return 0;
  return Math.max(0, options.gracePeriodSeconds ?? spec?.terminationGracePeriodSeconds ?? 30);
}

/** Two finalizers say what shall become of dependents; the garbage collector takes them off again. */
function finalizersAfter(finalizers: readonly string[], options: DeleteOptions): readonly string[] {
  const policy =
    options.propagationPolicy ?? (options.orphanDependents === true ? "Orphan" : options.orphanDependents === false ? "Background" : "");
  if (policy === "") return finalizers;
  const others = finalizers.filter((f) => f !== orphan && f !== foreground);
  if (policy === "Orphan") return [...others, orphan];
  return policy === "Foreground" ? [...others, foreground] : others;
}

function checkPreconditions(resource: Resource, name: string, current: Found, { preconditions }: DeleteOptions): void {
  const { uid, resourceVersion } = preconditions ?? {};
  const actual = current.object.metadata.uid ?? "";
  if (uid !== undefined && uid !== actual) {
    throw conflict(resource, name, `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${actual}`);
  }
  if (resourceVersion !== undefined && resourceVersion !== String(current.rev)) {
    throw conflict(
      resource,
      name,
      `Precondition failed: ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${current.rev}`,
    );
  }
}

/** From the body, or from the query as kubectl of old sent them. */
async function optionsOf(call: Call): Promise<DeleteOptions> {
  const given = (await readOptions(call, deleteOptionsType)) as DeleteOptions;
  const grace = call.query.get("gracePeriodSeconds");
  const policy = call.query.get("propagationPolicy");
  const dryRun = call.query.getAll("dryRun");
  return {
    ...given,
    ...(grace === null || given.gracePeriodSeconds !== undefined ? {} : { gracePeriodSeconds: Number(grace) }),
    ...(policy === null || given.propagationPolicy !== undefined ? {} : { propagationPolicy: policy }),
    ...(dryRun.length === 0 ? {} : { dryRun }),
  };
}
