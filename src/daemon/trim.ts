import type { ConfigMap, Pod, Secret, Service } from "../api/types/core-v1.generated.ts";
import type { Endpoint, EndpointConditions, EndpointSlice } from "../api/types/discovery-v1.generated.ts";
import type { ObjectMeta } from "../api/types/meta-v1.generated.ts";
import type { Kind, SnapshotKinds } from "../snapshot/cluster-snapshot.ts";

/**
 * What a dataplane keeps of an object: no nulls, which say the same as an absent field; no managed fields, no last-applied copy, no owner references; of Secrets only
 * those kinds that an Ingress can name, of ConfigMaps what may be settings. Ten thousand Services fit an agent's memory that way.
 * `text` is the JSON it came in, where that is known: most have no null in it, and need not be searched for one.
 */
export function trimObject<K extends Kind>(kind: K, given: SnapshotKinds[K], text?: string): SnapshotKinds[K] {
  const object = text?.includes("null") === false ? given : withoutNulls(given);
  const { metadata } = object;
  if (metadata === undefined) return object;
  const trimmed = { ...object, metadata: trimMetadata(metadata) };
  if (kind === "EndpointSlice") return trimSlice(trimmed as EndpointSlice) as SnapshotKinds[K];
  if (kind === "Pod") return trimPod(trimmed as Pod) as SnapshotKinds[K];
  if (kind === "Service") return trimService(trimmed as Service) as SnapshotKinds[K];
  if (kind === "ConfigMap") return trimConfigMap(trimmed as ConfigMap) as SnapshotKinds[K];
  if (kind !== "Secret") return trimmed;
  const secret = trimmed as Secret;
  if (secret.type === "kubernetes.io/tls" || secret.type === "Opaque" || secret.type === undefined) return trimmed;
  const { data: _, ...rest } = secret;
  return rest as SnapshotKinds[K];
}

/** Longer texts are files of programs, not settings, headers or keys. */
const longestText = 64 * 1024;

/** The one of each namespace that holds the cluster's certificate is nobody's settings; nor is what is not text. */
function trimConfigMap({ data, binaryData: _, ...rest }: ConfigMap): ConfigMap {
  if (data === undefined || data === null || rest.metadata?.name === "kube-root-ca.crt") return rest;
  return { ...rest, data: Object.fromEntries(Object.entries(data).filter(([, text]) => text.length <= longestText)) };
}

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration";

function trimMetadata(m: ObjectMeta): ObjectMeta {
  const { managedFields: _, ownerReferences: __, annotations, ...rest } = m;
  if (annotations === undefined) return rest;
  if (!Object.hasOwn(annotations, lastApplied)) return { ...rest, annotations };
  const { [lastApplied]: ___, ...others } = annotations;
  return { ...rest, annotations: others };
}

/** Names of addresses are made of Pods, and nothing else: which it has, and whether it has them still. */
function trimPod({ metadata, spec, status }: Pod): Pod {
  const { name, namespace, resourceVersion, deletionTimestamp, labels } = metadata ?? {};
  return {
    metadata: {
      ...(name === undefined ? {} : { name }),
      ...(namespace === undefined ? {} : { namespace: share(namespace) }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
      ...(labels === undefined ? {} : { labels }),
    },
    ...(spec?.hostNetwork === true ? { spec: { containers: [], hostNetwork: true } } : {}),
    status: {
      ...(status?.phase === undefined ? {} : { phase: share(status.phase) }),
      ...(status?.podIP === undefined ? {} : { podIP: status.podIP }),
      ...((status?.podIPs?.length ?? 0) < 2 ? {} : { podIPs: status?.podIPs ?? [] }),
    },
  };
}

function trimService({ apiVersion: _, kind: __, status, ...service }: Service): Service {
  const { spec } = service;
  const kept = status?.loadBalancer?.ingress === undefined ? service : { ...service, status };
  if (spec === undefined) return kept;
  const { ipFamilyPolicy: ___, ...rest } = spec;
  // the first is the same text
  const [, ...others] = spec.clusterIPs ?? [];
  if (spec.clusterIP === undefined || spec.clusterIPs?.[0] !== spec.clusterIP) return { ...kept, spec: rest };
  return { ...kept, spec: { ...rest, clusterIPs: [spec.clusterIP, ...others] } };
}

/** Of the object an endpoint is of, only the name says anything about where packets go: weights are by it. */
function trimSlice({ apiVersion: _, kind: __, metadata, ...slice }: EndpointSlice): EndpointSlice {
  const { creationTimestamp: ___, generation: ____, generateName: _____, ...kept } = metadata ?? {};
  return { ...slice, metadata: kept, ...(slice.endpoints === undefined ? {} : { endpoints: slice.endpoints.map(trimEndpoint) }) };
}

function trimEndpoint({ targetRef, deprecatedTopology: _, conditions, nodeName, zone, ...rest }: Endpoint): Endpoint {
  return {
    ...rest,
    ...(conditions === undefined ? {} : { conditions: shareConditions(conditions) }),
    ...(nodeName === undefined ? {} : { nodeName: share(nodeName) }),
    ...(zone === undefined ? {} : { zone: share(zone) }),
    ...(targetRef?.name === undefined ? {} : { targetRef: { name: targetRef.name } }),
  };
}

/** More than any cluster has nodes and zones; then it begins anew. */
const mostTexts = 20_000;
const texts = new Map<string, string>();

/** The one that was kept of equal texts: each event brings its own copy of the name of a node. */
function share(text: string): string {
  const known = texts.get(text);
  if (known !== undefined) return known;
  if (texts.size >= mostTexts) texts.clear();
  texts.set(text, text);
  return text;
}

const shared = new Map<string, EndpointConditions>();

/** Of the few combinations there are, each is kept once. */
function shareConditions(c: EndpointConditions): EndpointConditions {
  const key = `${c.ready}${c.serving}${c.terminating}`;
  const known = shared.get(key);
  if (known !== undefined) return known;
  shared.set(key, c);
  return c;
}

/** Servers written in Go say null for a list that is empty. An object without one, as nearly all are, is not copied. */
function withoutNulls<T extends object>(value: T): T {
  if (!holdsNull(value)) return value;
  if (Array.isArray(value))
    return value.flatMap((item: unknown) => (item === null ? [] : [isObject(item) ? withoutNulls(item) : item])) as T;
  const kept = Object.entries(value).filter(([, item]) => item !== null);
  return Object.fromEntries(kept.map(([name, item]: [string, unknown]) => [name, isObject(item) ? withoutNulls(item) : item])) as T;
}

function holdsNull(value: object): boolean {
  for (const name in value) {
    const item: unknown = (value as Readonly<Record<string, unknown>>)[name];
    if (item === null || (isObject(item) && holdsNull(item))) return true;
  }
  return false;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
