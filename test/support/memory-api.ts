import { applyStrategicMergePatch } from "../../src/api/patch/strategic-merge-patch.ts";
import { resources as scheme } from "../../src/api/scheme.ts";
import { resources } from "../../src/client/resources.ts";
import type { ApiRequest, ApiResponse, Transport } from "../../src/client/transport.ts";

type Json = Record<string, unknown>;
interface Meta {
  name?: string;
  generateName?: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  finalizers?: string[];
  ownerReferences?: { uid: string }[];
}
export interface StoredObject extends Json {
  metadata: Meta;
}
interface LogEntry {
  readonly rev: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly collection: string;
  readonly object: StoredObject;
  readonly before: StoredObject | undefined;
}
interface Watcher {
  readonly collection: string;
  send(entry: LogEntry): void;
  end(): void;
}

/** An API server's behaviour in memory, for tests of its clients. It knows no kinds: any path of the right shape is a collection. */
export class MemoryApi implements Transport {
  /** Off: answers 422 to sendInitialEvents, as a server without WatchList does. */
  watchList: "on" | "refused" | "ignored" = "on";
  /** Requests in the order they came: `GET /api/v1/pods?…`. */
  readonly requests: string[] = [];
  /** When it returns a response, that is the answer. */
  intercept: ((r: ApiRequest) => ApiResponse | undefined) | undefined;
  now: () => number = () => Date.UTC(2030, 0, 1);
  readonly #objects = new Map<string, StoredObject>();
  readonly #log: LogEntry[] = [];
  readonly #watchers = new Set<Watcher>();
  #rev = 100;
  #compacted = 0;
  #serial = 0;

  get watches(): number {
    return this.#watchers.size;
  }

