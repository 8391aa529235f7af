import { notFound } from "../../api/status-error.ts";
import type { Answer } from "../answer.ts";
import type { Call } from "../call.ts";
import { keyOf } from "../registry.ts";
import { answerObject } from "./answer-object.ts";
import { waitForRevision } from "./revision.ts";

export async function getObject(call: Call): Promise<Answer> {
  const { registry } = call.context;
  await waitForRevision(call.context, call.query.get("resourceVersion"));
  const entry = registry.table(call.resource).get(keyOf(call.info.namespace, call.info.name));
  if (entry === undefined) throw notFound(call.resource, call.info.name);
  return answerObject(call, entry.bytes);
}
