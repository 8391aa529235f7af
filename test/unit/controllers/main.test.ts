import { afterEach, beforeEach, expect, test } from "vitest";
import type { Deployment } from "../../../src/api/types/apps-v1.generated.ts";
import { parseCidr } from "../../../src/base/cidr.ts";
import type { Running } from "../../../src/base/running.ts";
import { type Client, createClient } from "../../../src/client/client.ts";
import { resources } from "../../../src/client/resources.ts";
import { startControllers } from "../../../src/controllers/main.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { MemoryApi } from "../../support/memory-api.ts";
import { settled, startMemoryKubelet } from "../../support/memory-kubelet.ts";

let api: MemoryApi;
let client: Client;
let running: Running;
let kubelet: { close(): Promise<void> };

beforeEach(async () => {
  api = new MemoryApi();
  client = createClient(api);
  const cidr = (text: string) => parseCidr(text) ?? expect.fail(text);
  running = startControllers({
    transport: api,
    clusterCidrs: [cidr("10.244.0.0/16"), cidr("fd00:10::/48")],
    lbPool: [cidr("172.20.0.0/29")],
    rootCaPem: "CA",
  });
  kubelet = startMemoryKubelet(api, { assign: "node-1" });
  await running.ready;
  await client.create(resources.nodes, { metadata: { name: "node-1", labels: { "topology.kubernetes.io/zone": "a" } } });
  await client.create(resources.namespaces, { metadata: { name: "shop" } });
});

afterEach(async () => {
  await kubelet.close();
  await running.close();
  expect(api.watches).toBe(0);
});

const web = (image: string, replicas = 3): Deployment => ({
  metadata: { namespace: "shop", name: "web" },
  spec: {
    replicas,
    progressDeadlineSeconds: 600,
    selector: { matchLabels: { app: "web" } },
    template: {
      metadata: { labels: { app: "web" } },
      spec: { containers: [{ name: "main", image, ports: [{ name: "http", containerPort: 8080 }] }] },
    },
  },
});
const at = (name: string) => ({ namespace: "shop", name });
const isDone = async (): Promise<boolean> => {
  const d = await client.get(resources.deployments, at("web"));
  return (
    d.status?.observedGeneration === d.metadata?.generation &&
    d.status?.updatedReplicas === d.spec?.replicas &&
    d.status?.replicas === d.spec?.replicas &&
    d.status?.availableReplicas === d.spec?.replicas
  );
};

test("a namespace gets its ServiceAccount and the CA, a node its ranges", async () => {
  await settled(async () => (await client.list(resources.configMaps)).items.length === 1);
  expect((await client.get(resources.configMaps, at("kube-root-ca.crt"))).data).toEqual({ "ca.crt": "CA" });
  expect((await client.get(resources.serviceAccounts, at("default"))).metadata?.name).toBe("default");
  expect((await client.get(resources.nodes, { name: "node-1" })).spec?.podCIDRs).toEqual(["10.244.0.0/24", "fd00:10::/64"]);
});

