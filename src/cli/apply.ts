import { resourceOfKind } from "../api/scheme.ts";
import type { Client } from "../client/client.ts";
import { isAlreadyExists } from "../client/errors.ts";
import type { KubeObject, ResourceOf } from "../client/resource.ts";
import { workError } from "./errors.ts";
import { loadObjects } from "./objects.ts";

/** Creates the objects of files and folders in order, and merges into those that are there. Answers how many. */
export async function applyPaths(client: Client, paths: readonly string[]): Promise<number> {
  const objects = loadObjects(paths);
  for (const { apiVersion, kind, name, namespace, value, source } of objects) {
    const resource = resourceOfKind(apiVersion, kind);
    if (resource === undefined) throw workError(`${source}: ${apiVersion} ${kind}: this API has no such kind`);
    const of: ResourceOf<KubeObject> = resource;
    const at = { name, ...(resource.namespaced ? { namespace: namespace ?? "default" } : {}) };
    const object = { ...value, metadata: { ...(value["metadata"] as object), ...at } } as KubeObject;
    try {
      await client.create(of, object);
    } catch (error) {
      if (!isAlreadyExists(error)) throw workError(`${source}: ${kind} ${name}`, error);
      // Lists are merged by their keys: what the API filled in (a Pod's containers, a Service's node ports) stays.
      await client.patch(of, at, { type: "strategic", body: object });
    }
  }
  return objects.length;
}
