import { createHash } from "node:crypto";
import { resourceOfKind } from "../api/scheme.ts";
import type { Client } from "../client/client.ts";
import { isAlreadyExists } from "../client/errors.ts";
import type { KubeObject, ResourceOf } from "../client/resource.ts";
import { workError } from "./errors.ts";
import { loadObjects } from "./objects.ts";

/** What was last applied, as a hash: a later start with the same manifest leaves the object as it has become since. */
const appliedAnnotation = "fairway/applied";
type Annotated = KubeObject & { readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> } };

/** Creates the objects of files and folders in order, and merges into those that were applied differently; lists are merged by their keys, so what the API filled in stays. Answers how many. */
export async function applyPaths(client: Client, paths: readonly string[]): Promise<number> {
  const objects = loadObjects(paths, "--apply");
  for (const { apiVersion, kind, name, namespace, value, source } of objects) {
    const resource = resourceOfKind(apiVersion, kind);
    if (resource === undefined) throw workError(`${source}: ${apiVersion} ${kind}: this API has no such kind`);
    const of: ResourceOf<Annotated> = resource;
    const at = { name, ...(resource.namespaced ? { namespace: namespace ?? "default" } : {}) };
    const applied = createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 16);
    const metadata = value["metadata"] as Annotated["metadata"];
    const annotations = { ...metadata?.annotations, [appliedAnnotation]: applied };
    const object: Annotated = { ...value, metadata: { ...metadata, ...at, annotations } };
    try {
      await client.create(of, object);
    } catch (error) {
      if (!isAlreadyExists(error)) throw workError(`${source}: ${kind} ${name}`, error);
      const there = await client.get(of, at);
      if (there.metadata?.annotations?.[appliedAnnotation] === applied) continue;
      await client.patch(of, at, { type: "strategic", body: object });
    }
  }
  return objects.length;
}
