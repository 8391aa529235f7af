import { isRecord, type JsonObject } from "../../api/json-value.ts";
import { labelSelectorOf, printLabelSelector } from "../../api/selector.ts";
import { invalid, notFound } from "../../api/status-error.ts";
import { tableOf } from "../../api/table/table-of.ts";
import type { LabelSelector } from "../../api/types/meta-v1.generated.ts";
import { decodeObject } from "../../store/object-bytes.ts";
import { type Answer, json } from "../answer.ts";
import { checkObject, readBody, readObject } from "../body.ts";
import type { Call } from "../call.ts";
import { updateObject } from "../object-writer.ts";
import { type ApiObject, keyOf } from "../registry.ts";
import { formFor } from "./answer-object.ts";
import { targetOf } from "./create.ts";
import { patchOf } from "./patch.ts";
import { waitForRevision } from "./revision.ts";

const scaleType = { group: "autoscaling", version: "v1", kind: "Scale", type: "io.k8s.api.autoscaling.v1.Scale" };

/** Deployments, ReplicaSets and StatefulSets as one number that may be changed. */
export async function scale(call: Call): Promise<Answer> {
  const { info, resource, context } = call;
  if (info.verb === "get") {
    await waitForRevision(context, call.query.get("resourceVersion"));
    const found = context.registry.find(resource, keyOf(info.namespace, info.name));
    if (found === undefined) throw notFound(resource, info.name);
    return answerScale(call, found.object);
  }
  const next = await nextScale(call);
  const bytes = await updateObject(context, targetOf(call, ""), (current) => {
    const wanted = next(scaleOf(current.object));
    const replicas = isRecord(wanted["spec"]) ? wanted["spec"]["replicas"] : undefined;
    const count = typeof replicas === "number" ? replicas : 0;
    if (count < 0) throw negative(call, count);
    const version = isRecord(wanted["metadata"]) ? wanted["metadata"]["resourceVersion"] : undefined;
    const { resourceVersion: _, ...metadata } = current.object.metadata;
    return {
      ...current.object,
      metadata: { ...metadata, ...(typeof version === "string" && version !== "" ? { resourceVersion: version } : {}) },
      spec: { ...(isRecord(current.object["spec"]) ? current.object["spec"] : {}), replicas: count },
    };
  });
  return answerScale(call, decodeObject(bytes) as ApiObject);
}

function answerScale(call: Call, object: ApiObject): Answer {
  const form = formFor(call);
  if (form.kind !== "table") return json(scaleOf(object));
  const { resourceVersion } = object.metadata;
  return json({ ...tableOf(scaleType, [scaleOf(object)], form.now, form.choice), metadata: { resourceVersion } });
}

async function nextScale(call: Call): Promise<(current: JsonObject) => JsonObject> {
  if (call.info.verb === "update") {
    const given = await readObject(call, scaleType);
    return () => given;
  }
  const apply = patchOf(call, scaleType.type);
  const { value } = await readBody(call);
  const pinned = isRecord(value) && isRecord(value["metadata"]) && value["metadata"]["resourceVersion"] !== undefined;
  return (current) => {
    const patched = checkObject(call, scaleType, apply(current, value));
    if (pinned || !isRecord(patched["metadata"])) return patched;
    return { ...patched, metadata: { ...patched["metadata"], resourceVersion: undefined } };
  };
}

function negative(call: Call, count: number): Error {
  const named = { group: "autoscaling", plural: "scales", kind: "Scale" };
  return invalid(named, call.info.name, [
    { type: "Invalid", field: "spec.replicas", badValue: count, detail: "must be greater than or equal to 0" },
  ]);
}

function scaleOf(object: ApiObject): JsonObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const spec = isRecord(object["spec"]) ? object["spec"] : {};
  const status = isRecord(object["status"]) ? object["status"] : {};
  const selector = printLabelSelector(labelSelectorOf(spec["selector"] as LabelSelector | undefined));
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: spec["replicas"] ?? 0 },
    status: { replicas: status["replicas"] ?? 0, ...(selector === "" ? {} : { selector }) },
  };
}