  /** Ends every open watch, as a restarting server does. */
  endWatches(): void {
    for (const w of [...this.#watchers]) w.end();
  }

  /** Versions before now can no longer be watched from. */
  compact(): void {
    this.#compacted = this.#rev;
    this.#log.length = 0;
  }

  bookmark(): void {
    for (const w of this.#watchers)
      w.send({ rev: this.#rev, type: "BOOKMARK" as never, collection: w.collection, object: { metadata: {} }, before: undefined });
  }

  async request(r: ApiRequest, s: AbortSignal): Promise<ApiResponse> {
    s.throwIfAborted();
    this.requests.push(`${r.method} ${r.path}`);
    await Promise.resolve();
    const intercepted = this.intercept?.(r);
    if (intercepted !== undefined) return intercepted;
    const url = new URL(r.path, "http://memory");
    const discovered = discovery(url.pathname);
    if (discovered !== undefined) return answer(200, discovered);
    const at = parsePath(url.pathname);
    if (at === undefined) return status(404, "NotFound", "the server could not find the requested resource");
    const body =
      r.body === undefined ? undefined : (JSON.parse(typeof r.body === "string" ? r.body : Buffer.from(r.body).toString()) as Json);
    if (r.method === "GET" && at.name === undefined) {
      return url.searchParams.get("watch") === "true" ? this.#watch(at, url.searchParams, s) : this.#list(at, url.searchParams);
    }
    switch (r.method) {
      case "GET": {
        const found = this.#objects.get(keyOf(at));
        return found === undefined ? this.#notFound(at) : answer(200, found);
      }
      case "POST":
        return this.#post(at, body ?? {});
      case "PUT":
      case "PATCH":
        return this.#write(at, r.method, body ?? {}, r.headers?.["content-type"] ?? "");
      case "DELETE":
        return at.name === undefined ? this.#deleteAll(at, url.searchParams) : this.#delete(at, body ?? {});
    }
  }

  #post(at: Path, body: Json): ApiResponse {
    if (at.name !== undefined) {
      const pod = this.#objects.get(keyOf({ ...at, subresource: undefined }));
      if (pod === undefined) return this.#notFound(at);
      if (at.subresource === "binding") {
        const spec = pod["spec"] as Json;
        if (spec["nodeName"] !== undefined && spec["nodeName"] !== "")
          return status(409, "Conflict", `pod ${at.name} is already assigned to node`);
        this.#store(at, { ...pod, spec: { ...spec, nodeName: (body["target"] as Json)["name"] } }, pod);
        return status(201, "", "", "Success");
      }
      if (at.subresource === "eviction") return this.#delete({ ...at, subresource: undefined }, {});
      return status(404, "NotFound", "no such subresource");
    }
    const namespace = this.#objects.get(`api/v1/namespaces|/${at.namespace ?? ""}`);
    if (at.namespace !== undefined && namespace?.metadata.deletionTimestamp !== undefined) return terminating(at.namespace);
    const metadata: Meta = { ...(body["metadata"] as Meta) };
    metadata.name ??= `${metadata.generateName ?? ""}${(++this.#serial).toString(36).padStart(5, "0")}`;
    if (at.namespace !== undefined) metadata.namespace = at.namespace;
    const key = keyOf({ ...at, name: metadata.name });
    if (this.#objects.has(key)) return status(409, "AlreadyExists", `${at.plural} "${metadata.name}" already exists`);
    metadata.uid ??= `uid-${++this.#serial}`;
    metadata.generation = 1;
    metadata.creationTimestamp = stamp(this.now());
    const spec = at.plural === "namespaces" ? { spec: { finalizers: ["kubernetes"] }, status: { phase: "Active" } } : {};
    return answer(201, this.#store({ ...at, name: metadata.name }, { ...spec, ...body, metadata }, undefined));
  }

  #write(at: Path, method: "PUT" | "PATCH", body: Json, type: string): ApiResponse {
    const whole = { ...at, subresource: undefined };
    const before = this.#objects.get(keyOf(whole));
    if (before === undefined) return this.#notFound(at);
    const sent = method === "PUT" ? body : patched(at.plural, before, body, type);
    const rev = (sent["metadata"] as Meta | undefined)?.resourceVersion;
    if (rev !== undefined && rev !== before.metadata.resourceVersion) {
      return status(409, "Conflict", `Operation cannot be fulfilled on ${at.plural} "${at.name}": the object has been modified`);
    }
    const { uid, creationTimestamp, deletionTimestamp, generation } = before.metadata;
    const kept: Meta = { ...(sent["metadata"] as Meta) };
    Object.assign(kept, { uid, creationTimestamp, generation }, deletionTimestamp === undefined ? {} : { deletionTimestamp });
    let after: StoredObject;
    if (at.subresource === "status") after = { ...before, metadata: kept, status: sent["status"] };
    else if (at.subresource === "finalize") after = { ...before, spec: sent["spec"] };
    else {
      after = { ...sent, metadata: kept };
      if (before["status"] !== undefined) after["status"] = before["status"];
      if (JSON.stringify(after["spec"]) !== JSON.stringify(before["spec"])) kept.generation = (generation ?? 0) + 1;
    }
    if (same(after, before)) return answer(200, before);
    const finalizers = after.metadata.finalizers?.length ?? 0;
    const held = ((after["spec"] as { finalizers?: string[] } | undefined)?.finalizers?.length ?? 0) > 0 && at.plural === "namespaces";
    if (
      after.metadata.deletionTimestamp !== undefined &&
      finalizers === 0 &&
      !held &&
      at.subresource !== "status" &&
      !this.#graceful(at, before, {})
    ) {
      return answer(200, this.#remove(whole, after));
    }
    return answer(200, this.#store(whole, after, before));
  }

  #delete(at: Path, options: Json): ApiResponse {
    const before = this.#objects.get(keyOf(at));
    if (before === undefined) return this.#notFound(at);
    const wanted = options["preconditions"] as { uid?: string; resourceVersion?: string } | undefined;
    if (wanted?.uid !== undefined && wanted.uid !== before.metadata.uid)
      return status(409, "Conflict", "the UID in the precondition does not match");
    if (wanted?.resourceVersion !== undefined && wanted.resourceVersion !== before.metadata.resourceVersion) {
      return status(409, "Conflict", "the ResourceVersion in the precondition does not match");
    }
    const finalizers = new Set(before.metadata.finalizers ?? []);
    if (options["propagationPolicy"] === "Foreground") finalizers.add("foregroundDeletion");
    if (options["propagationPolicy"] === "Orphan") finalizers.add("orphan");
    const graceful = this.#graceful(at, before, options);
    const held = at.plural === "namespaces" && ((before["spec"] as { finalizers?: string[] }).finalizers?.length ?? 0) > 0;
    if (finalizers.size === 0 && !graceful && !held) {
      this.#remove(at, before);
      return status(200, "", "", "Success");
    }
    if (before.metadata.deletionTimestamp !== undefined) return answer(200, before);
    const metadata: Meta = { ...before.metadata, deletionTimestamp: stamp(this.now()) };
    if (finalizers.size > 0) metadata.finalizers = [...finalizers];
    const terminating = at.plural === "namespaces" ? { status: { ...(before["status"] as Json), phase: "Terminating" } } : {};
    return answer(200, this.#store(at, { ...before, ...terminating, metadata }, before));
  }

  /** A pod on a node stays until its node says it has ended. */
  #graceful(at: Path, object: StoredObject, options: Json): boolean {
    const spec = object["spec"] as { nodeName?: string } | undefined;
    return at.plural === "pods" && (spec?.nodeName ?? "") !== "" && options["gracePeriodSeconds"] !== 0;
  }

  #deleteAll(at: Path, query: URLSearchParams): ApiResponse {
    for (const [, object] of this.#collection(at, query)) {
      this.#delete({ ...at, namespace: object.metadata.namespace, name: object.metadata.name ?? "" }, {});
    }
    return status(200, "", "", "Success");
  }

  #store(at: Path, object: StoredObject, before: StoredObject | undefined): StoredObject {
    const rev = ++this.#rev;
    const stored = structuredClone({ ...object, metadata: { ...object.metadata, resourceVersion: String(rev) } });
    this.#objects.set(keyOf({ ...at, subresource: undefined }), stored);
    this.#emit({ rev, type: before === undefined ? "ADDED" : "MODIFIED", collection: collectionOf(at), object: stored, before });
    return stored;
  }

  #remove(at: Path, object: StoredObject): StoredObject {
    const rev = ++this.#rev;
    const last = { ...object, metadata: { ...object.metadata, resourceVersion: String(rev) } };
    this.#objects.delete(keyOf(at));
    this.#emit({ rev, type: "DELETED", collection: collectionOf(at), object: last, before: object });
    return last;
  }

  #emit(entry: LogEntry): void {
    this.#log.push(entry);
    for (const w of [...this.#watchers]) if (w.collection === entry.collection) w.send(entry);
  }

  #collection(at: Path, query: URLSearchParams): [string, StoredObject][] {
    const prefix = `${collectionOf(at)}|`;
    return [...this.#objects].filter(([key, o]) => key.startsWith(prefix) && selected(o, at, query)).sort(([a], [b]) => (a < b ? -1 : 1));
  }

  #list(at: Path, query: URLSearchParams): ApiResponse {
    const all = this.#collection(at, query);
    const after = query.get("continue") ?? "";
    const limit = Number(query.get("limit") ?? 0) || all.length;
    const rest = all.filter(([key]) => key > after);
    const page = rest.slice(0, limit);
    const more = rest.length > page.length ? { continue: page.at(-1)?.[0] } : {};
    return answer(200, {
      kind: "List",
      apiVersion: "v1",
      metadata: { resourceVersion: String(this.#rev), ...more },
      items: page.map(([, o]) => o),
    });
  }

  #watch(at: Path, query: URLSearchParams, s: AbortSignal): ApiResponse {
    const initial = query.get("sendInitialEvents") === "true" && this.watchList !== "ignored";
    if (initial && this.watchList === "refused")
      return status(422, "Invalid", "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled");
    const from = Number(query.get("resourceVersion") ?? 0);
    const chunks: string[] = [];
    let wake: (() => void) | undefined;
    let ended = false;
    const push = (type: string, object: unknown): void => {
      chunks.push(`${JSON.stringify({ type, object })}\n`);
      wake?.();
    };
    if (from !== 0 && from < this.#compacted) {
      push("ERROR", {
        kind: "Status",
        apiVersion: "v1",
        status: "Failure",
        reason: "Expired",
        code: 410,
        message: "too old resource version",
      });
      return { status: 200, headers: {}, body: bytes(chunks) };
    }
    const watcher: Watcher = {
      collection: collectionOf(at),
      send(e) {
        if ((e.type as string) === "BOOKMARK") {
          push("BOOKMARK", { kind: "X", metadata: { resourceVersion: String(e.rev) } });
          return;
        }
        const now = e.type !== "DELETED" && selected(e.object, at, query);
        const was = e.before !== undefined && selected(e.before, at, query);
        if (now) push(was ? "MODIFIED" : "ADDED", e.object);
        else if (was) push("DELETED", { ...e.before, metadata: { ...e.before?.metadata, resourceVersion: String(e.rev) } });
      },
      end() {
        ended = true;
        wake?.();
      },
    };
    if (initial || from === 0) {
      for (const [, object] of this.#collection(at, query)) push("ADDED", object);
      if (initial)
        push("BOOKMARK", { metadata: { resourceVersion: String(this.#rev), annotations: { "k8s.io/initial-events-end": "true" } } });
    } else for (const e of this.#log) if (e.rev > from && e.collection === watcher.collection) watcher.send(e);
    this.#watchers.add(watcher);
    s.addEventListener("abort", () => watcher.end(), { once: true });
    const watchers = this.#watchers;
    async function* body(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) {
          const next = chunks.splice(0).join("");
          if (next !== "") yield Buffer.from(next);
          if (s.aborted) throw s.reason;
          if (ended) return;
          if (chunks.length === 0) {
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
          }
        }
      } finally {
        watchers.delete(watcher);
      }
    }
    return { status: 200, headers: {}, body: body() };
  }

  #notFound(at: Path): ApiResponse {
    return status(404, "NotFound", `${at.plural} "${at.name}" not found`);
  }
}

const verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/** What a server says that it serves: the resources that fairway's own code names. */
function discovery(path: string): unknown {
  const rows = Object.values(resources);
  const groups = [...new Set(rows.filter((r) => r.group !== "").map((r) => `${r.group}/${r.version}`))];
  if (path === "/apis") return { kind: "APIGroupList", groups: groups.map((g) => ({ name: g, preferredVersion: { groupVersion: g } })) };
  const groupVersion = path === "/api/v1" ? "v1" : path.replace(/^\/apis\//, "");
  if (groupVersion !== "v1" && !groups.includes(groupVersion)) return undefined;
  const served = rows.filter((r) => (r.group === "" ? r.version : `${r.group}/${r.version}`) === groupVersion);
  return {
    kind: "APIResourceList",
    groupVersion,
    resources: served.map((r) => ({ name: r.plural, kind: r.kind, namespaced: r.namespaced, verbs })),
  };
}

interface Path {
  readonly groupVersion: string;
  readonly namespace: string | undefined;
  readonly plural: string;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

function parsePath(path: string): Path | undefined {
  const m = /^\/(api\/[^/]+|apis\/[^/]+\/[^/]+)(?:\/namespaces\/([^/]+)(?=\/[^/]+))?\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(path);
  if (m === null) return undefined;
  // /api/v1/namespaces/x/finalize is a subresource of a namespace, not a collection in it.
  if (m[2] !== undefined && (m[3] === "finalize" || m[3] === "status") && m[4] === undefined) {
    return { groupVersion: m[1] ?? "", namespace: undefined, plural: "namespaces", name: m[2], subresource: m[3] };
  }
  const name = m[4] === undefined ? undefined : decodeURIComponent(m[4]);
  return { groupVersion: m[1] ?? "", namespace: m[2], plural: m[3] ?? "", name, subresource: m[5] };
}

function collectionOf(at: Path): string {
  return `${at.groupVersion}/${at.plural}`;
}

function keyOf(at: Path): string {
  return `${collectionOf(at)}|${at.namespace ?? ""}/${at.name ?? ""}`;
}

function selected(o: StoredObject, at: Path, query: URLSearchParams): boolean {
  if (at.namespace !== undefined && o.metadata.namespace !== at.namespace) return false;
  for (const part of (query.get("fieldSelector") ?? "").split(",").filter((p) => p !== "")) {
    const [path, want] = part.split("=");
    const got = (path ?? "").split(".").reduce<unknown>((v, f) => (v as Json | undefined)?.[f], o);
    if ((got ?? "") !== want) return false;
  }
  for (const part of (query.get("labelSelector") ?? "").split(",").filter((p) => p !== "")) {
    const [name, want] = part.split("=");
    const got = o.metadata.labels?.[name ?? ""];
    if (want === undefined ? got === undefined : got !== want) return false;
  }
  return true;
}

function patched(plural: string, before: StoredObject, patch: Json, mediaType: string): StoredObject {
  if (mediaType.includes("json-patch")) return jsonPatch(before, patch as unknown as JsonPatch);
  const type = scheme.find((r) => r.plural === plural)?.type;
  if (!mediaType.includes("strategic") || type === undefined) return mergePatch(before, patch);
  return applyStrategicMergePatch(type, before, patch) as StoredObject;
}

function mergePatch(target: StoredObject, patch: Json): StoredObject {
  const merge = (a: unknown, b: unknown): unknown => {
    if (typeof b !== "object" || b === null || Array.isArray(b)) return b;
    const out: Json = typeof a === "object" && a !== null && !Array.isArray(a) ? { ...(a as Json) } : {};
    for (const [k, v] of Object.entries(b as Json)) {
      if (v === null) delete out[k];
      else out[k] = merge(out[k], v);
    }
    return out;
  };
  return merge(target, patch) as StoredObject;
}

type JsonPatch = readonly { op: string; path: string; value?: unknown }[];
function jsonPatch(target: StoredObject, patch: JsonPatch): StoredObject {
  const out = structuredClone(target);
  for (const { op, path, value } of patch) {
    const steps = path
      .slice(1)
      .split("/")
      .map((p) => p.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = steps.pop() ?? "";
    const parent = steps.reduce<Json>((v, f) => v[f] as Json, out);
    if (op === "remove") delete parent[last];
    else parent[last] = value;
  }
  return out;
}

function same(a: StoredObject, b: StoredObject): boolean {
  const bare = (o: StoredObject): string => JSON.stringify(sorted({ ...o, metadata: { ...o.metadata, resourceVersion: undefined } }));
  return bare(a) === bare(b);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([k, v]) => [k, sorted(v)]),
  );
}

async function* bytes(chunks: readonly string[]): AsyncGenerator<Uint8Array> {
  yield Buffer.from(chunks.join(""));
}

function answer(code: number, body: unknown): ApiResponse {
  return { status: code, headers: { "content-type": "application/json" }, body: bytes([JSON.stringify(body)]) };
}

export function status(code: number, reason: string, message: string, outcome = "Failure"): ApiResponse {
  return answer(code, { kind: "Status", apiVersion: "v1", status: outcome, reason, message, code });
}

function terminating(namespace: string): ApiResponse {
  const message = `unable to create new content in namespace ${namespace} because it is being terminated`;
  const details = { causes: [{ reason: "NamespaceTerminating", message, field: "metadata.namespace" }] };
  return answer(403, { kind: "Status", apiVersion: "v1", status: "Failure", reason: "Forbidden", message, details, code: 403 });
}

function stamp(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}
