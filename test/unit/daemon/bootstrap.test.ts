import { expect, test } from "vitest";
import type { Service } from "../../../src/api/types/core-v1.generated.ts";
import { createClient } from "../../../src/client/client.ts";
import { resources } from "../../../src/client/resources.ts";
import { applyBootstrap } from "../../../src/daemon/bootstrap.ts";
import { MemoryApi } from "../../support/memory-api.ts";

const at = { namespace: "kube-system", name: "kube-dns" };
const ours = { "k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS" };

test.each<[string, Partial<Service> | undefined, readonly string[], readonly string[]]>([
  ["a new cluster gets it", undefined, ["10.96.0.10"], ["10.96.0.10"]],
  ["ours on the same range stays", { metadata: { labels: ours }, spec: { clusterIPs: ["10.96.0.10"] } }, ["10.96.0.10"], ["10.96.0.10"]],
  ["ours on another range moves", { metadata: { labels: ours }, spec: { clusterIPs: ["10.96.0.10"] } }, ["10.97.0.10"], ["10.97.0.10"]],
  [
    "a second family comes",
    { metadata: { labels: ours }, spec: { clusterIPs: ["10.96.0.10"] } },
    ["10.96.0.10", "fd00::a"],
    ["10.96.0.10", "fd00::a"],
  ],
  [
    "somebody's own stays where it is",
    { metadata: { labels: ours }, spec: { clusterIPs: ["10.96.0.9"], selector: { app: "coredns" } } },
    ["10.97.0.10"],
    ["10.96.0.9"],
  ],
])("cluster DNS: %s", async (_, there, addresses, want) => {
  const client = createClient(new MemoryApi());
  if (there !== undefined) await client.create(resources.services, { ...there, metadata: { ...there.metadata, ...at } });
  await applyBootstrap(client, { clusterDns: addresses });
  await applyBootstrap(client, { clusterDns: addresses });
  const service = await client.get(resources.services, at);
  expect(service.spec?.clusterIPs).toEqual(want);
  expect((await client.get(resources.ingressClasses, { name: "fairway" })).spec?.controller).toBe("fairway/ingress");
});
