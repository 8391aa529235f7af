import type { DeleteOptions, Status } from "../api/types/meta-v1.generated.ts";
import { ApiError, ClientError } from "./errors.ts";
import { apiVersionOf, type KubeObject, type ObjectName, type Resource, type ResourceOf, type Rev, resourcePath } from "./resource.ts";
import type { ApiRequest, ApiResponse, Transport } from "./transport.ts";

export interface ListOptions {
  /** Absent: all namespaces. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Objects a page; pages are fetched until there is no more. */
  readonly pageSize?: number | undefined;
  readonly resourceVersion?: Rev | undefined;
}

export interface Listed<T> {
  readonly items: readonly T[];
  readonly rev: Rev;
}

export interface WriteOptions {
  readonly subresource?: string | undefined;
  readonly dryRun?: "All" | undefined;
  readonly fieldManager?: string | undefined;
}

export type Patch =
  | { readonly type: "merge" | "strategic"; readonly body: object }
  | { readonly type: "json"; readonly body: readonly { readonly op: string; readonly path: string; readonly value?: unknown }[] };

/** What a delete did: the object with its deletionTimestamp when it goes later, or nothing when it is gone. */
export type Deleted<T> = { readonly kind: "gone" } | { readonly kind: "going"; readonly object: T };

/** Typed calls. Every one rejects with an ApiError for an answer that is not 2xx; without a signal it gives up after 30 s. */
export interface Client {
  readonly transport: Transport;
  get<T>(of: ResourceOf<T>, at: ObjectName, s?: AbortSignal): Promise<T>;
  list<T>(of: ResourceOf<T>, o?: ListOptions, s?: AbortSignal): Promise<Listed<T>>;
  create<T extends KubeObject>(of: ResourceOf<T>, object: T, o?: WriteOptions, s?: AbortSignal): Promise<T>;
  /** Replaces; the object's resourceVersion makes it conditional. */
  update<T extends KubeObject>(of: ResourceOf<T>, object: T, o?: WriteOptions, s?: AbortSignal): Promise<T>;
  updateStatus<T extends KubeObject>(of: ResourceOf<T>, object: T, s?: AbortSignal): Promise<T>;
  patch<T>(of: ResourceOf<T>, at: ObjectName, patch: Patch, o?: WriteOptions, s?: AbortSignal): Promise<T>;
  delete<T>(of: ResourceOf<T>, at: ObjectName, o?: DeleteOptions, s?: AbortSignal): Promise<Deleted<T>>;
  deleteCollection(of: Resource, o: ListOptions, options?: DeleteOptions, s?: AbortSignal): Promise<void>;
  /** For what has a body of its own kind: `pods/binding`, `pods/eviction`, `deployments/scale`, `serviceaccounts/token`. */
  subresource(of: Resource, at: ObjectName, name: string, o: SubresourceCall, s?: AbortSignal): Promise<unknown>;
  /** Any path that answers JSON: `/version`, `/apis`. */
  json(r: ApiRequest, s?: AbortSignal): Promise<unknown>;
}

export interface SubresourceCall {
  readonly method: ApiRequest["method"];
  readonly body?: object;
}

const deadlineMs = 30_000;
const defaultPageSize = 500;
const maxAnswerBytes = 512 * 1024 * 1024;
const patchTypes = {
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  json: "application/json-patch+json",
} as const;

