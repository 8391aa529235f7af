import { expect, test } from "vitest";
import type { Ingress } from "../../../src/api/types/networking-v1.generated.ts";
import { createClient } from "../../../src/client/client.ts";
import { resources } from "../../../src/client/resources.ts";
import { writeIngressStatus } from "../../../src/daemon/ingress-status-writer.ts";
import { trimObject } from "../../../src/daemon/trim.ts";
import { MemoryApi } from "../../support/memory-api.ts";

const at = { namespace: "shop", name: "web" };
const owner = { apiVersion: "apps/v1", kind: "Deployment", name: "operator", uid: "u-1" };
const applied: Ingress = {
  metadata: {
    ...at,
    labels: { app: "web" },
    annotations: { "kubectl.kubernetes.io/last-applied-configuration": "{}", "nginx.ingress.kubernetes.io/app-root": "/a" },
    ownerReferences: [owner],
  },
  spec: { defaultBackend: { service: { name: "web", port: { number: 80 } } } },
};

async function stored(): Promise<{ readonly api: MemoryApi; readonly kept: Ingress }> {
  const api = new MemoryApi();
  return { api, kept: trimObject("Ingress", await createClient(api).create(resources.ingresses, applied)) };
}

test("an Ingress that gets its addresses keeps whatever else it has: owners, and what kubectl applied", async () => {
  const { api, kept } = await stored();
  const client = createClient(api);
  await writeIngressStatus(client, kept, ["192.0.2.1", "lb.test"]);
  const now = await client.get(resources.ingresses, at);
  expect(now.status).toEqual({ loadBalancer: { ingress: [{ ip: "192.0.2.1" }, { hostname: "lb.test" }] } });
  expect(now.metadata).toMatchObject({ ...applied.metadata });
  expect(now.spec).toEqual(applied.spec);
  await writeIngressStatus(client, now, ["192.0.2.9"]);
  expect((await client.get(resources.ingresses, at)).status?.loadBalancer?.ingress).toEqual([{ ip: "192.0.2.9" }]);
});

test("nothing is sent where they stand already; of one that has changed or is gone, nothing is lost", async () => {
  const { api, kept } = await stored();
  const client = createClient(api);
  await writeIngressStatus(client, kept, []);
  expect(api.requests.filter((r) => r.startsWith("PATCH"))).toEqual([]);
  await client.patch(resources.ingresses, at, { type: "merge", body: { metadata: { labels: { app: "other" } } } });
  await writeIngressStatus(client, kept, ["192.0.2.1"]);
  expect((await client.get(resources.ingresses, at)).status).toBeUndefined();
  await client.delete(resources.ingresses, at);
  await writeIngressStatus(client, kept, ["192.0.2.1"]);
});
