// The whole way, on a cluster that `fairway up` makes: start, objects in at scale, one change to the kernel of a node.
// Prints one JSON document; bench/README.md says what was seen where.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Endpoint, EndpointSlice } from "../src/api/types/discovery-v1.generated.ts";
import { createClient } from "../src/client/client.ts";
import { loadKubeconfig } from "../src/client/kubeconfig.ts";
import { resources } from "../src/client/resources.ts";
import { createHttpTransport } from "../src/client/transport.ts";
import { startTestCluster } from "../test/support/cluster-process.ts";
import { KernelObserver } from "./kernel-observer.ts";

const services = Number(process.argv[2] ?? 10_000);
const endpoints = 5;
const changes = 200;
const parallel = 32;
const settleMs = 8000;
const nodeNamespace = "fw-bench-node-1";

const dataDir = mkdtempSync(join(tmpdir(), "fairway-bench-"));
const cluster = await startTestCluster({
  name: "bench",
  dataDir,
  args: [
    "--nodes",
    "1",
    "--api-port",
    "0",
    "--ingress-http-port",
    "0",
    "--ingress-https-port",
    "0",
    "--service-cidr",
    "10.105.0.0/16",
    "--cluster-cidr",
    "10.205.0.0/16",
  ],
});
const transport = createHttpTransport(loadKubeconfig({ path: join(dataDir, "kubeconfig") }));
const client = createClient(transport);
const say = (text: string): void => void process.stderr.write(`${text}\n`);

try {
  say(`ready after ${cluster.readySeconds.toFixed(1)} s; creating ${services} Services and slices`);
  const t0 = performance.now();
  await inParallel(services, (i) =>
    client.create(resources.services, {
      metadata: { name: `s-${i}`, namespace: "default" },
      spec: { ports: [{ name: "http", port: 80, targetPort: 8080 }] },
    }),
  );
  const createServices = performance.now() - t0;
  const t1 = performance.now();
  await inParallel(services, (i) => client.create(resources.endpointSlices, slice(i, 0)));
  const createSlices = performance.now() - t1;
  const kernelBehind = await untilKernelHas(services - 1, 0);

  say("changing one endpoint at a time");
  const latencies: number[] = [];
  const answers: number[] = [];
  const kernel = await KernelObserver.start(nodeNamespace);
  for (let n = 1; n <= changes; n++) {
    const i = (n * 7919) % services;
    const changed = kernel.next();
    const started = performance.now();
    await client.patch(
      resources.endpointSlices,
      { namespace: "default", name: `s-${i}-1` },
      { type: "merge", body: { endpoints: slice(i, n).endpoints } },
    );
    answers.push(performance.now() - started);
    latencies.push((await changed) - started);
  }
  await kernel.close();
  // what a burst needed is given back when it is over
  await new Promise((resolve) => setTimeout(resolve, settleMs));
  const behind = latencies.map((ms, n) => ms - (answers[n] ?? 0));
  const at = (times: readonly number[], q: number): number => {
    const sorted = [...times].sort((a, b) => a - b);
    return Number((sorted[Math.floor((sorted.length - 1) * q)] ?? 0).toFixed(2));
  };
  process.stdout.write(
    `${JSON.stringify({
      services,
      endpoints: services * endpoints,
      readySeconds: Number(cluster.readySeconds.toFixed(2)),
      createsPerSecond: { services: Math.round((services / createServices) * 1000), slices: Math.round((services / createSlices) * 1000) },
      kernelBehindLastCreateMs: Math.round(kernelBehind),
      oneEndpointApiToKernelMs: { median: at(latencies, 0.5), p99: at(latencies, 0.99), max: at(latencies, 1) },
      // of that, until the write itself is answered: validation, the log on disk, the way there and back
      oneEndpointApiAnswerMs: { median: at(answers, 0.5), p99: at(answers, 0.99) },
      // who has been told that the write is done waits so long for the kernel; below zero where the kernel was first
      kernelAfterAnswerMs: { median: at(behind, 0.5), p99: at(behind, 0.99) },
      residentMiB: residentMiB(),
    })}\n`,
  );
} finally {
  transport.close();
  await cluster.stop();
  rmSync(dataDir, { recursive: true, force: true });
}

/** Five endpoints outside of every range of the cluster; the first one's address has the version in it. */
function slice(i: number, version: number): EndpointSlice & { readonly endpoints: readonly Endpoint[] } {
  const address = (e: number): string =>
    `10.${e === 0 ? 210 + (version === 0 ? 0 : 1 + (version % 40)) : 206}.${i >> 8}.${(i + e * 50) & 255}`;
  return {
    metadata: { name: `s-${i}-1`, namespace: "default", labels: { "kubernetes.io/service-name": `s-${i}` } },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    endpoints: Array.from({ length: endpoints }, (_, e) => ({ addresses: [address(e)], conditions: { ready: true } })),
  };
}

async function inParallel(n: number, work: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      while (next < n) await work(next++);
    }),
  );
}

async function untilKernelHas(i: number, version: number): Promise<number> {
  const started = performance.now();
  const want = slice(i, version).endpoints[0]?.addresses?.[0] ?? "";
  for (;;) {
    const list = spawn("ip", ["netns", "exec", nodeNamespace, "nft", "list", "table", "ip", "fairway"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    let found = false;
    for await (const chunk of list.stdout ?? []) found ||= String(chunk).includes(want);
    if (found) return performance.now() - started;
  }
}

function residentMiB(): Record<string, number> {
  const out: Record<string, number> = {};
  const ps = readFileSync(`/proc/${cluster.process.pid}/task/${cluster.process.pid}/children`, "utf8").trim().split(" ");
  const visit = (pid: string): void => {
    const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    const role = argv.includes("process") ? argv[argv.indexOf("process") + 1] : "up";
    const rss = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    out[role ?? "?"] = Math.round(Number(rss) / 1024);
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
    for (const child of children === "" ? [] : children.split(" ")) visit(child);
  };
  for (const pid of ps) if (pid !== "") visit(pid);
  return out;
}
