import type { Clock } from "../../base/clock.ts";
import type { Client } from "../../client/client.ts";
import { discoverResources, type ServedResource } from "../../client/discovery.ts";
import { resources } from "../../client/resources.ts";
import type { Controller } from "../controller.ts";
import { nothingToDo } from "../outcome.ts";
import type { Views } from "../views.ts";
import { deleteContent } from "./content.ts";
import { isGoing, reconcileNamespace } from "./reconcile.ts";

export interface NamespaceDeps {
  readonly client: Client;
  readonly clock: Clock;
  /** What the server serves; asked again for each namespace, because kinds come and go. */
  readonly discover?: (client: Client, s: AbortSignal) => Promise<readonly ServedResource[]>;
}

export function namespaceDeletion(views: Views, deps: NamespaceDeps): Controller {
  const namespaces = views.of(resources.namespaces);
  const pods = views.of(resources.pods);
  return {
    name: "namespace-controller",
    needs: [namespaces, pods],
    wire: (add) => [
      namespaces.onChange((c) => add(c.key)),
      // The last pod's end is what most deletions wait for.
      pods.onChange((c) => {
        const name = c.after === undefined ? (c.before?.metadata?.namespace ?? "") : "";
        const namespace = namespaces.get(name);
        if (namespace !== undefined && isGoing(namespace) && pods.count("namespace", name) === 0) add(name);
      }),
    ],
    *keys() {
      for (const namespace of namespaces.list()) yield namespace.metadata?.name ?? "";
    },
    async reconcile(key, s) {
      const namespace = namespaces.get(key);
      if (namespace === undefined || !isGoing(namespace)) return nothingToDo;
      const served = await (deps.discover ?? discoverResources)(deps.client, s);
      return reconcileNamespace(namespace, await deleteContent(deps.client, key, served, s), deps.clock.now());
    },
  };
}
