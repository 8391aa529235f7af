import { jsonEqual } from "../../api/json-value.ts";
import type { ObjectMeta, OwnerReference } from "../../api/types/meta-v1.generated.ts";
import { backoffDelay } from "../../base/backoff.ts";
import type { Clock } from "../../base/clock.ts";
import type { Client } from "../../client/client.ts";
import { discoverResources, type ServedResource } from "../../client/discovery.ts";
import { isNotFound } from "../../client/errors.ts";
import { apiVersionOf, type KubeObject, type Resource, resourcePath } from "../../client/resource.ts";
import { objectKey } from "../../snapshot/cluster-snapshot.ts";
import type { Controller } from "../controller.ts";
import { nothingToDo } from "../outcome.ts";
import type { AnyInformer, Views } from "../views.ts";
import {
  type Dependent,
  hasFinalizer,
  isGoing,
  isWaiting,
  type Node,
  type OwnerState,
  orphanFinalizer,
  reconcileDependent,
  reconcileForeground,
  reconcileOrphan,
} from "./reconcile.ts";

type Meta = KubeObject & { readonly metadata?: ObjectMeta };

interface Table {
  readonly of: ServedResource;
  readonly view: AnyInformer;
}

const retry = { first: 100, factor: 2, max: 10_000, jitter: 0 };

/** Watches the metadata of everything the server can delete. */
export function garbageCollector(views: Views, deps: { readonly client: Client; readonly clock: Clock }): Controller {
  const graph = new Graph(views, deps.client);
  return {
    name: "garbage-collector-controller",
    needs: [{ ready: graph.open(deps.clock) }],
    wire: (add) => graph.wire(add),
    keys: () => graph.keys(),
    async reconcile(key, s) {
      const node = graph.find(key);
      if (node === undefined) return nothingToDo;
      if (isGoing(node) && hasFinalizer(node, orphanFinalizer)) return reconcileOrphan(node, graph.dependentsOf(node));
      if (isWaiting(node)) {
        return reconcileForeground(node, await Promise.all(graph.dependentsOf(node).map((d) => graph.dependent(d, s))));
      }
      return reconcileDependent(await graph.dependent(node, s));
    },
  };
}

class Graph {
  readonly #views: Views;
  readonly #client: Client;
  /** By the path of their collection. */
  readonly #tables = new Map<string, Table>();
  /** By `apiVersion/kind`. */
  readonly #kinds = new Map<string, Table>();
  /** Owners that are known to be gone: uids are never used again. */
  readonly #absent = new Set<string>();

  constructor(views: Views, client: Client) {
    this.#views = views;
    this.#client = client;
  }

  /** Asks the server what there is, as often as it takes, and waits for the first list of each kind. */
  async open(clock: Clock): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        const served = await discoverResources(this.#client);
        for (const of of served) if (isCollected(of)) this.#add(of);
        break;
      } catch {
        if (this.#views.closed.aborted) return;
        await clock.sleep(backoffDelay(retry, attempt, 0), this.#views.closed);
      }
    }
    await Promise.all([...this.#tables.values()].map((t) => t.view.ready));
  }

  #add(of: ServedResource): void {
    const table = { of, view: this.#views.metadataOf(of) };
    this.#tables.set(resourcePath(of), table);
    this.#kinds.set(`${apiVersionOf(of)}/${of.kind}`, table);
  }

  wire(add: (key: string) => void): readonly (() => void)[] {
    return [...this.#tables.values()].map(({ of, view }) =>
      view.onChange(({ key, before, after }) => {
        if (after === undefined) for (const d of this.dependentsOf({ of, object: before ?? {} })) add(keyOf(d));
        else if (concerns(before, after)) add(`${resourcePath(of)} ${key}`);
        const left = after?.metadata?.ownerReferences ?? [];
        for (const ref of before?.metadata?.ownerReferences ?? []) {
          if (left.some((r) => jsonEqual(r, ref))) continue;
          // An owner that waits for this one looks again.
          const owner = this.#owner(ref);
          if (owner !== undefined && isWaiting(owner)) add(keyOf(owner));
        }
      }),
    );
  }

  *keys(): Iterable<string> {
    for (const { of, view } of this.#tables.values()) {
      for (const object of view.list()) if (concerns(undefined, object)) yield keyOf({ of, object });
    }
  }

  find(key: string): Node | undefined {
    const [path = "", name = ""] = key.split(" ");
    const table = this.#tables.get(path);
    const object = table?.view.get(name);
    return table === undefined || object === undefined ? undefined : { of: table.of, object };
  }

  dependentsOf(owner: Node): readonly Node[] {
    const uid = owner.object.metadata?.uid;
    if (uid === undefined) return [];
    return [...this.#tables.values()].flatMap(({ of, view }) => view.byIndex("owner", uid).map((object) => ({ of, object })));
  }

  async dependent(node: Node, s: AbortSignal): Promise<Dependent> {
    const refs = node.object.metadata?.ownerReferences ?? [];
    const namespace = node.object.metadata?.namespace;
    const owners = await Promise.all(refs.map((ref) => this.#stateOf(ref, namespace, s)));
    const below = this.dependentsOf(node);
    return { ...node, owners, hasDependents: below.length > 0, mayBeRing: below.some(isWaiting) };
  }

  #owner(ref: OwnerReference): Node | undefined {
    const table = this.#kinds.get(`${ref.apiVersion}/${ref.kind}`);
    const object = table?.view.byIndex("uid", ref.uid)[0];
    return table === undefined || object === undefined ? undefined : { of: table.of, object };
  }

  /** What the views do not have may only not have come yet: kinds have no common order. So the server is asked. */
  async #stateOf(ref: OwnerReference, namespace: string | undefined, s: AbortSignal): Promise<OwnerState> {
    const known = this.#owner(ref);
    if (known !== undefined) return isWaiting(known) ? "waiting" : "solid";
    if (this.#absent.has(ref.uid)) return "absent";
    const table = this.#kinds.get(`${ref.apiVersion}/${ref.kind}`);
    // A kind that is not served, or a namespaced owner of a cluster-scoped object: nobody can say.
    if (table === undefined || (table.of.namespaced && (namespace ?? "") === "")) return "unknown";
    const at = { namespace: table.of.namespaced ? namespace : undefined, name: ref.name };
    try {
      const live = await this.#client.get<Meta>(table.of, at, s);
      if (live.metadata?.uid === ref.uid) return isWaiting({ of: table.of, object: live }) ? "waiting" : "solid";
    } catch (e) {
      if (!isNotFound(e)) throw e;
    }
    if (this.#absent.size > 10_000) this.#absent.clear();
    this.#absent.add(ref.uid);
    return "absent";
  }
}

function isCollected(of: ServedResource): boolean {
  return of.plural !== "events" && ["list", "watch", "delete"].every((verb) => of.verbs.includes(verb));
}

function keyOf({ of, object }: { readonly of: Resource; readonly object: Meta }): string {
  return `${resourcePath(of)} ${objectKey(object)}`;
}

/** Something about who owns it or how it goes is new. Status changes, the most of all, are not. */
function concerns(before: Meta | undefined, after: Meta): boolean {
  const { ownerReferences = [], deletionTimestamp, finalizers = [] } = after.metadata ?? {};
  if (ownerReferences.length === 0 && deletionTimestamp === undefined) return false;
  if (before === undefined) return true;
  return (
    before.metadata?.deletionTimestamp !== deletionTimestamp ||
    (before.metadata?.finalizers ?? []).join() !== finalizers.join() ||
    !jsonEqual(before.metadata?.ownerReferences ?? [], ownerReferences)
  );
}
