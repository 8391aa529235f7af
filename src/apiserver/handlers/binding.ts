import type { JsonObject } from "../../api/json-value.ts";
import { badRequest, conflict, notFound } from "../../api/status-error.ts";
import type { Binding, Pod } from "../../api/types/core-v1.generated.ts";
import { type Answer, json } from "../answer.ts";
import { readObject } from "../body.ts";
import { type Call, isDryRun, timestamp } from "../call.ts";
import { overwrite } from "../object-writer.ts";
import { keyOf } from "../registry.ts";

const bindingType = { group: "", version: "v1", kind: "Binding", type: "io.k8s.api.core.v1.Binding" };

/** Gives a pod to a node, once. */
export async function bind(call: Call): Promise<Answer> {
  const binding = (await readObject(call, bindingType)) as unknown as Binding;
  const node = binding.target?.name ?? "";
  if (node === "") throw badRequest("target.name: Required value");
  if ((binding.target?.kind ?? "Node") !== "Node") throw badRequest('target.kind: Unsupported value: supported values: "Node", "<empty>"');
  const { name } = call.info;
  const refuse = (why: string): Error => conflict({ group: "", plural: "pods/binding", kind: "Binding" }, name, why);
  const { context, resource } = call;
  for (let bound: Uint8Array | undefined; bound === undefined; ) {
    const current = context.registry.find(resource, keyOf(call.info.namespace, name));
    if (current === undefined) throw notFound(resource, name);
    const pod = current.object as Pod;
    if (pod.metadata?.deletionTimestamp !== undefined) throw refuse(`pod ${name} is being deleted, cannot be assigned to a host`);
    if ((pod.spec?.nodeName ?? "") !== "") throw refuse(`pod ${name} is already assigned to node ${JSON.stringify(pod.spec?.nodeName)}`);
    const uid = binding.metadata?.uid ?? "";
    if (uid !== "" && uid !== pod.metadata?.uid)
      throw refuse(`Precondition failed: UID in precondition: ${uid}, UID in object meta: ${pod.metadata?.uid}`);
    const next = { ...current.object, ...assigned(pod, node, timestamp(context.clock)) };
    bound = isDryRun("CreateOptions", call.query.getAll("dryRun")) ? current.bytes : await overwrite(context, resource, current, next);
  }
  return json({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 }, 201);
}

function assigned(pod: Pod, node: string, now: string): JsonObject {
  const others = (pod.status?.conditions ?? []).filter((c) => c.type !== "PodScheduled");
  return {
    spec: { ...pod.spec, nodeName: node },
    status: {
      ...pod.status,
      conditions: [...others, { type: "PodScheduled", status: "True", lastProbeTime: null, lastTransitionTime: now }],
    },
  };
}
