import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { ConfigMap } from "../../../src/api/types/core-v1.generated.ts";
import { applyPaths } from "../../../src/cli/apply.ts";
import { mergeThreeWays } from "../../../src/cli/three-way-merge.ts";
import { createClient } from "../../../src/client/client.ts";
import { resources } from "../../../src/client/resources.ts";
import { MemoryApi } from "../../support/memory-api.ts";

const folder = mkdtempSync(join(tmpdir(), "fairway-apply-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const dns = (udp: number, tcp: number) => [
  { name: "u", port: 53, protocol: "UDP", targetPort: udp },
  { name: "t", port: 53, protocol: "TCP", targetPort: tcp },
];

test.each<{ name: string; live: object; before: object; after: object; want: object }>([
  { name: "what the API filled in stays", live: { a: 1, ip: "x" }, before: { a: 1 }, after: { a: 2 }, want: { a: 2, ip: "x" } },
  {
    name: "a field that the file dropped goes",
    live: { a: 1, b: 1, ip: "x" },
    before: { a: 1, b: 1 },
    after: { a: 1 },
    want: { a: 1, ip: "x" },
  },
  { name: "one that the file never had stays", live: { a: 1, b: 1 }, before: { a: 1 }, after: { a: 1 }, want: { a: 1, b: 1 } },
  { name: "null takes a field away", live: { a: 1, b: 1 }, before: {}, after: { b: null }, want: { a: 1 } },
  {
    name: "deep",
    live: { m: { l: { a: "1", b: "1", c: "1" } } },
    before: { m: { l: { a: "1", b: "1" } } },
    after: { m: { l: { a: "2" } } },
    want: { m: { l: { a: "2", c: "1" } } },
  },
  {
    name: "one port with two protocols; a node port that was given stays",
    live: { ports: dns(53, 53).map((p, i) => ({ ...p, nodePort: 30000 + i })) },
    before: { ports: dns(53, 53) },
    after: { ports: dns(1053, 53) },
    want: { ports: dns(1053, 53).map((p, i) => ({ ...p, nodePort: 30000 + i })) },
  },
  {
    name: "a port that was dropped goes",
    live: { ports: dns(53, 53) },
    before: { ports: dns(53, 53) },
    after: { ports: dns(53, 53).slice(1) },
    want: { ports: dns(53, 53).slice(1) },
  },
  {
    name: "a container that others added stays, and the order is the file's",
    live: {
      containers: [
        { name: "side", image: "s" },
        { name: "a", image: "1", pull: "Always" },
      ],
    },
    before: { containers: [{ name: "a", image: "1" }] },
    after: {
      containers: [
        { name: "b", image: "3" },
        { name: "a", image: "2" },
      ],
    },
    want: {
      containers: [
        { name: "b", image: "3" },
        { name: "a", image: "2", pull: "Always" },
        { name: "side", image: "s" },
      ],
    },
  },
  {
    name: "lists of words are the file's",
    live: { args: ["a", "b"] },
    before: { args: ["a"] },
    after: { args: ["c"] },
    want: { args: ["c"] },
  },
  {
    name: "lists without a key are the file's",
    live: { paths: [{ path: "/", pathType: "Prefix" }] },
    before: {},
    after: {
      paths: [
        { path: "/a", pathType: "Exact" },
        { path: "/a", pathType: "Prefix" },
      ],
    },
    want: {
      paths: [
        { path: "/a", pathType: "Exact" },
        { path: "/a", pathType: "Prefix" },
      ],
    },
  },
  {
    name: "another kind of update: what the API filled in for the first goes",
    live: { strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "25%" } } },
    before: {},
    after: { strategy: { type: "Recreate" } },
    want: { strategy: { type: "Recreate" } },
  },
  {
    name: "another kind of volume",
    live: {
      volumes: [
        { name: "v", emptyDir: {} },
        { name: "token", projected: {} },
      ],
    },
    before: { volumes: [{ name: "v", emptyDir: {} }] },
    after: { volumes: [{ name: "v", configMap: { name: "c" } }] },
    want: {
      volumes: [
        { name: "v", configMap: { name: "c" } },
        { name: "token", projected: {} },
      ],
    },
  },
])("three ways: $name", ({ live, before, after, want }) => {
  expect(mergeThreeWays({ ...live }, { ...before }, { ...after })).toEqual(want);
});

test("a file is applied, left alone while it is the same, and what it drops goes", async () => {
  const client = createClient(new MemoryApi());
  const at = { namespace: "default", name: "c" };
  const apply = async (data: object, labels: object = {}): Promise<ConfigMap> => {
    const file = join(folder, "c.json");
    writeFileSync(file, JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c", labels }, data }));
    expect(await applyPaths(client, [file])).toBe(1);
    return client.get(resources.configMaps, at);
  };
  expect((await apply({ a: "1", b: "1" }, { x: "1" })).data).toEqual({ a: "1", b: "1" });
  await client.patch(resources.configMaps, at, { type: "merge", body: { data: { a: "other", more: "1" } } });
  expect((await apply({ a: "1", b: "1" }, { x: "1" })).data).toEqual({ a: "other", b: "1", more: "1" });
  const last = await apply({ a: "2" });
  expect(last.data).toEqual({ a: "2", more: "1" });
  expect(last.metadata?.labels ?? {}).toEqual({});
  expect(JSON.parse(last.metadata?.annotations?.["kubectl.kubernetes.io/last-applied-configuration"] ?? "")).toEqual({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { annotations: {}, name: "c", namespace: "default" },
    data: { a: "2" },
  });
});
