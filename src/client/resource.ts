/** What a request is about: a row of the API's table of resources. `src/api/scheme.ts` rows fit here. */
export interface Resource {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** Filled into objects that are created without `kind`; items of a list have none on the wire. */
  readonly kind?: string;
}

/** A resource whose objects have the type `T`. The field is never there: it carries the type only. */
export interface ResourceOf<T> extends Resource {
  readonly __object?: T;
}

/** An opaque version of one resource's collection. */
export type Rev = string;

export interface ObjectName {
  /** Absent for cluster-scoped kinds. */
  readonly namespace?: string | undefined;
  readonly name: string;
}

/** The parts of any object that all code may rely on. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata?: {
    readonly name?: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly deletionTimestamp?: string;
  };
}

export interface PathParts {
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
  readonly subresource?: string | undefined;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>> | undefined;
}

/** `apps/v1`, `v1`. */
export function apiVersionOf(r: Resource): string {
  return r.group === "" ? r.version : `${r.group}/${r.version}`;
}

/** `/apis/apps/v1/namespaces/shop/deployments/web/scale?dryRun=All`. Undefined parts of the query are left out. */
export function resourcePath(r: Resource, at: PathParts = {}): string {
  let path = r.group === "" ? `/api/${r.version}` : `/apis/${r.group}/${r.version}`;
  if (r.namespaced && at.namespace !== undefined && at.namespace !== "") path += `/namespaces/${encodeURIComponent(at.namespace)}`;
  path += `/${r.plural}`;
  if (at.name !== undefined) path += `/${encodeURIComponent(at.name)}`;
  if (at.subresource !== undefined) path += `/${at.subresource}`;
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(at.query ?? {})) if (value !== undefined) query.set(key, String(value));
  const text = query.toString();
  return text === "" ? path : `${path}?${text}`;
}

/** Order of two versions of the same resource: decimal numbers of any length. */
export function compareRev(a: Rev, b: Rev): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : a > b ? 1 : 0;
}
