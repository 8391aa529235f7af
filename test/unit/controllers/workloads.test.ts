import { afterEach, beforeEach, expect, test } from "vitest";
import type { DaemonSet, Deployment, StatefulSet } from "../../../src/api/types/apps-v1.generated.ts";
import type { Pod } from "../../../src/api/types/core-v1.generated.ts";
import type { Running } from "../../../src/base/running.ts";
import { type Client, createClient } from "../../../src/client/client.ts";
import { startInformer } from "../../../src/client/informer.ts";
import { resources } from "../../../src/client/resources.ts";
import { startControllers } from "../../../src/controllers/main.ts";
import { startScheduler } from "../../../src/scheduler/main.ts";
import { MemoryApi } from "../../support/memory-api.ts";
import { settled, startMemoryKubelet } from "../../support/memory-kubelet.ts";

let api: MemoryApi;
let client: Client;
let running: { close(): Promise<void> }[];
let unready: (pod: Pod) => boolean;

beforeEach(async () => {
  api = new MemoryApi();
  client = createClient(api);
  unready = () => false;
  const controllers: Running = startControllers({ transport: api, clusterCidrs: [], lbPool: [], rootCaPem: "CA" });
  const scheduler = startScheduler({ transport: api });
  running = [startMemoryKubelet(api, { ready: (pod) => !unready(pod) }), scheduler, controllers];
  await Promise.all([controllers.ready, scheduler.ready]);
  for (const name of ["n1", "n2", "n3"]) {
    await client.create(resources.nodes, { metadata: { name }, status: { allocatable: { cpu: "4", memory: "8Gi", pods: "110" } } });
  }
});

afterEach(async () => {
  for (const r of running) await r.close();
  expect(api.watches).toBe(0);
});

const template = (image: string) => ({ metadata: { labels: { app: "x" } }, spec: { containers: [{ name: "main", image }] } });
const meta = (name: string) => ({ namespace: "shop", name });
const pods = async (): Promise<readonly Pod[]> => (await client.list(resources.pods, { namespace: "shop" })).items;
const images = async (): Promise<string> =>
  (await pods())
    .map((p) => `${p.metadata?.name}=${p.spec?.containers?.[0]?.image}`)
    .sort()
    .join(" ");
const setImage = (of: typeof resources.statefulSets | typeof resources.daemonSets, name: string, image: string) =>
  client.patch<unknown>(of, meta(name), { type: "merge", body: { spec: { template: template(image) } } });

const store = (more: Partial<NonNullable<StatefulSet["spec"]>> = {}): StatefulSet => ({
  metadata: meta("store"),
  spec: { replicas: 3, serviceName: "store", selector: { matchLabels: { app: "x" } }, template: template("v1"), ...more },
});

test("a StatefulSet starts its members in order, each after the one before is ready, with names of their own", async () => {
  unready = (pod) => pod.metadata?.name === "store-1";
  await client.create(resources.statefulSets, store());
  await settled(async () => (await pods()).some((p) => p.metadata?.name === "store-1" && p.status?.phase === "Running"));
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
  expect(await images()).toBe("store-0=v1 store-1=v1");
  unready = () => false;
  await client.patch(resources.pods, meta("store-1"), { type: "merge", body: { metadata: { annotations: { look: "again" } } } });
  await settled(async () => (await client.get(resources.statefulSets, meta("store"))).status?.readyReplicas === 3);
  const second = (await pods()).find((p) => p.metadata?.name === "store-1");
  expect(second?.spec).toMatchObject({ hostname: "store-1", subdomain: "store" });
  expect(second?.metadata?.labels).toMatchObject({ "statefulset.kubernetes.io/pod-name": "store-1", "apps.kubernetes.io/pod-index": "1" });
});

test("a StatefulSet updates from the last member down to the partition, and scales down from the end", async () => {
  await client.create(resources.statefulSets, store({ updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 1 } } }));
  const status = async () => (await client.get(resources.statefulSets, meta("store"))).status;
  await settled(async () => (await status())?.readyReplicas === 3);
  await setImage(resources.statefulSets, "store", "v2");
  await settled(async () => (await images()) === "store-0=v1 store-1=v2 store-2=v2" && (await status())?.readyReplicas === 3);
  expect(await status()).toMatchObject({ currentReplicas: 1, updatedReplicas: 2 });
  // Below the partition a member that is made anew keeps its revision.
  await client.delete(resources.pods, meta("store-0"));
  await settled(async () => (await status())?.readyReplicas === 3 && (await images()) === "store-0=v1 store-1=v2 store-2=v2");
  await client.patch(resources.statefulSets, meta("store"), {
    type: "merge",
    body: { spec: { updateStrategy: { rollingUpdate: { partition: 0 } } } },
  });
  await settled(
    async () => (await status())?.currentRevision === (await status())?.updateRevision && (await status())?.readyReplicas === 3,
  );
  expect(await images()).toBe("store-0=v2 store-1=v2 store-2=v2");
  await client.patch(resources.statefulSets, meta("store"), { type: "merge", body: { spec: { replicas: 1 } } });
  await settled(async () => (await images()) === "store-0=v2");
  expect((await client.list(resources.controllerRevisions)).items.map((r) => r.revision)).toEqual([1, 2]);
});