test("a Deployment and its Service end in an EndpointSlice, and a new template rolls without a gap", async () => {
  await client.create(resources.services, {
    metadata: { namespace: "shop", name: "web", labels: { team: "a" } },
    spec: {
      type: "LoadBalancer",
      selector: { app: "web" },
      ports: [{ port: 80, targetPort: "http" }],
      clusterIP: "10.96.0.9",
      ipFamilies: ["IPv4"],
    },
  });
  await client.create(resources.deployments, web("v1"));
  const slice = async () => (await client.list(resources.endpointSlices)).items[0];
  await settled(async () => (await isDone()) && (await slice())?.endpoints?.length === 3);
  expect(await slice()).toMatchObject({
    addressType: "IPv4",
    ports: [{ name: "", port: 8080, protocol: "TCP" }],
    metadata: { labels: { team: "a", "kubernetes.io/service-name": "web" }, generateName: "web-" },
  });
  expect((await slice())?.endpoints?.[0]).toMatchObject({ nodeName: "node-1", zone: "a", conditions: { ready: true } });
  const service = await client.get(resources.services, at("web"));
  expect(service.status?.loadBalancer?.ingress).toEqual([{ ip: "172.20.0.1", ipMode: "VIP" }]);

  let fewest = 3;
  const d = await client.get(resources.deployments, at("web"));
  await client.update(resources.deployments, { ...d, spec: web("v2").spec } as Deployment);
  await settled(async () => {
    const ready = (await slice())?.endpoints?.filter((e) => e.conditions?.ready === true).length ?? 0;
    fewest = Math.min(fewest, ready);
    const pods = (await client.list(resources.pods)).items;
    return (await isDone()) && pods.every((p) => p.spec?.containers?.[0]?.image === "v2") && ready === 3;
  });
  expect(fewest).toBe(3); // 25 % of 3 unavailable, rounded down, is none
  const sets = (await client.list(resources.replicaSets)).items;
  const sizes = sets.map((rs) => [rs.spec?.replicas, rs.metadata?.annotations?.["deployment.kubernetes.io/revision"]]);
  expect(sizes.sort((a, b) => Number(a[0]) - Number(b[0]))).toEqual([
    [0, "1"],
    [3, "2"],
  ]);
  const rolled = await client.get(resources.deployments, at("web"));
  expect(rolled.metadata?.annotations?.["deployment.kubernetes.io/revision"]).toBe("2");
  expect(rolled.status?.conditions?.map((c) => [c.type, c.status, c.reason])).toEqual([
    ["Available", "True", "MinimumReplicasAvailable"],
    ["Progressing", "True", "NewReplicaSetAvailable"],
  ]);

  // Undo: the template of the first revision again.
  await client.update(resources.deployments, { ...rolled, spec: web("v1").spec } as Deployment);
  await settled(
    async () =>
      (await isDone()) &&
      (await client.list(resources.replicaSets)).items.some(
        (rs) => rs.metadata?.annotations?.["deployment.kubernetes.io/revision"] === "3",
      ),
  );
  const undone = (await client.list(resources.replicaSets)).items.find((rs) => rs.spec?.replicas === 3);
  expect(undone?.metadata?.annotations).toMatchObject({
    "deployment.kubernetes.io/revision": "3",
    "deployment.kubernetes.io/revision-history": "1",
  });
});

test("a namespace that is deleted takes everything with it", async () => {
  await client.create(resources.deployments, web("v1", 2));
  await settled(isDone);
  await client.delete(resources.namespaces, { name: "shop" });
  await settled(async () => (await client.list(resources.namespaces)).items.length === 0);
  expect((await client.list(resources.pods)).items).toEqual([]);
  expect((await client.list(resources.replicaSets)).items).toEqual([]);
  expect((await client.list(resources.configMaps)).items).toEqual([]);
});

test("of several processes one works, and another goes on when it ends", async () => {
  const own = new MemoryApi();
  const clock = new FakeClock();
  const start = (identity: string): Running =>
    startControllers(
      { transport: own, clusterCidrs: [], lbPool: [], rootCaPem: identity, leaderElect: { identity }, only: ["root-ca"] },
      { clock },
    );
  const caOf = async (namespace: string) =>
    (await createClient(own).get(resources.configMaps, { namespace, name: "kube-root-ca.crt" })).data?.["ca.crt"];
  const [a, b] = [start("a"), start("b")];
  await clock.advance(10);
  await createClient(own).create(resources.namespaces, { metadata: { name: "one" } });
  await clock.advance(10);
  const first = await caOf("one");
  expect(["a", "b"]).toContain(first);
  await (first === "a" ? a : b).close();
  await clock.advance(5000);
  await createClient(own).create(resources.namespaces, { metadata: { name: "two" } });
  await clock.advance(10);
  expect(await caOf("two")).toBe(first === "a" ? "b" : "a");
  await Promise.all([a.close(), b.close()]);
});
