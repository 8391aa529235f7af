import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { StartError, startErrors } from "../../../src/apiserver/errors.ts";
import { type ApiServerConfig, startApiServer } from "../../../src/apiserver/server.ts";
import { parseCidr } from "../../../src/base/cidr.ts";
import { makeTestServer } from "./test-server.ts";

const folder = mkdtempSync(join(tmpdir(), "fairway-kept-"));
afterAll(() => rmSync(folder, { recursive: true }));
const cms = "/api/v1/namespaces/default/configmaps";
const cidrs = (...texts: string[]) => texts.flatMap((t) => parseCidr(t) ?? []);

test("what was acknowledged is there after a restart; a watch goes on where it was", async () => {
  const dataDir = join(folder, "again");
  const first = await makeTestServer({ dataDir, store: "sqlite" });
  const made = await first.call("POST", cms, { metadata: { name: "kept" }, data: { k: "v" } });
  const service = await first.call("POST", "/api/v1/namespaces/default/services", {
    metadata: { name: "s" },
    spec: { ports: [{ port: 80 }] },
  });
  await first.call("POST", cms, { metadata: { name: "removed" } });
  await first.call("DELETE", `${cms}/removed`);
  const rev = Number((await first.call("GET", cms)).get("metadata.resourceVersion"));
  await first.close();
  const second = await makeTestServer({ dataDir, store: "sqlite" });
  expect((await second.call("GET", `${cms}/kept`)).text).toBe(made.text);
  expect((await second.call("GET", `${cms}/removed`)).status).toBe(404);
  const taken = await second.call("POST", "/api/v1/namespaces/default/services", {
    metadata: { name: "t" },
    spec: { clusterIP: service.get("spec.clusterIP"), ports: [{ port: 80 }] },
  });
  expect([taken.status, taken.get("message")]).toEqual([422, expect.stringContaining("provided IP is already allocated")]);
  const [missed] = await second.watch(`${cms}?watch=1&resourceVersion=${rev - 1}`, 1);
  expect(missed).toMatchObject({ type: "DELETED", object: { metadata: { name: "removed", resourceVersion: String(rev) } } });
  const next = second.watch(`${cms}?watch=1&resourceVersion=${rev}`, 1);
  await second.call("POST", cms, { metadata: { name: "next" } });
  expect((await next)[0]?.type).toBe("ADDED");
  await second.close();
});

test("bootstrap follows the configuration: another range, another address of the API's Service", async () => {
  const dataDir = join(folder, "moved");
  const first = await makeTestServer({ dataDir, store: "sqlite" });
  await first.close();
  const second = await makeTestServer({
    dataDir,
    store: "sqlite",
    serviceCidrs: cidrs("10.50.0.0/16", "fd50::/108"),
    advertise: ["192.0.2.9"],
  });
  const service = await second.call("GET", "/api/v1/namespaces/default/services/kubernetes");
  expect(service.get("spec.clusterIPs")).toEqual(["10.50.0.1"]);
  expect((await second.call("GET", "/apis/networking.k8s.io/v1/servicecidrs/kubernetes")).get("spec.cidrs")).toEqual([
    "10.50.0.0/16",
    "fd50::/108",
  ]);
  expect(
    (await second.call("GET", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")).get("endpoints.0.addresses"),
  ).toEqual(["192.0.2.9"]);
  await second.close();
});

test("the API's endpoints are of its Service's family, also after that has changed", async () => {
  const dataDir = join(folder, "families");
  const advertise = ["192.0.2.9", "2001:db8::9"];
  const slice = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
  for (const [range, type, ip] of [
    ["10.50.0.0/16", "IPv4", "192.0.2.9"],
    ["fd50::/108", "IPv6", "2001:db8::9"],
    ["10.50.0.0/16", "IPv4", "192.0.2.9"],
  ] as const) {
    const server = await makeTestServer({ dataDir, store: "sqlite", serviceCidrs: cidrs(range), advertise });
    const found = await server.call("GET", slice);
    expect([found.get("addressType"), found.get("endpoints.0.addresses")]).toEqual([type, [ip]]);
    await server.close();
  }
});

test("a start that cannot be says what is in the way", async () => {
  const running = await makeTestServer({ dataDir: join(folder, "first"), store: "sqlite" });
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const base: ApiServerConfig = {
    dataDir: join(folder, "other"),
    bind: [{ ip: "127.0.0.1", port: 0 }],
    advertise: ["192.0.2.1"],
    serviceCidrs: cidrs("10.96.0.0/16"),
    store: "memory",
  };
  const cases: readonly { readonly config: Partial<ApiServerConfig>; readonly want: string }[] = [
    { config: { bind: [{ ip: "127.0.0.1", port: running.server.port }] }, want: `127.0.0.1:${running.server.port}: the address is in use` },
    { config: { bind: [{ ip: "192.0.2.77", port: 0 }] }, want: "192.0.2.77:0: no interface of this machine has that address" },
    {
      config: { dataDir: join(folder, "first"), store: "sqlite" },
      want: "objects.db: the data directory is in use by another fairway API server",
    },
    { config: { tokenAuthFile: file("tokens", "only,two") }, want: "tokens: not in the form token,user,uid" },
    { config: { tokenAuthFile: join(folder, "absent") }, want: "absent: not in the form" },
    { config: { clientCaFile: file("ca", "no PEM") }, want: "ca: no certificate in PEM" },
    { config: { tlsCertFile: file("crt", "x"), tlsPrivateKeyFile: file("key", "y") }, want: "crt" },
    { config: { tlsCertFile: file("crt", "x") }, want: "go together" },
    { config: { serviceCidrs: cidrs("10.0.0.0/30") }, want: "10.0.0.0/30: fewer than 16 addresses" },
    { config: { serviceCidrs: [] }, want: "one range a family" },
    { config: { serviceCidrs: cidrs("10.0.0.0/16", "10.1.0.0/16") }, want: "10.0.0.0/16,10.1.0.0/16: one range a family" },
  ];
  for (const { config, want } of cases) {
    const failed: unknown = await startApiServer({ ...base, ...config }).then(
      (server) => server.close(),
      (error: unknown) => error,
    );
    expect(failed).toBeInstanceOf(Error);
    expect(String(failed)).toContain(want);
    expect(String(failed).split("\n")).toHaveLength(1);
  }
  await running.close();
});

test("every code of a failed start is explained", () => {
  expect(Object.keys(startErrors)).toHaveLength(8);
  expect(new StartError("badClientCa", "file").message).toBe("file: no certificate in PEM");
});
