import { expect, test } from "vitest";
import type { Pod } from "../../../src/api/types/core-v1.generated.ts";
import { createClient } from "../../../src/client/client.ts";
import { resources } from "../../../src/client/resources.ts";
import { startScheduler } from "../../../src/scheduler/main.ts";
import { MemoryApi } from "../../support/memory-api.ts";
import { settled } from "../../support/memory-kubelet.ts";

const pod = (name: string, cpu: string, more: object = {}): Pod => ({
  metadata: { namespace: "shop", name },
  spec: { containers: [{ name: "main", resources: { requests: { cpu } } }], ...more },
});

test("pods are bound, wait with a reason, and go on when a node comes or room is made", async () => {
  const api = new MemoryApi();
  const client = createClient(api);
  const running = startScheduler({ transport: api });
  try {
    await running.ready;
    const nodeOf = async (name: string) => (await client.get(resources.pods, { namespace: "shop", name })).spec?.nodeName;
    const conditionOf = async (name: string) => (await client.get(resources.pods, { namespace: "shop", name })).status?.conditions?.[0];
    await client.create(resources.pods, pod("first", "1"));
    await settled(async () => (await conditionOf("first"))?.message === "no nodes available to schedule pods");
    await client.create(resources.nodes, { metadata: { name: "n1" }, status: { allocatable: { cpu: "1" } } });
    await settled(async () => (await nodeOf("first")) === "n1");

    await client.create(resources.pods, pod("second", "500m"));
    await client.create(resources.pods, pod("other", "0", { schedulerName: "mine" }));
    await settled(async () => (await conditionOf("second"))?.message === "0/1 nodes are available: 1 Insufficient cpu.");
    expect(await conditionOf("second")).toMatchObject({ type: "PodScheduled", status: "False", reason: "Unschedulable" });
    await client.delete(resources.pods, { namespace: "shop", name: "first" }, { gracePeriodSeconds: 0 });
    await settled(async () => (await nodeOf("second")) === "n1");
    expect(await nodeOf("other")).toBeUndefined();

    await settled(async () => (await client.list(resources.events)).items.length >= 4);
    const events = (await client.list(resources.events)).items.map((e) => `${e.type} ${e.reason} ${e.message}`);
    expect(events.sort()).toEqual([
      "Normal Scheduled Successfully assigned shop/first to n1",
      "Normal Scheduled Successfully assigned shop/second to n1",
      "Warning FailedScheduling 0/1 nodes are available: 1 Insufficient cpu.",
      "Warning FailedScheduling no nodes available to schedule pods",
    ]);
  } finally {
    await running.close();
  }
});

test("many pods at once never take more than there is", async () => {
  const api = new MemoryApi();
  const client = createClient(api);
  for (const name of ["n1", "n2"]) await client.create(resources.nodes, { metadata: { name }, status: { allocatable: { cpu: "1" } } });
  for (let i = 0; i < 30; i++) await client.create(resources.pods, pod(`p${i}`, "100m"));
  const running = startScheduler({ transport: api });
  try {
    const bound = async () => (await client.list(resources.pods)).items.filter((p) => p.spec?.nodeName !== undefined);
    const refused = async () => (await client.list(resources.pods)).items.filter((p) => p.status?.conditions?.[0]?.status === "False");
    await settled(async () => (await bound()).length + (await refused()).length === 30);
    const counts = new Map<string, number>();
    for (const p of await bound()) counts.set(p.spec?.nodeName ?? "", (counts.get(p.spec?.nodeName ?? "") ?? 0) + 1);
    expect(Object.fromEntries(counts)).toEqual({ n1: 10, n2: 10 });
  } finally {
    await running.close();
  }
});
