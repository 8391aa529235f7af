/**
 * What the API server costs, as a process of its own with its store on disk: its start, creates per second at 32 clients,
 * its memory with 10,000 Services and 10,000 Pods, its start with those. Prints one JSON line. Times of this machine only.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";

const clients = 32;
const many = Number(process.env["BENCH_OBJECTS"] ?? 10_000);
const folder = mkdtempSync(join(tmpdir(), "fairway-bench-api-"));
const kubeconfig = join(folder, "kubeconfig");
const fairway = join(import.meta.dirname, "..", "bin", "fairway");

interface Server {
  readonly child: ChildProcess;
  readonly startMs: number;
  call(method: string, path: string, body?: object): Promise<number>;
}

async function start(): Promise<Server> {
  rmSync(kubeconfig, { force: true });
  const began = performance.now();
  const child = spawn(fairway, ["apiserver", "--data-dir", join(folder, "data"), "--secure-port", "0", "--kubeconfig-out", kubeconfig], {
    stdio: "ignore",
  });
  while (!existsSync(kubeconfig) || readFileSync(kubeconfig, "utf8") === "") await new Promise((resolve) => setTimeout(resolve, 2));
  const startMs = performance.now() - began;
  const config = parse(readFileSync(kubeconfig, "utf8"));
  const bytes = (base64: string): Buffer => Buffer.from(base64, "base64");
  const { user } = config.users[0];
  const { cluster } = config.clusters[0];
  const agent = new Agent({
    ca: bytes(cluster["certificate-authority-data"]),
    cert: bytes(user["client-certificate-data"]),
    key: bytes(user["client-key-data"]),
    keepAlive: true,
    maxSockets: clients,
  });
  const { hostname, port } = new URL(cluster.server);
  const call = (method: string, path: string, body?: object): Promise<number> =>
    new Promise((resolve, reject) => {
      const text = body === undefined ? "" : JSON.stringify(body);
      const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
      const out = request({ hostname, port, agent, method, path, headers }, (response) => {
        response.resume();
        response.on("end", () => resolve(response.statusCode ?? 0));
      });
      out.on("error", reject);
      out.end(text);
    });
  return { child, startMs, call };
}

async function perSecond(call: Server["call"], path: string, make: (i: number) => object): Promise<number> {
  let next = 0;
  const began = performance.now();
  const client = async (): Promise<void> => {
    for (let i = next++; i < many; i = next++) {
      const status = await call("POST", path, make(i));
      if (status !== 201) throw new Error(`${path}: status ${status}`);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return Math.round((many / (performance.now() - began)) * 1000);
}

function rssMiB(child: ChildProcess): number {
  const kib = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1];
  return Math.round(Number(kib) / 1024);
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}

const namespace = "/api/v1/namespaces/default";
let server = await start();
try {
  const { call, startMs: emptyStartMs } = server;
  const emptyRssMiB = rssMiB(server.child);
  await call("POST", `${namespace}/serviceaccounts`, { metadata: { name: "default" } });
  const servicesPerSecond = await perSecond(call, `${namespace}/services`, (i) => ({
    metadata: { name: `svc-${i}`, labels: { app: `app-${i}` } },
    spec: { selector: { app: `app-${i}` }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
  }));
  const podsPerSecond = await perSecond(call, `${namespace}/pods`, (i) => ({
    metadata: { name: `pod-${i}`, labels: { app: `app-${i}` } },
    spec: { containers: [{ name: "c", image: "fairway/echo", ports: [{ name: "http", containerPort: 8080 }] }] },
  }));
  const rssMiBLoaded = rssMiB(server.child);
  await kill(server.child);
  server = await start();
  const figures = { objects: many, clients, emptyStartMs: Math.round(emptyStartMs), emptyRssMiB, servicesPerSecond, podsPerSecond };
  console.log(
    JSON.stringify({ ...figures, rssMiBLoaded, startAfterKillMs: Math.round(server.startMs), rssMiBRestarted: rssMiB(server.child) }),
  );
} finally {
  await kill(server.child);
  rmSync(folder, { recursive: true });
}
