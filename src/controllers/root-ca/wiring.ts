import { resources } from "../../client/resources.ts";
import type { Controller } from "../controller.ts";
import { nothingToDo } from "../outcome.ts";
import { rootCaName, type Views } from "../views.ts";
import { reconcileRootCa } from "./reconcile.ts";

export function rootCaPublisher(views: Views, caPem: string): Controller {
  const namespaces = views.of(resources.namespaces);
  const configMaps = views.of(resources.configMaps);
  return {
    name: "root-ca-certificate-publisher",
    needs: [namespaces, configMaps],
    wire: (add) => [
      namespaces.onChange((c) => add(c.key)),
      configMaps.onChange((c) => {
        const meta = (c.after ?? c.before)?.metadata;
        if (meta?.name === rootCaName) add(meta.namespace ?? "");
      }),
    ],
    *keys() {
      for (const namespace of namespaces.list()) yield namespace.metadata?.name ?? "";
    },
    reconcile(key) {
      const namespace = namespaces.get(key);
      return namespace === undefined ? nothingToDo : reconcileRootCa(namespace, configMaps.get(`${key}/${rootCaName}`), caPem);
    },
  };
}
