import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { Pod } from "../../src/api/types/core-v1.generated.ts";
import { systemClock } from "../../src/base/clock.ts";
import { createClient } from "../../src/client/client.ts";
import { resources } from "../../src/client/resources.ts";
import { startNode } from "../../src/node/main.ts";
import { ProcessRuntime } from "../../src/node/process-runtime.ts";
import { podRuntimeContract } from "../contract/pod-runtime.ts";
import { MemoryApi } from "../support/memory-api.ts";

// Needs no root; it is here because pipes given to sockets confuse the bookkeeping of worker threads, which the fast tests run in.
const folder = mkdtempSync(join(tmpdir(), "fw-processes-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const open = async () =>
  new ProcessRuntime({ dataDir: folder, nodeIps: ["127.0.0.1"], dns: { ip: "127.96.0.10", port: 53 } }, { clock: systemClock });

podRuntimeContract("processes", { open });

test("processes: each pod has an address of its own that anyone may bind", async () => {
  const runtime = await open();
  const plan = { namespace: "default", name: "p", hostNetwork: false, hostPorts: [] };
  const given = [await runtime.createSandbox({ ...plan, podUid: "a" }), await runtime.createSandbox({ ...plan, podUid: "b" })];
  // Which ones depends on what else runs on this machine: addresses in use are passed over.
  expect(given.flat().every((ip) => ip.startsWith("127.64."))).toBe(true);
  expect(new Set(given.flat()).size).toBe(2);
  expect(await runtime.createSandbox({ ...plan, podUid: "a" })).toEqual(given[0]);
  for (const podUid of ["a", "b"]) await runtime.removePod(podUid);
});

test("processes: a pod runs on its own address, with its files where its command looks for them", async () => {
  const api = new MemoryApi();
  api.now = () => Date.now();
  const client = createClient(api);
  await client.create(resources.nodes, { metadata: { name: "plain" }, spec: { podCIDRs: ["127.70.0.0/24"] } });
  await client.create(resources.configMaps, { metadata: { namespace: "default", name: "page" }, data: { "page.txt": "hello" } });
  const node = await startNode(
    {
      nodeName: "plain",
      nodeIps: ["127.0.0.1"],
      transport: api,
      dataDir: join(folder, "plain"),
      clusterDns: ["127.96.0.10"],
      clusterDomain: "cluster.local",
      processes: { dns: { ip: "127.96.0.10", port: 8053 } },
      runtime: { nodeBinary: process.execPath, distFolder: folder },
      version: "v1.36.0+fairway",
    },
    { log: { info: () => undefined, warn: (message, fields) => console.error(message, fields) } },
  );
  await node.ready;
  const server =
    "const{env,argv}=process;require('http').createServer((q,r)=>r.end([env.FAIRWAY_DNS,env.PAGE_FILE===argv[1],require('fs').readFileSync(argv[1])].join(' '))).listen(8099,env.POD_IP)";
  await client.create(resources.pods, {
    metadata: { namespace: "default", name: "web" },
    spec: {
      nodeName: "plain",
      terminationGracePeriodSeconds: 1,
      volumes: [{ name: "page", configMap: { name: "page" } }],
      containers: [
        {
          name: "c",
          image: "fairway/shell",
          command: [process.execPath, "-e", server, "/etc/page/page.txt"],
          env: [{ name: "PAGE_FILE", value: "/etc/page/page.txt" }],
          volumeMounts: [{ name: "page", mountPath: "/etc/page" }],
          readinessProbe: { httpGet: { port: 8099 }, periodSeconds: 1 },
        },
      ],
    },
  });
  const read = (): Promise<Pod> => client.get(resources.pods, { namespace: "default", name: "web" });
  await expect.poll(async () => (await read()).status?.conditions?.find((c) => c.type === "Ready")?.status).toBe("True");
  expect((await read()).status?.podIP).toBe("127.70.0.2");
  expect(await (await fetch("http://127.70.0.2:8099/")).text()).toBe("127.96.0.10:8053 true hello");
  await node.stopPods(1);
  await expect(fetch("http://127.70.0.2:8099/")).rejects.toThrow();
  await node.close();
});
