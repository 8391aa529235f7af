import type { ObjectMeta } from "../../api/types/meta-v1.generated.ts";
import type { Client } from "../../client/client.ts";
import type { ServedResource } from "../../client/discovery.ts";
import { ApiError } from "../../client/errors.ts";
import type { Remaining } from "./reconcile.ts";

/**
 * Asks everything in a namespace to go, and counts what is still there. Pods first and alone: while they end, what they
 * mount and the policies around them must stay.
 */
export async function deleteContent(
  client: Client,
  namespace: string,
  served: readonly ServedResource[],
  s: AbortSignal,
): Promise<Remaining> {
  const counts = new Map<string, number>();
  const finalizers = new Map<string, number>();
  const failures: string[] = [];
  const all = served.filter((r) => r.namespaced && r.verbs.includes("delete") && r.verbs.includes("list"));
  const isPods = (r: ServedResource): boolean => r.group === "" && r.plural === "pods";
  const visit = async (of: ServedResource): Promise<void> => {
    try {
      // Most kinds have nothing here: a look is cheaper than a delete.
      let left = await list(client, of, namespace, s);
      if (left.some((o) => o.metadata?.deletionTimestamp === undefined)) {
        await deleteAll(client, of, namespace, left, s);
        left = await list(client, of, namespace, s);
      }
      if (left.length > 0) counts.set(`${of.plural}.${of.group}`, left.length);
      for (const object of left) for (const f of object.metadata?.finalizers ?? []) finalizers.set(f, (finalizers.get(f) ?? 0) + 1);
    } catch (e) {
      if (!(e instanceof ApiError)) throw e;
      failures.push(`${of.plural}.${of.group}: ${e.message}`);
    }
  };
  await Promise.all(all.filter(isPods).map(visit));
  if (counts.size === 0 && failures.length === 0) await Promise.all(all.filter((r) => !isPods(r)).map(visit));
  return { counts, finalizers, failures };
}

interface Listed {
  readonly metadata?: ObjectMeta;
}

async function list(client: Client, of: ServedResource, namespace: string, s: AbortSignal): Promise<readonly Listed[]> {
  const { items } = await client.list<Listed>(of, { namespace }, s);
  return items;
}

async function deleteAll(client: Client, of: ServedResource, namespace: string, objects: readonly Listed[], s: AbortSignal): Promise<void> {
  if (of.verbs.includes("deletecollection")) {
    await client.deleteCollection(of, { namespace }, { propagationPolicy: "Background" }, s);
    return;
  }
  for (const object of objects) await client.delete(of, { namespace, name: object.metadata?.name ?? "" }, undefined, s);
}
