import type { Answer } from "../answer.ts";
import { readObject } from "../body.ts";
import { type Call, isDryRun, optionsKindOf } from "../call.ts";
import { createObject, type Target } from "../object-writer.ts";
import type { ApiObject } from "../registry.ts";
import { answerObject } from "./answer-object.ts";

/** What a write of this call is about. */
export function targetOf(call: Call, subresource = call.info.subresource): Target {
  const { resource, info } = call;
  return {
    resource,
    namespace: info.namespace,
    name: info.name,
    subresource,
    dryRun: isDryRun(optionsKindOf(call), call.query.getAll("dryRun")),
  };
}

export async function create(call: Call): Promise<Answer> {
  const object = call.view.store(withMetadata(await readObject(call, call.view.resource)));
  return answerObject(call, await createObject(call.context, targetOf(call), object), 201);
}

export function withMetadata(object: object): ApiObject {
  return "metadata" in object && typeof object.metadata === "object" ? (object as ApiObject) : { ...object, metadata: {} };
}
