import type { ConfigMap, Secret } from "../api/types/core-v1.generated.ts";
import { type Informer, startInformer } from "../client/informer.ts";
import type { ResourceOf } from "../client/resource.ts";
import { resources } from "../client/resources.ts";
import type { Transport } from "../client/transport.ts";

type Kind = "configMap" | "secret";

interface Watched {
  readonly informer: Informer<ConfigMap> | Informer<Secret>;
  /** Pods that refer to it. */
  readonly users: Set<string>;
}

/**
 * The ConfigMaps and Secrets that this node's pods name, each watched on its own: a node may not read the others, and need not keep them.
 */
export class ObjectWatches {
  readonly #transport: Transport;
  readonly #changed: (podUids: readonly string[]) => void;
  readonly #watched = new Map<string, Watched>();

  /** `changed` gets the pods that refer to what changed. */
  constructor(transport: Transport, changed: (podUids: readonly string[]) => void) {
    this.#transport = transport;
    this.#changed = changed;
  }

  configMap(namespace: string, name: string): ConfigMap | undefined {
    return this.#watched.get(key("configMap", namespace, name))?.informer.get(`${namespace}/${name}`) as ConfigMap | undefined;
  }

  secret(namespace: string, name: string): Secret | undefined {
    return this.#watched.get(key("secret", namespace, name))?.informer.get(`${namespace}/${name}`) as Secret | undefined;
  }

  /** Resolves when all that the pod refers to has been looked up; what it referred to before and no longer does is let go. */
  async use(podUid: string, namespace: string, names: Readonly<Record<Kind, readonly string[]>>, signal: AbortSignal): Promise<void> {
    const wanted = new Set<string>();
    const ready: Promise<void>[] = [];
    for (const kind of ["configMap", "secret"] as const) {
      for (const name of names[kind]) {
        const id = key(kind, namespace, name);
        wanted.add(id);
        const watched = this.#watched.get(id) ?? this.#start(id, kind, namespace, name);
        watched.users.add(podUid);
        if (!watched.informer.synced) ready.push(watched.informer.ready);
      }
    }
    for (const [id, watched] of this.#watched) if (!wanted.has(id)) this.#release(id, watched, podUid);
    if (ready.length === 0) return;
    await Promise.race([Promise.all(ready), rejection(signal)]);
  }

  forget(podUid: string): void {
    for (const [id, watched] of this.#watched) this.#release(id, watched, podUid);
  }

  async close(): Promise<void> {
    const all = [...this.#watched.values()];
    this.#watched.clear();
    await Promise.all(all.map((w) => w.informer.close()));
  }

  #start(id: string, kind: Kind, namespace: string, name: string): Watched {
    const of: ResourceOf<ConfigMap> | ResourceOf<Secret> = kind === "configMap" ? resources.configMaps : resources.secrets;
    const informer = startInformer<ConfigMap & Secret>(this.#transport, of as ResourceOf<ConfigMap & Secret>, {
      namespace,
      fieldSelector: `metadata.name=${name}`,
    });
    const watched: Watched = { informer, users: new Set() };
    informer.onChange(() => this.#changed([...watched.users]));
    this.#watched.set(id, watched);
    return watched;
  }

  #release(id: string, watched: Watched, podUid: string): void {
    if (!watched.users.delete(podUid) || watched.users.size > 0) return;
    this.#watched.delete(id);
    void watched.informer.close();
  }
}

function key(kind: Kind, namespace: string, name: string): string {
  return `${kind}/${namespace}/${name}`;
}

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
