import type { Cidr } from "../../base/cidr.ts";
import { resources } from "../../client/resources.ts";
import { objectKey } from "../../snapshot/cluster-snapshot.ts";
import type { Controller } from "../controller.ts";
import { nothingToDo } from "../outcome.ts";
import type { Views } from "../views.ts";
import { addressesOf, isOurs, reconcileLoadBalancer } from "./reconcile.ts";

export function serviceLoadBalancers(views: Views, pool: readonly Cidr[]): Controller {
  const services = views.of(resources.services);
  /** Oldest first: after a restart, as before it, whoever came first keeps what it has. */
  const wanting = (): readonly string[] =>
    [...services.list()]
      .filter((s) => isOurs(s) && s.metadata?.deletionTimestamp === undefined)
      .sort((a, b) => ((a.metadata?.creationTimestamp ?? "") < (b.metadata?.creationTimestamp ?? "") ? -1 : 1))
      .map(objectKey);
  return {
    name: "service-lb-controller",
    // Two Services at once could choose the same address.
    workers: 1,
    needs: [services],
    wire: (add) => [
      services.onChange((c) => {
        add(c.key);
        // An address came free: those who wait for one look again.
        const before = c.before === undefined || !isOurs(c.before) ? 0 : addressesOf(c.before).length;
        const after = c.after === undefined || !isOurs(c.after) ? 0 : addressesOf(c.after).length;
        if (after >= before) return;
        for (const key of wanting()) if (addressesOf(services.get(key) ?? {}).length === 0) add(key);
      }),
    ],
    *keys() {
      yield* wanting();
      for (const s of services.list()) if (!isOurs(s) && addressesOf(s).length > 0) yield objectKey(s);
    },
    reconcile(key) {
      const service = services.get(key);
      if (service === undefined || service.metadata?.deletionTimestamp !== undefined) return nothingToDo;
      if (!isOurs(service) && addressesOf(service).length === 0) return nothingToDo;
      return reconcileLoadBalancer(
        service,
        [...services.list()].filter((s) => s !== service),
        pool,
      );
    },
  };
}
