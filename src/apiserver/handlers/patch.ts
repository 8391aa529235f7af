import { isRecord, type JsonObject } from "../../api/json-value.ts";
import { applyJsonPatch } from "../../api/patch/json-patch.ts";
import { applyMergePatch } from "../../api/patch/merge-patch.ts";
import { applyStrategicMergePatch } from "../../api/patch/strategic-merge-patch.ts";
import { badRequest, unsupportedMediaType } from "../../api/status-error.ts";
import type { Answer } from "../answer.ts";
import { checkObject, mediaTypeOf, readBody } from "../body.ts";
import type { Call } from "../call.ts";
import { updateObject } from "../object-writer.ts";
import type { ApiObject } from "../registry.ts";
import { answerObject } from "./answer-object.ts";
import { targetOf, withMetadata } from "./create.ts";

export type ApplyPatch = (object: JsonObject, patch: unknown) => JsonObject;

const patchTypes = ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"];

/** How the call's body changes an object of `type`; 415 for what is no patch, and for server-side apply, which is not there yet. */
export function patchOf(call: Call, type: string): ApplyPatch {
  switch (mediaTypeOf(call)) {
    case "application/json-patch+json":
      return applyJsonPatch;
    case "application/merge-patch+json":
      return applyMergePatch;
    case "application/strategic-merge-patch+json":
      return (object, patch) => applyStrategicMergePatch(type, object, patch);
    default:
      throw unsupportedMediaType(patchTypes);
  }
}

export async function patch(call: Call): Promise<Answer> {
  const apply = patchOf(call, call.view.resource.type);
  const { value: change } = await readBody(call);
  const bytes = await updateObject(call.context, targetOf(call), (current) => {
    const patched = apply(call.view.show(current.object), change);
    const object = call.view.store(withMetadata(checkObject(call, call.view.resource, patched)));
    // The revision is the client's condition only when the patch names one.
    return namesRevision(change) ? object : unpinned(object);
  });
  return answerObject(call, bytes);
}

function namesRevision(change: unknown): boolean {
  if (Array.isArray(change)) return change.some((op: unknown) => isRecord(op) && op["path"] === "/metadata/resourceVersion");
  const metadata = isRecord(change) ? change["metadata"] : undefined;
  return isRecord(metadata) && metadata["resourceVersion"] !== undefined;
}

export function unpinned(object: ApiObject): ApiObject {
  if (!isRecord(object.metadata)) throw badRequest("metadata must be an object");
  const { resourceVersion: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}