test("Parallel members start at once; OnDelete changes only what is deleted", async () => {
  unready = () => true;
  await client.create(resources.statefulSets, store({ podManagementPolicy: "Parallel", updateStrategy: { type: "OnDelete" } }));
  await settled(async () => (await pods()).length === 3);
  unready = () => false;
  await setImage(resources.statefulSets, "store", "v2");
  for (const p of await pods())
    await client.patch(resources.pods, meta(p.metadata?.name ?? ""), { type: "merge", body: { metadata: { annotations: { a: "b" } } } });
  await settled(async () => (await client.get(resources.statefulSets, meta("store"))).status?.readyReplicas === 3);
  expect(await images()).toBe("store-0=v1 store-1=v1 store-2=v1");
  await client.delete(resources.pods, meta("store-1"));
  await settled(async () => (await images()) === "store-0=v1 store-1=v2 store-2=v1");
});

test("a DaemonSet has one pod on every node it fits, and replaces them one by one", async () => {
  const agent: DaemonSet = { metadata: meta("agent"), spec: { selector: { matchLabels: { app: "x" } }, template: template("v1") } };
  await client.create(resources.daemonSets, agent);
  const nodes = async () =>
    (await pods())
      .map((p) => `${p.spec?.nodeName}=${p.spec?.containers?.[0]?.image}`)
      .sort()
      .join(" ");
  const status = async () => (await client.get(resources.daemonSets, meta("agent"))).status;
  await settled(async () => (await status())?.numberAvailable === 3 && (await nodes()) === "n1=v1 n2=v1 n3=v1");
  await client.patch(
    resources.nodes,
    { name: "n3" },
    { type: "merge", body: { spec: { taints: [{ key: "away", effect: "NoExecute" }] } } },
  );
  await settled(async () => (await nodes()) === "n1=v1 n2=v1" && (await status())?.desiredNumberScheduled === 2);
  await client.create(resources.nodes, { metadata: { name: "n4" }, status: { allocatable: { cpu: "4", pods: "10" } } });
  await settled(async () => (await nodes()) === "n1=v1 n2=v1 n4=v1");
  let fewest = 3;
  const view = startInformer(api, resources.pods);
  running.unshift(view);
  await view.ready;
  view.onChange(() => {
    const serving = [...view.list()].filter((p) => p.status?.phase === "Running" && p.metadata?.deletionTimestamp === undefined);
    fewest = Math.min(fewest, serving.length);
  });
  await setImage(resources.daemonSets, "agent", "v2");
  await settled(async () => {
    return (
      (await nodes()) === "n1=v2 n2=v2 n4=v2" && (await status())?.updatedNumberScheduled === 3 && (await status())?.numberAvailable === 3
    );
  });
  expect(fewest).toBe(2);
});

const web: Deployment = { metadata: meta("web"), spec: { replicas: 2, selector: { matchLabels: { app: "x" } }, template: template("v1") } };
const left = async () => [
  (await client.list(resources.deployments)).items.length,
  (await client.list(resources.replicaSets)).items.length,
  (await pods()).length,
];

test.each([
  ["Background", [0, 0, 0]],
  ["Foreground", [0, 0, 0]],
  ["Orphan", [0, 1, 2]],
] as const)("a Deployment deleted with %s leaves %j of itself, its ReplicaSet and its pods", async (propagationPolicy, want) => {
  await client.create(resources.deployments, web);
  await settled(async () => (await client.get(resources.deployments, meta("web"))).status?.availableReplicas === 2);
  await client.delete(resources.deployments, meta("web"), { propagationPolicy });
  await settled(async () => JSON.stringify(await left()) === JSON.stringify(want));
  const [set] = (await client.list(resources.replicaSets)).items;
  expect(set?.metadata?.ownerReferences).toBeUndefined();
});

test("an object with an owner that never was goes; one with another owner only forgets the absent one", async () => {
  const real = await client.create(resources.configMaps, { metadata: meta("real") });
  const ref = (name: string, uid: string) => ({ apiVersion: "v1", kind: "ConfigMap", name, uid });
  const gone = ref("gone", "uid-gone");
  await client.create(resources.secrets, { metadata: { ...meta("lost"), ownerReferences: [gone] } });
  await client.create(resources.secrets, { metadata: { ...meta("kept"), ownerReferences: [gone, ref("real", real.metadata?.uid ?? "")] } });
  await settled(async () => {
    const secrets = (await client.list(resources.secrets)).items;
    return secrets.length === 1 && secrets[0]?.metadata?.ownerReferences?.length === 1;
  });
  const kept = await client.get(resources.secrets, meta("kept"));
  expect(kept.metadata?.ownerReferences?.map((r) => r.name)).toEqual(["real"]);
});
