import type { FieldError } from "../field-error.ts";
import type { JsonObject } from "../json-value.ts";
import type { Resource } from "../scheme.ts";
import type { ObjectMeta } from "../types/meta-v1.generated.ts";
import { validateMetadata, validateMetadataUpdate } from "./metadata.ts";
import { dns1035Label, dns1123Label, dns1123Subdomain, pathSegment, type TextCheck } from "./names.ts";

type Named = Pick<Resource, "group" | "kind" | "namespaced">;

/** What is wrong with a new object, defaulted and prepared; empty when it may be stored. */
export function validateCreate(resource: Named, object: JsonObject): readonly FieldError[] {
  return validateMetadata(metadataOf(object), { name: nameRule(resource), namespaced: resource.namespaced });
}

/** What is wrong with an object that is to replace `old`, both defaulted and prepared. */
export function validateUpdate(_resource: Named, object: JsonObject, old: JsonObject): readonly FieldError[] {
  return validateMetadataUpdate(metadataOf(object), metadataOf(old));
}

function nameRule({ kind }: Named): TextCheck {
  if (kind === "Namespace") return dns1123Label;
  if (kind === "Service") return dns1035Label;
  return kind === "Event" || kind === "IPAddress" ? pathSegment : dns1123Subdomain;
}

function metadataOf(object: JsonObject): ObjectMeta {
  return (object["metadata"] ?? {}) as ObjectMeta;
}
