import { apiVersionOf, type Resource, resources, type Subresource } from "../api/scheme.ts";
import { reviews } from "./handlers/review.ts";

/** Kinds that are only asked, never stored. */
const asked: readonly Resource[] = reviews.map((r) => ({
  group: r.group,
  version: "v1",
  kind: r.kind,
  plural: r.plural,
  singular: r.kind.toLowerCase(),
  shortNames: [],
  categories: [],
  namespaced: false,
  type: "",
  verbs: ["create"],
  subresources: [],
  fieldSelectors: [],
}));
const served: readonly Resource[] = [...resources, ...asked];
const groups: readonly string[] = [...new Set(served.map((r) => r.group))].filter((g) => g !== "");

export const discoveryType = "apidiscovery.k8s.io";

/** `/api` as of old: which versions there are. */
export function apiVersions(serverAddress: string): object {
  return { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress }] };
}

/** `/apis` as of old. */
export function groupList(): object {
  return { kind: "APIGroupList", apiVersion: "v1", groups: groups.map(groupOf) };
}

/** `/apis/<group>`; undefined when nobody serves it. */
export function group(name: string): object | undefined {
  return groups.includes(name) ? { kind: "APIGroup", apiVersion: "v1", ...groupOf(name) } : undefined;
}

/** `/api/v1`, `/apis/<group>/<version>`; undefined when nobody serves it. */
export function resourceList(groupName: string, version: string): object | undefined {
  const inGroup = served.filter((r) => r.group === groupName && r.version === version);
  const [first] = inGroup;
  if (first === undefined) return undefined;
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion: apiVersionOf(first),
    resources: inGroup.flatMap((r) => [entryOf(r), ...r.subresources.map((s) => subentryOf(r, s))]),
  };
}

/** All of `/api` or `/apis` at once (v2 of aggregated discovery, which kubectl asks for first). */
export function aggregated(part: "core" | "groups", version: string): object {
  const names = part === "core" ? [""] : groups;
  return {
    kind: "APIGroupDiscoveryList",
    apiVersion: `${discoveryType}/${version}`,
    metadata: {},
    items: names.map((name) => ({
      metadata: { ...(name === "" ? {} : { name }), creationTimestamp: null },
      versions: [{ version: versionOf(name), resources: served.filter((r) => r.group === name).map(discoveryOf), freshness: "Current" }],
    })),
  };
}

function groupOf(name: string): object {
  const version = { groupVersion: `${name}/${versionOf(name)}`, version: versionOf(name) };
  return { name, versions: [version], preferredVersion: version };
}

/** Each group has one. */
function versionOf(groupName: string): string {
  return served.find((r) => r.group === groupName)?.version ?? "v1";
}

function entryOf(r: Resource): object {
  return {
    name: r.plural,
    singularName: r.singular,
    namespaced: r.namespaced,
    kind: r.kind,
    verbs: r.verbs,
    ...(r.shortNames.length === 0 ? {} : { shortNames: r.shortNames }),
    ...(r.categories.length === 0 ? {} : { categories: r.categories }),
  };
}

function subentryOf(r: Resource, s: Subresource): object {
  return {
    name: `${r.plural}/${s.name}`,
    singularName: "",
    namespaced: r.namespaced,
    ...(s.group === undefined ? {} : { group: s.group }),
    ...(s.version === undefined ? {} : { version: s.version }),
    kind: s.kind ?? r.kind,
    verbs: s.verbs,
  };
}

function discoveryOf(r: Resource): object {
  return {
    resource: r.plural,
    responseKind: { group: r.group, version: r.version, kind: r.kind },
    scope: r.namespaced ? "Namespaced" : "Cluster",
    singularResource: r.singular,
    verbs: r.verbs,
    ...(r.shortNames.length === 0 ? {} : { shortNames: r.shortNames }),
    ...(r.categories.length === 0 ? {} : { categories: r.categories }),
    ...(r.subresources.length === 0
      ? {}
      : {
          subresources: r.subresources.map((s) => ({
            subresource: s.name,
            responseKind: { group: s.group ?? r.group, version: s.version ?? r.version, kind: s.kind ?? r.kind },
            verbs: s.verbs,
          })),
        }),
  };
}
