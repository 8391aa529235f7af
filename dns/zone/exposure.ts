import { matchesSelector } from "../../src/api/selector.ts";
import type { ObjectMeta } from "../../src/api/types/meta-v1.generated.ts";
import type { Batch, Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import type { KubernetesConfig } from "../config/zone-config.ts";

/** Which objects have names. */
export class Exposure {
  readonly #namespaces: ReadonlySet<string> | undefined;
  readonly #config: KubernetesConfig;

  constructor(config: KubernetesConfig) {
    this.#config = config;
    this.#namespaces = config.namespaces === undefined ? undefined : new Set(config.namespaces);
  }

  hasNamespace(snapshot: Snapshot, namespace: string): boolean {
    if (this.#namespaces?.has(namespace) === false) return false;
    const { namespaceLabels } = this.#config;
    if (namespaceLabels === undefined) return true;
    const object = snapshot.tables.Namespace.get(namespace);
    return object !== undefined && matchesSelector(namespaceLabels, object.metadata?.labels);
  }

  hasObject(snapshot: Snapshot, metadata: ObjectMeta | undefined): boolean {
    const { labels } = this.#config;
    if (labels !== undefined && !matchesSelector(labels, metadata?.labels)) return false;
    return this.hasNamespace(snapshot, metadata?.namespace ?? "");
  }

  /** Namespaces that came into sight or went out of it because of their labels. */
  *turned(batch: Batch): Iterable<string> {
    if (this.#config.namespaceLabels === undefined) return;
    for (const namespace of batch.dirty.get("Namespace") ?? [])
      if (this.hasNamespace(batch.before, namespace) !== this.hasNamespace(batch.after, namespace)) yield namespace;
  }
}
