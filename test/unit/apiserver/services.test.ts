import { afterAll, beforeAll, expect, test } from "vitest";
import { KeyedTurns } from "../../../src/apiserver/keyed-turns.ts";
import { parseCidr } from "../../../src/base/cidr.ts";
import { makeTestServer, type TestServer } from "./test-server.ts";

const services = "/api/v1/namespaces/default/services";
const merge = { type: "application/merge-patch+json" };
const ports = [{ port: 80 }];
let api: TestServer;
beforeAll(async () => {
  // 28 addresses and 32 node ports: small enough to be used up.
  api = await makeTestServer({
    serviceCidrs: ["10.9.0.0/27"].flatMap((c) => parseCidr(c) ?? []),
    nodePortRange: { first: 30000, last: 30031 },
  });
});
afterAll(() => api.close());

test("many at once get different addresses and ports; when all are given the next is refused, and what is freed is given again", async () => {
  const made = await Promise.all(
    Array.from({ length: 40 }, (_, i) => api.call("POST", services, { metadata: { name: `s${i}` }, spec: { type: "NodePort", ports } })),
  );
  const given = made.filter((m) => m.status === 201);
  const refused = made.filter((m) => m.status !== 201);
  expect([given.length, refused.length]).toEqual([28, 12]);
  for (const r of refused)
    expect([r.status, r.get("message")]).toEqual([422, expect.stringContaining("failed to allocate a serviceIP: range is full")]);
  const ips = given.map((m) => m.get("spec.clusterIP"));
  expect(new Set(ips).size).toBe(28);
  expect(ips).not.toContain("10.9.0.10");
  expect(new Set(given.map((m) => m.get("spec.ports.0.nodePort"))).size).toBe(28);
  await Promise.all(given.map((m) => api.call("DELETE", `${services}/${String(m.get("metadata.name"))}`)));
  const again = await Promise.all(
    Array.from({ length: 28 }, (_, i) => api.call("POST", services, { metadata: { name: `t${i}` }, spec: { type: "NodePort", ports } })),
  );
  expect(again.map((m) => m.status)).toEqual(Array.from({ length: 28 }, () => 201));
  await Promise.all(again.map((m) => api.call("DELETE", `${services}/${String(m.get("metadata.name"))}`)));
});

test("of many that ask for the same name or address one wins, and the others hold nothing", async () => {
  const spec = { type: "NodePort", clusterIP: "10.9.0.5", ports: [{ port: 80, nodePort: 30003 }] };
  const named = await Promise.all(Array.from({ length: 8 }, () => api.call("POST", services, { metadata: { name: "one" }, spec })));
  expect(named.map((r) => r.status).sort((a, b) => a - b)).toEqual([201, ...Array.from({ length: 7 }, () => 409)]);
  const others = await Promise.all(
    Array.from({ length: 8 }, (_, i) => api.call("POST", services, { metadata: { name: `other${i}` }, spec })),
  );
  for (const r of others) expect([r.status, r.get("message")]).toEqual([422, expect.stringContaining("provided IP is already allocated")]);
  await api.call("DELETE", `${services}/one`);
  const next = await Promise.all(Array.from({ length: 8 }, (_, i) => api.call("POST", services, { metadata: { name: `next${i}` }, spec })));
  const won = next.filter((r) => r.status === 201);
  expect(won).toHaveLength(1);
  await api.call("DELETE", `${services}/${String(won[0]?.get("metadata.name"))}`);
});

test("the type may change and back: addresses and ports come and go with it", async () => {
  const made = await api.call("POST", services, { metadata: { name: "typed" }, spec: { ports } });
  const ip = made.get("spec.clusterIP");
  const exposed = await api.call("PATCH", `${services}/typed`, { spec: { type: "NodePort" } }, merge);
  const port = exposed.get("spec.ports.0.nodePort");
  expect([exposed.get("spec.clusterIP"), typeof port]).toEqual([ip, "number"]);
  const balanced = await api.call("PATCH", `${services}/typed`, { spec: { type: "LoadBalancer", externalTrafficPolicy: "Local" } }, merge);
  expect([balanced.status, balanced.get("spec.ports.0.nodePort"), typeof balanced.get("spec.healthCheckNodePort")]).toEqual([
    200,
    port,
    "number",
  ]);
  const plain = await api.call("PATCH", `${services}/typed`, { spec: { type: "ClusterIP" } }, merge);
  expect([plain.get("spec.ports.0.nodePort"), plain.get("spec.healthCheckNodePort"), plain.get("spec.clusterIP")]).toEqual([
    undefined,
    undefined,
    ip,
  ]);
  const taken = await api.call("POST", services, {
    metadata: { name: "taker" },
    spec: { type: "NodePort", ports: [{ port: 80, nodePort: port }] },
  });
  expect(taken.status).toBe(201);
  const external = await api.call(
    "PATCH",
    `${services}/typed`,
    { spec: { type: "ExternalName", externalName: "x.example", clusterIP: null, clusterIPs: null } },
    merge,
  );
  expect([external.status, external.get("spec.clusterIP")]).toEqual([200, undefined]);
  expect((await api.call("POST", services, { metadata: { name: "heir" }, spec: { clusterIP: ip, ports } })).status).toBe(201);
});

test("the address cannot be changed", async () => {
  await api.call("POST", services, { metadata: { name: "fixed" }, spec: { clusterIP: "10.9.0.7", ports } });
  const reply = await api.call("PATCH", `${services}/fixed`, { spec: { clusterIP: "10.9.0.8", clusterIPs: ["10.9.0.8"] } }, merge);
  expect([reply.status, reply.get("reason")]).toEqual([422, "Invalid"]);
  expect(reply.get("message")).toContain("spec.clusterIPs[0]: Invalid value");
});

test("replace sends its own file again, without what was allocated", async () => {
  await api.call("POST", services, { metadata: { name: "again" }, spec: { type: "NodePort", ports } });
  const before = await api.call("GET", `${services}/again`);
  const reply = await api.call("PUT", `${services}/again`, {
    metadata: { name: "again" },
    spec: { type: "NodePort", ports: [{ port: 80 }, { port: 81, name: "b" }].map((p, i) => ({ name: `p${i}`, ...p })) },
  });
  expect([reply.status, reply.get("spec.clusterIP"), reply.get("spec.ports.0.nodePort")]).toEqual([
    200,
    before.get("spec.clusterIP"),
    before.get("spec.ports.0.nodePort"),
  ]);
});

test("turns: work of one key follows, of different keys does not wait; a failure holds nobody up", async () => {
  const turns = new KeyedTurns();
  const seen: string[] = [];
  const first = Promise.withResolvers<void>();
  const a1 = turns.run("a", async () => {
    await first.promise;
    seen.push("a1");
    throw new Error("no");
  });
  const a2 = turns.run("a", async () => void seen.push("a2"));
  await turns.run("b", async () => void seen.push("b"));
  first.resolve();
  await expect(a1).rejects.toThrow("no");
  await a2;
  expect(seen).toEqual(["b", "a1", "a2"]);
});
