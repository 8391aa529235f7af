import type { ConfigMap, Pod, Service } from "../api/types/core-v1.generated.ts";
import type { EndpointSlice } from "../api/types/discovery-v1.generated.ts";
import type { ObjectMeta } from "../api/types/meta-v1.generated.ts";
import type { Clock } from "../base/clock.ts";
import { type Informer, startInformer, withoutManagedFields } from "../client/informer.ts";
import { type KubeObject, type Resource, type ResourceOf, resourcePath } from "../client/resource.ts";
import { resources } from "../client/resources.ts";
import type { Transport } from "../client/transport.ts";
import { serviceOfSlice } from "../snapshot/cluster-snapshot.ts";

/** Any informer, for those who only wait for it or read metadata. */
export type AnyInformer = Informer<KubeObject & { readonly metadata?: ObjectMeta }>;

/** One informer a resource, shared by all controllers, started when first asked for. */
export interface Views {
  of<T extends KubeObject>(of: ResourceOf<T>): Informer<T>;
  /** The same for those who read metadata only: less is kept, unless somebody has asked for the whole before. */
  metadataOf(of: Resource): AnyInformer;
  assume(of: Resource, object: KubeObject): void;
  assumeGone(of: Resource, object: KubeObject): void;
  /** Aborts when they are closed: for waits that belong to them. */
  readonly closed: AbortSignal;
  close(): Promise<void>;
}

export interface ViewsOptions {
  readonly clock: Clock;
  readonly onFailure?: (of: Resource, error: unknown, retryInMs: number) => void;
}

type Indexers<T> = Readonly<Record<string, (object: T) => readonly string[]>>;

/** Indexes that every resource has: by namespace, by the uid of its controller, by the uid of any owner, by its own uid. */
const commonIndexers: Indexers<{ readonly metadata?: ObjectMeta }> = {
  namespace: (o) => [o.metadata?.namespace ?? ""],
  controller: (o) => (o.metadata?.ownerReferences ?? []).filter((r) => r.controller === true).map((r) => r.uid),
  owner: (o) => [...new Set((o.metadata?.ownerReferences ?? []).map((r) => r.uid))],
  /** Those without a controller, by namespace: what a controller may adopt. */
  orphan: (o) => ((o.metadata?.ownerReferences ?? []).some((r) => r.controller === true) ? [] : [o.metadata?.namespace ?? ""]),
  uid: (o) => (o.metadata?.uid === undefined ? [] : [o.metadata.uid]),
};

/** `namespace/label=value`: one bucket a label pair. */
export function labelPair(namespace: string, name: string, value: string): string {
  return `${namespace}/${name}=${value}`;
}

const podIndexers: Indexers<Pod> = {
  node: (o) => (o.spec?.nodeName === undefined || o.spec.nodeName === "" ? [] : [o.spec.nodeName]),
  label: (o) => Object.entries(o.metadata?.labels ?? {}).map(([k, v]) => labelPair(o.metadata?.namespace ?? "", k, v)),
};

const serviceIndexers: Indexers<Service> = {
  /** One pair of the selector is enough to find candidates; which one does not matter. */
  selector: (o) => {
    const pair = Object.entries(o.spec?.selector ?? {})[0];
    return pair === undefined ? [] : [labelPair(o.metadata?.namespace ?? "", pair[0], pair[1])];
  },
};

const sliceIndexers: Indexers<EndpointSlice> = {
  service: (o) => {
    const service = serviceOfSlice(o);
    return service === undefined ? [] : [service];
  },
};

interface Special {
  readonly indexers?: unknown;
  /** Keeps less than the whole object. */
  readonly project?: (o: never) => unknown;
}

/** Of Secrets no controller reads more than metadata, of ConfigMaps the content of one name. */
const special = new Map<string, Special>([
  [keyOf(resources.pods), { indexers: podIndexers }],
  [keyOf(resources.services), { indexers: serviceIndexers }],
  [keyOf(resources.endpointSlices), { indexers: sliceIndexers }],
  [keyOf(resources.secrets), { project: metadataOnly }],
  [
    keyOf(resources.configMaps),
    {
      project: (o: ConfigMap) => (o.metadata?.name === rootCaName ? withoutManagedFields(o) : metadataOnly(o)),
    },
  ],
]);

/** The ConfigMap in every namespace that holds the cluster's CA. */
export const rootCaName = "kube-root-ca.crt";

export function createViews(transport: Transport, o: ViewsOptions): Views {
  const informers = new Map<string, AnyInformer>();
  const closing = new AbortController();
  const start = (of: Resource, fallback?: Special): AnyInformer => {
    const { indexers, project } = special.get(keyOf(of)) ?? fallback ?? {};
    return startInformer(transport, of as ResourceOf<KubeObject>, {
      clock: o.clock,
      indexers: { ...commonIndexers, ...(indexers as Indexers<KubeObject> | undefined) },
      ...(project === undefined ? {} : { project: project as (o: unknown) => KubeObject }),
      onFailure: (error, retryInMs) => o.onFailure?.(of, error, retryInMs),
    }) as AnyInformer;
  };
  return {
    of<T extends KubeObject>(of: ResourceOf<T>): Informer<T> {
      const key = keyOf(of);
      const known = informers.get(key) ?? start(of);
      informers.set(key, known);
      return known as unknown as Informer<T>;
    },
    metadataOf(of) {
      const key = keyOf(of);
      const known = informers.get(key) ?? start(of, { project: metadataOnly });
      informers.set(key, known);
      return known;
    },
    assume: (of, object) => informers.get(keyOf(of))?.assume(object as never),
    assumeGone: (of, object) => informers.get(keyOf(of))?.assumeGone(object as never),
    closed: closing.signal,
    async close() {
      closing.abort(new Error("closed"));
      await Promise.all([...informers.values()].map((i) => i.close()));
    },
  };
}

function metadataOnly(o: KubeObject): KubeObject {
  const { metadata } = withoutManagedFields(o);
  return metadata === undefined ? {} : { metadata };
}

function keyOf(of: Resource): string {
  return resourcePath(of);
}
