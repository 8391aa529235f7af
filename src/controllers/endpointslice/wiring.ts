import type { Pod } from "../../api/types/core-v1.generated.ts";
import type { EndpointSlice } from "../../api/types/discovery-v1.generated.ts";
import { resources } from "../../client/resources.ts";
import { objectKey, serviceOfSlice } from "../../snapshot/cluster-snapshot.ts";
import type { Controller } from "../controller.ts";
import { nothingToDo } from "../outcome.ts";
import { podsOfService, servicesOfPod } from "../service-pods.ts";
import type { Views } from "../views.ts";
import { endpointSliceController, managedByLabel, reconcileEndpointSlices } from "./reconcile.ts";

const zoneLabel = "topology.kubernetes.io/zone";

export function endpointSlices(views: Views): Controller {
  const services = views.of(resources.services);
  const pods = views.of(resources.pods);
  const nodes = views.of(resources.nodes);
  const slices = views.of(resources.endpointSlices);
  const managed = (s: EndpointSlice): boolean => s.metadata?.labels?.[managedByLabel] === endpointSliceController;
  return {
    name: "endpointslice-controller",
    needs: [services, pods, nodes, slices],
    wire(add) {
      const addServices = (pod: Pod | undefined): void => {
        if (pod !== undefined) for (const key of servicesOfPod(pod, services)) add(key);
      };
      return [
        services.onChange((c) => add(c.key)),
        pods.onChange((c) => {
          addServices(c.after ?? c.before);
          if (c.before !== undefined && c.after !== undefined && c.before.metadata?.labels !== c.after.metadata?.labels)
            addServices(c.before);
        }),
        nodes.onChange((c) => {
          if (c.before?.metadata?.labels?.[zoneLabel] === c.after?.metadata?.labels?.[zoneLabel]) return;
          for (const pod of pods.byIndex("node", c.key)) addServices(pod);
        }),
        slices.onChange((c) => {
          const slice = c.after ?? c.before;
          const service = slice !== undefined && managed(slice) ? serviceOfSlice(slice) : undefined;
          if (service !== undefined) add(service);
        }),
      ];
    },
    *keys() {
      for (const service of services.list()) yield objectKey(service);
      // Slices whose Service went while nobody watched.
      for (const slice of slices.list()) {
        const service = managed(slice) ? serviceOfSlice(slice) : undefined;
        if (service !== undefined && services.get(service) === undefined) yield service;
      }
    },
    reconcile(key) {
      const service = services.get(key);
      const own = slices.byIndex("service", key).filter(managed);
      if (service === undefined) return { writes: own.map((object) => ({ kind: "delete", of: resources.endpointSlices, object })) };
      // Without a selector the slices are somebody else's business.
      if (service.spec?.type === "ExternalName" || Object.keys(service.spec?.selector ?? {}).length === 0) return nothingToDo;
      if (service.metadata?.deletionTimestamp !== undefined) return nothingToDo;
      return reconcileEndpointSlices({ service, pods: podsOfService(service, pods), node: (n) => nodes.get(n), slices: own });
    },
  };
}
