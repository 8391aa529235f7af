import { isRecord } from "../api/json-value.ts";
import type { Pod, PodTemplateSpec } from "../api/types/core-v1.generated.ts";
import { fnv1a } from "../base/hash.ts";
import type { Resource } from "../client/resource.ts";
import { controllerRef, type Owned } from "./owner.ts";

/** Letters and digits without vowels and look-alikes, as generated names have them. */
const alphabet = "bcdfghjklmnpqrstvwxz2456789";
const suffixLength = 5;
/** Room for the suffix within the 63 characters of a label. */
const maxBase = 58;

/** A random name suffix. `random` is in [0, 1). */
export function nameSuffix(random: () => number): string {
  let text = "";
  for (let i = 0; i < suffixLength; i++) text += alphabet[Math.floor(random() * alphabet.length)];
  return text;
}

/** A hash of any JSON value that does not depend on the order of keys, in the letters of generated names. */
export function contentHash(value: unknown, collisions = 0): string {
  const digits = String(fnv1a(`${stableText(value)}#${collisions}`));
  return Array.from(digits, (d) => alphabet[d.charCodeAt(0) % alphabet.length]).join("");
}

function stableText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(stableText).join(",")}]`;
  if (!isRecord(value)) return JSON.stringify(value) ?? "null";
  const parts: string[] = [];
  for (const key of Object.keys(value).sort()) if (value[key] !== undefined) parts.push(`${JSON.stringify(key)}:${stableText(value[key])}`);
  return `{${parts.join(",")}}`;
}

/** A pod made from a template, owned by `owner`. */
export function podFromTemplate(template: PodTemplateSpec | undefined, of: Resource, owner: Owned, suffix: string): Pod {
  const base = `${owner.metadata?.name ?? ""}-`.slice(0, maxBase);
  const { labels, annotations, finalizers } = template?.metadata ?? {};
  return {
    metadata: {
      namespace: owner.metadata?.namespace ?? "",
      name: `${base}${suffix}`,
      generateName: base,
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
      ...(finalizers === undefined ? {} : { finalizers }),
      ownerReferences: [controllerRef(of, owner)],
    },
    ...(template?.spec === undefined ? {} : { spec: template.spec }),
  };
}
