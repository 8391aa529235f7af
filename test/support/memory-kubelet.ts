import type { Pod } from "../../src/api/types/core-v1.generated.ts";
import type { Clock } from "../../src/base/clock.ts";
import { createClient } from "../../src/client/client.ts";
import { isConflict, isNotFound } from "../../src/client/errors.ts";
import { startInformer } from "../../src/client/informer.ts";
import { resources } from "../../src/client/resources.ts";
import type { Transport } from "../../src/client/transport.ts";

/** Stands in for nodes (and, with `assign`, for the scheduler): pods become ready at once and end when they are deleted. */
export function startMemoryKubelet(
  transport: Transport,
  o: { readonly assign?: string; readonly ready?: (pod: Pod) => boolean; readonly clock?: Clock } = {},
): { readonly ready: Promise<void>; close(): Promise<void> } {
  const client = createClient(transport);
  const pods = startInformer(transport, resources.pods, { clock: o.clock });
  let next = 1;
  let tail = Promise.resolve();
  const work = async (key: string): Promise<void> => {
    const pod = pods.get(key);
    if (pod === undefined) return;
    const at = { namespace: pod.metadata?.namespace, name: pod.metadata?.name ?? "" };
    if (pod.metadata?.deletionTimestamp !== undefined) {
      await client.delete(resources.pods, at, { gracePeriodSeconds: 0 });
      return;
    }
    if ((pod.spec?.nodeName ?? "") === "") {
      if (o.assign === undefined) return;
      const body = { apiVersion: "v1", kind: "Binding", metadata: { name: at.name }, target: { kind: "Node", name: o.assign } };
      await client.subresource(resources.pods, at, "binding", { method: "POST", body });
      return;
    }
    const status = (o.ready?.(pod) ?? true) ? "True" : "False";
    if (pod.status?.conditions?.find((c) => c.type === "Ready")?.status === status) return;
    const ip = pod.status?.podIP ?? `10.244.0.${next++}`;
    const others = (pod.status?.conditions ?? []).filter((c) => c.type !== "Ready");
    const conditions = [...others, { type: "Ready", status, lastTransitionTime: "2030-01-01T00:00:00Z" }];
    await client.updateStatus(resources.pods, { ...pod, status: { phase: "Running", podIP: ip, podIPs: [{ ip }], conditions } });
  };
  pods.onChange(({ key }) => {
    tail = tail
      .then(() => work(key))
      .catch((e: unknown) => {
        if (!isNotFound(e) && !isConflict(e)) throw e;
      });
  });
  return {
    ready: pods.ready,
    async close() {
      await pods.close();
      await tail;
    },
  };
}

/** Resolves when `done` holds; looks again after each turn of the event loop, so no time passes. Throws after `turns`. */
export async function settled(done: () => boolean | Promise<boolean>, turns = 5000): Promise<void> {
  for (let i = 0; i < turns; i++) {
    if (await done()) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error("it did not settle");
}
