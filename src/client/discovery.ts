import type { APIGroupList, APIResourceList } from "../api/types/meta-v1.generated.ts";
import type { Client } from "./client.ts";
import type { Resource } from "./resource.ts";

/** A resource as the server itself describes it. */
export interface ServedResource extends Resource {
  readonly kind: string;
  readonly verbs: readonly string[];
}

/** All resources of every group's preferred version, without subresources. A group that cannot be read fails the whole. */
export async function discoverResources(client: Client, s?: AbortSignal): Promise<readonly ServedResource[]> {
  const groups = (await client.json({ method: "GET", path: "/apis" }, s)) as APIGroupList;
  const versions = (groups.groups ?? []).map((g) => g.preferredVersion?.groupVersion ?? g.versions?.[0]?.groupVersion);
  const paths = ["/api/v1", ...versions.filter((v) => v !== undefined).map((v) => `/apis/${v}`)];
  const lists = await Promise.all(paths.map((path) => client.json({ method: "GET", path }, s) as Promise<APIResourceList>));
  return lists.flatMap((list) => {
    const [group, version] = list.groupVersion.includes("/") ? list.groupVersion.split("/") : ["", list.groupVersion];
    return (list.resources ?? [])
      .filter((r) => !r.name.includes("/"))
      .map((r) => ({
        group: group ?? "",
        version: version ?? "",
        plural: r.name,
        kind: r.kind,
        namespaced: r.namespaced,
        verbs: r.verbs ?? [],
      }));
  });
}
