import { expect, test } from "vitest";
import type { NodeStatus } from "../../../src/api/types/core-v1.generated.ts";
import { createClient } from "../../../src/client/client.ts";
import { resources } from "../../../src/client/resources.ts";
import { startRegistration } from "../../../src/node/node-registration.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { MemoryApi } from "../../support/memory-api.ts";

const at = { name: "node-1" };
const info = {
  machineID: "",
  systemUUID: "",
  bootID: "",
  kernelVersion: "",
  osImage: "",
  containerRuntimeVersion: "",
  kubeletVersion: "",
  kubeProxyVersion: "",
  operatingSystem: "linux",
  architecture: "amd64",
};

async function start() {
  const api = new MemoryApi();
  const clock = new FakeClock();
  const client = createClient(api);
  const facts = { name: at.name, ips: ["172.28.0.11", "fd28::11"], labels: {}, capacity: { cpu: "2" }, info, kubeletPort: 10250 };
  const registration = startRegistration({ facts, transport: api }, { clock, log: { info: () => undefined, warn: () => undefined } });
  await clock.advance(0);
  await client.patch(resources.nodes, at, { type: "merge", body: { spec: { podCIDRs: ["10.0.0.0/24"] } } });
  await clock.advance(100);
  await registration.ready;
  const reports = (): number => api.requests.filter((r) => r.startsWith("PATCH /api/v1/nodes/node-1/status")).length;
  const ready = async (): Promise<string | undefined> =>
    (await client.get(resources.nodes, at)).status?.conditions?.find((c) => c.type === "Ready")?.status;
  return { client, clock, registration, reports, ready };
}

test("a status that says nothing new is written once a minute", async () => {
  const { clock, registration, reports } = await start();
  expect(reports()).toBe(1);
  await clock.advance(59_000);
  expect(reports()).toBe(1);
  await clock.advance(11_000);
  expect(reports()).toBe(2);
  await registration.close();
});

test("a node that was called Unknown says within ten seconds that it is Ready", async () => {
  const { client, clock, registration, reports, ready } = await start();
  const status: NodeStatus = { conditions: [{ type: "Ready", status: "Unknown" }] };
  await client.patch(resources.nodes, at, { type: "merge", body: { status } }, { subresource: "status" });
  const before = reports();
  await clock.advance(10_000);
  expect([await ready(), reports()]).toEqual(["True", before + 1]);
  await registration.close();
});

test("a node whose object was deleted comes back, with its status", async () => {
  const { client, clock, registration, ready } = await start();
  await client.delete(resources.nodes, at);
  await clock.advance(10_000);
  expect(await ready()).toBe("True");
  await registration.close();
});

test("a report keeps the conditions of others, and says all addresses of the node", async () => {
  const { client, clock, registration } = await start();
  const conditions = [{ type: "example.com/disk", status: "True", reason: "Slow" }];
  await client.patch(resources.nodes, at, { type: "strategic", body: { status: { conditions } } }, { subresource: "status" });
  await clock.advance(70_000);
  const { status } = await client.get(resources.nodes, at);
  expect(status?.conditions?.map((c) => c.type).sort()).toEqual([
    "DiskPressure",
    "MemoryPressure",
    "PIDPressure",
    "Ready",
    "example.com/disk",
  ]);
  expect(status?.addresses?.map((a) => a.address)).toEqual(["172.28.0.11", "fd28::11", "node-1"]);
  await registration.close();
});