export function createClient(transport: Transport): Client {
  const json = async (r: ApiRequest, s: AbortSignal = AbortSignal.timeout(deadlineMs)): Promise<unknown> => {
    const response = await transport.request(r, s);
    const text = await readText(response);
    if (response.status < 200 || response.status > 299) throw apiError(response, text);
    if (text === "") return undefined;
    return parseJson(text, r.path);
  };
  const write = async (method: ApiRequest["method"], path: string, body: object | undefined, s?: AbortSignal): Promise<unknown> =>
    json({ method, path, ...(body === undefined ? {} : jsonBody(body)) }, s);

  const put = async <T extends KubeObject>(of: ResourceOf<T>, object: T, o: WriteOptions, s?: AbortSignal): Promise<T> => {
    const { namespace, name } = object.metadata ?? {};
    const path = resourcePath(of, { namespace, name: name ?? "", subresource: o.subresource, query: writeQuery(o) });
    return (await write("PUT", path, withKind(of, object), s)) as T;
  };

  return {
    transport,
    json,
    async get(of, at, s) {
      return (await json({ method: "GET", path: resourcePath(of, at) }, s)) as never;
    },
    async list<T>(of: ResourceOf<T>, o: ListOptions = {}, s?: AbortSignal) {
      const items: T[] = [];
      for (let token: string | undefined; ; ) {
        const query = {
          labelSelector: o.labelSelector,
          fieldSelector: o.fieldSelector,
          limit: o.pageSize ?? defaultPageSize,
          continue: token,
          // A continue token carries its own version.
          resourceVersion: token === undefined ? o.resourceVersion : undefined,
        };
        const page = (await json({ method: "GET", path: resourcePath(of, { namespace: o.namespace, query }) }, s)) as {
          readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
          readonly items?: readonly T[] | null;
        };
        for (const item of page.items ?? []) items.push(item);
        token = page.metadata?.continue;
        if (token === undefined || token === "") return { items, rev: page.metadata?.resourceVersion ?? "" };
      }
    },
    async create(of, object, o = {}, s) {
      const { namespace, name } = object.metadata ?? {};
      const at = o.subresource === undefined ? { namespace } : { namespace, name: name ?? "", subresource: o.subresource };
      return (await write("POST", resourcePath(of, { ...at, query: writeQuery(o) }), withKind(of, object), s)) as never;
    },
    update: (of, object, o = {}, s) => put(of, object, o, s),
    updateStatus: (of, object, s) => put(of, object, { subresource: "status" }, s),
    async patch(of, at, patch, o = {}, s) {
      const path = resourcePath(of, { ...at, subresource: o.subresource, query: writeQuery(o) });
      const body = JSON.stringify(patch.body);
      return (await json({ method: "PATCH", path, body, headers: { "content-type": patchTypes[patch.type] } }, s)) as never;
    },
    async delete<T>(of: ResourceOf<T>, at: ObjectName, o?: DeleteOptions, s?: AbortSignal) {
      const answer = await write("DELETE", resourcePath(of, at), o === undefined ? undefined : deleteBody(o), s);
      const object = answer as KubeObject | undefined;
      if (object?.metadata?.deletionTimestamp === undefined || object.kind === "Status") return { kind: "gone" };
      return { kind: "going", object: answer as T };
    },
    async deleteCollection(of, o, options, s) {
      const query = { labelSelector: o.labelSelector, fieldSelector: o.fieldSelector };
      const path = resourcePath(of, { namespace: o.namespace, query });
      await write("DELETE", path, options === undefined ? undefined : deleteBody(options), s);
    },
    async subresource(of, at, name, o, s) {
      return write(o.method, resourcePath(of, { ...at, subresource: name }), o.body, s);
    },
  };
}

function writeQuery(o: WriteOptions): Record<string, string | undefined> {
  return { dryRun: o.dryRun, fieldManager: o.fieldManager };
}

function deleteBody(o: DeleteOptions): object {
  return { apiVersion: "v1", kind: "DeleteOptions", ...o };
}

function withKind(of: Resource, object: KubeObject): object {
  if (object.kind !== undefined && object.apiVersion !== undefined) return object;
  return { apiVersion: apiVersionOf(of), ...(of.kind === undefined ? {} : { kind: of.kind }), ...object };
}

function jsonBody(body: object): Pick<ApiRequest, "body" | "headers"> {
  return { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (e) {
    throw new ClientError("protocol", `the answer to ${path} is not JSON: ${text.slice(0, 100)}`, e);
  }
}

/** The whole body as text. */
export async function readText(response: ApiResponse): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    size += chunk.length;
    if (size > maxAnswerBytes) throw new ClientError("protocol", `an answer of more than ${maxAnswerBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** The error an answer stands for; text that is no Status becomes the message. */
export function apiError(response: ApiResponse, text: string): ApiError {
  const seconds = Number(response.headers["retry-after"]);
  const retryAfter = Number.isFinite(seconds) && response.headers["retry-after"] !== undefined ? seconds : undefined;
  let status: Status = { message: text.trim() === "" ? `HTTP ${response.status}` : text.trim().slice(0, 1000) };
  try {
    const parsed = JSON.parse(text) as Status | null;
    if (parsed?.kind === "Status") status = parsed;
  } catch {
    // Proxies and old servers answer plain text, which is the message already.
  }
  return new ApiError(status, response.status, retryAfter);
}
