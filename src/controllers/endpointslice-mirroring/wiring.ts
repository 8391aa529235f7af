import type { EndpointSlice } from "../../api/types/discovery-v1.generated.ts";
import { resources } from "../../client/resources.ts";
import { objectKey, serviceOfSlice } from "../../snapshot/cluster-snapshot.ts";
import type { Controller } from "../controller.ts";
import { managedByLabel } from "../endpointslice/reconcile.ts";
import type { Views } from "../views.ts";
import { mirroringController, reconcileMirror } from "./reconcile.ts";

const skipMirror = "endpointslice.kubernetes.io/skip-mirror";
const leaderAnnotation = "control-plane.alpha.kubernetes.io/leader";

export function endpointSliceMirroring(views: Views): Controller {
  const services = views.of(resources.services);
  const objects = views.of(resources.endpoints);
  const slices = views.of(resources.endpointSlices);
  const managed = (s: EndpointSlice): boolean => s.metadata?.labels?.[managedByLabel] === mirroringController;
  return {
    name: "endpointslicemirroring-controller",
    workers: 2,
    needs: [services, objects, slices],
    wire: (add) => [
      services.onChange((c) => add(c.key)),
      objects.onChange((c) => add(c.key)),
      slices.onChange((c) => {
        const slice = c.after ?? c.before;
        const service = slice !== undefined && managed(slice) ? serviceOfSlice(slice) : undefined;
        if (service !== undefined) add(service);
      }),
    ],
    *keys() {
      for (const object of objects.list()) yield objectKey(object);
      for (const slice of slices.list()) {
        const service = managed(slice) ? serviceOfSlice(slice) : undefined;
        if (service !== undefined) yield service;
      }
    },
    reconcile(key) {
      const object = objects.get(key);
      const service = services.get(key);
      const own = slices.byIndex("service", key).filter(managed);
      const mirrored =
        object !== undefined &&
        service !== undefined &&
        Object.keys(service.spec?.selector ?? {}).length === 0 &&
        object.metadata?.deletionTimestamp === undefined &&
        object.metadata?.labels?.[skipMirror] !== "true" &&
        object.metadata?.annotations?.[leaderAnnotation] === undefined;
      if (!mirrored) return { writes: own.map((slice) => ({ kind: "delete", of: resources.endpointSlices, object: slice })) };
      return reconcileMirror(object, own);
    },
  };
}
