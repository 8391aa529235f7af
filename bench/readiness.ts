// From a pod's readiness, as it is written to the API, to the kernel of another node: endpoint controller, watch, plan, netlink.
// The pods are of no node, so that nobody else writes their status; nft's own monitor is the observer. Prints one JSON document.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "../src/client/client.ts";
import { loadKubeconfig } from "../src/client/kubeconfig.ts";
import { resources } from "../src/client/resources.ts";
import { createHttpTransport } from "../src/client/transport.ts";
import { startTestCluster } from "../test/support/cluster-process.ts";

const rounds = Number(process.argv[2] ?? 100);
const name = "bench-ready";
const dataDir = mkdtempSync(join(tmpdir(), "fairway-bench-"));
const ranges = ["--service-cidr", "10.108.0.0/16", "--cluster-cidr", "10.238.0.0/16"];
const ports = ["--api-port", "0", "--ingress-http-port", "0", "--ingress-https-port", "0"];
const cluster = await startTestCluster({ name, dataDir, args: ["--nodes", "2", ...ports, ...ranges] });
const transport = createHttpTransport(loadKubeconfig({ path: join(dataDir, "kubeconfig") }));
const client = createClient(transport);
const address = "10.209.1.7";
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

try {
  const labels = { app: "echo" };
  await client.create(resources.services, {
    metadata: { name: "echo", namespace: "default" },
    spec: { selector: labels, ports: [{ port: 80, targetPort: 8080 }] },
  });
  await client.create(resources.pods, {
    metadata: { name: "echo", namespace: "default", labels },
    spec: { schedulerName: "nobody", containers: [{ name: "echo", image: "none" }] },
  });
  const kernel = watchKernel();
  await sleep(3000);
  const latencies: { up: number[]; down: number[] } = { up: [], down: [] };
  const load = Number((loadavg()[0] ?? 0).toFixed(2));
  for (let n = 0; n < 2 * rounds; n++) {
    const ready = n % 2 === 0;
    const changed = kernel.next(ready);
    const started = performance.now();
    await setReady(ready);
    (ready ? latencies.up : latencies.down).push((await changed) - started);
    await sleep(20);
  }
  kernel.close();
  const show = (list: number[]): unknown => {
    list.sort((a, b) => a - b);
    const at = (q: number): number => Number((list[Math.floor((list.length - 1) * q)] ?? 0).toFixed(2));
    return { median: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
  };
  process.stdout.write(`${JSON.stringify({ rounds, load, readyMs: show(latencies.up), notReadyMs: show(latencies.down) })}\n`);
} finally {
  transport.close();
  await cluster.stop();
  rmSync(dataDir, { recursive: true, force: true });
}

async function setReady(ready: boolean): Promise<void> {
  const status = ready ? "True" : "False";
  await client.patch(
    resources.pods,
    { namespace: "default", name: "echo" },
    {
      type: "merge",
      body: {
        status: {
          phase: "Running",
          podIP: address,
          podIPs: [{ ip: address }],
          conditions: [
            { type: "Ready", status },
            { type: "ContainersReady", status },
          ],
        },
      },
    },
    { subresource: "status" },
  );
}

/** Hears of the endpoint's slot in the second node's table. */
function watchKernel(): { next(added: boolean): Promise<number>; close(): void } {
  const monitor = spawn("ip", ["netns", "exec", `fw-${name}-node-2`, "nft", "monitor"], { stdio: ["ignore", "pipe", "ignore"] });
  let told: ((text: string, at: number) => void) | undefined;
  monitor.stdout.on("data", (chunk: Buffer) => told?.(chunk.toString(), performance.now()));
  return {
    next: (added) =>
      new Promise((resolve) => {
        let seen = "";
        told = (text, at) => {
          seen += text;
          if (seen.split("\n").some((l) => l.startsWith(added ? "add element" : "delete element") && l.includes(address))) resolve(at);
        };
      }),
    close: () => monitor.kill(),
  };
}
