import type { Pod } from "../../api/types/core-v1.generated.ts";
import { resources } from "../../client/resources.ts";
import { objectKey } from "../../snapshot/cluster-snapshot.ts";
import type { Controller } from "../controller.ts";
import { nothingToDo } from "../outcome.ts";
import { podsOfService, servicesOfPod } from "../service-pods.ts";
import type { Views } from "../views.ts";
import { endpointsController, endpointsManagedBy, reconcileEndpoints } from "./reconcile.ts";

export function endpoints(views: Views): Controller {
  const services = views.of(resources.services);
  const pods = views.of(resources.pods);
  const objects = views.of(resources.endpoints);
  return {
    name: "endpoint-controller",
    needs: [services, pods, objects],
    // Old readers can wait: the slices of the same change go first.
    workers: 2,
    wire(add) {
      const addServices = (pod: Pod | undefined): void => {
        if (pod !== undefined) for (const key of servicesOfPod(pod, services)) add(key);
      };
      return [
        services.onChange((c) => add(c.key)),
        objects.onChange((c) => add(c.key)),
        pods.onChange((c) => {
          addServices(c.after ?? c.before);
          if (c.before !== undefined && c.after !== undefined && c.before.metadata?.labels !== c.after.metadata?.labels)
            addServices(c.before);
        }),
      ];
    },
    *keys() {
      for (const service of services.list()) yield objectKey(service);
      for (const object of objects.list()) if (services.get(objectKey(object)) === undefined) yield objectKey(object);
    },
    reconcile(key) {
      const service = services.get(key);
      const existing = objects.get(key);
      if (service === undefined) {
        // An Endpoints object that somebody else made, as leader election once did, is left alone.
        const own = existing !== undefined && existing.metadata?.labels?.[endpointsManagedBy] === endpointsController;
        return own ? { writes: [{ kind: "delete", of: resources.endpoints, object: existing }] } : nothingToDo;
      }
      if (service.spec?.type === "ExternalName" || Object.keys(service.spec?.selector ?? {}).length === 0) return nothingToDo;
      return reconcileEndpoints(service, podsOfService(service, pods), existing);
    },
  };
}
