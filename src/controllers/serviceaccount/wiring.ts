import { resources } from "../../client/resources.ts";
import type { Controller } from "../controller.ts";
import { nothingToDo } from "../outcome.ts";
import type { Views } from "../views.ts";
import { reconcileDefaultAccount } from "./reconcile.ts";

export function defaultServiceAccounts(views: Views): Controller {
  const namespaces = views.of(resources.namespaces);
  const accounts = views.of(resources.serviceAccounts);
  return {
    name: "serviceaccount-controller",
    needs: [namespaces, accounts],
    wire: (add) => [
      namespaces.onChange((c) => add(c.key)),
      accounts.onChange((c) => {
        if (c.after === undefined && c.before?.metadata?.name === "default") add(c.before.metadata.namespace ?? "");
      }),
    ],
    *keys() {
      for (const namespace of namespaces.list()) yield namespace.metadata?.name ?? "";
    },
    reconcile(key) {
      const namespace = namespaces.get(key);
      return namespace === undefined ? nothingToDo : reconcileDefaultAccount(namespace, accounts.get(`${key}/default`));
    },
  };
}
