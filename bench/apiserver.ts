/**
 * What the API server costs, as a process of its own with its store on disk: its start, creates per second at 32 clients, its
 * memory and its processor time with 10,000 Services, as many EndpointSlices and as many Pods: after they were created, after a
 * kill, while three agents list everything at once, and while they watch. Prints one JSON document.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";

const clients = 32;
const agents = 3;
const many = Number(process.env["BENCH_OBJECTS"] ?? 10_000);
const fairway = join(import.meta.dirname, "..", "bin", "fairway");
const namespace = "/api/v1/namespaces/default";
const slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
/** What an agent of a node with every dataplane follows, the large ones of it. */
const followed = ["/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices", "/api/v1/pods"];
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Answer {
  readonly status: number;
  readonly bytes: number;
}

interface Api {
  call(method: string, path: string, body?: object, type?: string): Promise<Answer>;
  stream(path: string, onData: (chunk: Buffer) => void): Promise<IncomingMessage>;
  close(): void;
}

interface Server {
  readonly child: ChildProcess;
  readonly api: Api;
  readonly startMs: number;
}

if (process.argv[2] === "agent") await follow(connect(process.argv[3] ?? ""));
else await measure(mkdtempSync(join(tmpdir(), "fairway-bench-api-")));

async function measure(folder: string): Promise<void> {
  let server = await start(folder);
  const following: ChildProcess[] = [];
  try {
    const empty = { startMs: server.startMs, residentMiB: residentMiB(server) };
    await server.api.call("POST", `${namespace}/serviceaccounts`, { metadata: { name: "default" } });
    const created = {
      services: await perSecond(server.api, `${namespace}/services`, service),
      slices: await perSecond(server.api, slices, slice),
      pods: await perSecond(server.api, `${namespace}/pods`, pod),
    };
    const loaded: Record<string, number> = { atOnce: residentMiB(server), peak: peakMiB(server) };
    await sleep(5000);
    loaded["fiveSecondsLater"] = residentMiB(server);
    server.api.close();
    await kill(server.child);
    server = await start(folder);
    const restarted: Record<string, number> = { startMs: server.startMs, residentMiB: residentMiB(server), peak: peakMiB(server) };
    await sleep(5000);
    restarted["fiveSecondsLater"] = residentMiB(server);

    resetPeak(server);
    const before = cpuMs(server);
    const listed = await Promise.all(
      Array.from({ length: agents }, () => {
        const child = spawn(process.execPath, [import.meta.filename, "agent", join(folder, "kubeconfig")], {
          stdio: ["ignore", "pipe", "inherit"],
        });
        following.push(child);
        return new Promise<number>((resolve) => child.stdout?.once("data", (text) => resolve(Number(text))));
      }),
    );
    const streamed: Record<string, unknown> = {
      ms: listed.sort((a, b) => a - b),
      cpuMsEach: Math.round((cpuMs(server) - before) / agents),
      peakMiB: peakMiB(server),
    };
    await sleep(5000);
    streamed["residentMiBFiveSecondsLater"] = residentMiB(server);

    resetPeak(server);
    const changes = await changeLatency(server.api);
    const changed = { ...changes, peakMiB: peakMiB(server) };
    const lists: Record<string, unknown> = {};
    for (const path of [...followed, "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1", "/api/v1/pods?limit=500"])
      lists[path] = await list(server, path);
    await sleep(5000);
    console.log(
      JSON.stringify(
        {
          objects: many,
          clients,
          load: loadavg()[0],
          empty,
          created,
          loaded,
          restarted,
          streamed,
          changed,
          lists,
          residentMiBAtEnd: residentMiB(server),
        },
        null,
        1,
      ),
    );
  } finally {
    for (const child of following) child.kill("SIGKILL");
    server.api.close();
    await kill(server.child);
    rmSync(folder, { recursive: true });
  }
}

function service(i: number): object {
  return {
    metadata: { name: `svc-${i}`, labels: { app: `app-${i}` } },
    spec: { selector: { app: `app-${i}` }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
  };
}

function slice(i: number): object {
  const address = (e: number): string => `10.206.${i >> 8}.${(i + e * 50) & 255}`;
  return {
    metadata: { name: `svc-${i}-1`, labels: { "kubernetes.io/service-name": `svc-${i}` } },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    endpoints: Array.from({ length: 5 }, (_, e) => ({
      addresses: [address(e)],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: `node-${e}`,
      targetRef: { kind: "Pod", namespace: "default", name: `pod-${i}-${e}` },
    })),
  };
}

/** About 3 KiB once stored, as pods of a Deployment that run are. */
function pod(i: number): object {
  const port = [{ name: "http", containerPort: 8080 }];
  const probe = { httpGet: { path: "/healthz", port: "http" }, periodSeconds: 10, timeoutSeconds: 1 };
  const env = ["LOG_LEVEL", "LISTEN", "UPSTREAM", "REGION"].map((name) => ({ name, value: `value-of-${name.toLowerCase()}` }));
  const started = { running: { startedAt: "2026-01-01T00:00:00Z" } };
  return {
    metadata: {
      name: `pod-${i}`,
      labels: { app: `app-${i}`, "app.kubernetes.io/part-of": "shop", "pod-template-hash": "6b7c9d5f4d" },
      annotations: { "example.com/config-hash": `${i}`.padStart(64, "0") },
      ownerReferences: [
        {
          apiVersion: "apps/v1",
          kind: "ReplicaSet",
          name: `app-${i}-6b7c9d5f4d`,
          uid: "0b9f3ad1-9d2b-4b36-8a6e-1a2b3c4d5e6f",
          controller: true,
        },
      ],
    },
    spec: {
      nodeName: `node-${i % 3}`,
      containers: [
        {
          name: "web",
          image: "registry.example.com/shop/web:1.4.2",
          ports: port,
          env,
          resources: { requests: { cpu: "100m", memory: "64Mi" }, limits: { memory: "128Mi" } },
          readinessProbe: probe,
          livenessProbe: probe,
        },
      ],
    },
    status: {
      phase: "Running",
      podIP: `10.244.${i >> 8}.${i & 255}`,
      containerStatuses: [{ name: "web", ready: true, restartCount: 0, image: "web", imageID: "web", state: started }],
    },
  };
}

interface Rate {
  readonly perSecond: number;
  readonly medianMs: number;
  readonly p99Ms: number;
}

async function perSecond(api: Api, path: string, make: (i: number) => object): Promise<Rate> {
  let next = 0;
  const took: number[] = [];
  const began = performance.now();
  const client = async (): Promise<void> => {
    for (let i = next++; i < many; i = next++) {
      const asked = performance.now();
      const { status } = await api.call("POST", path, make(i));
      if (status !== 201) throw new Error(`${path}: status ${status}`);
      took.push(performance.now() - asked);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return { perSecond: Math.round((many / (performance.now() - began)) * 1000), ...quantiles(took) };
}

/** From the write of a status, one at a time, until a watcher has the event, beside the agents that watch too. */
async function changeLatency(api: Api): Promise<object> {
  const seen = new Map<string, () => void>();
  let text = "";
  const watch = await api.stream("/api/v1/pods?watch=1&resourceVersion=", (chunk) => {
    text += chunk.toString("latin1");
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    if (seen.size === 0) return;
    for (const [mark, told] of seen) if (lines.some((line) => line.includes(mark))) told();
  });
  await sleep(1500);
  const took: number[] = [];
  for (let n = 0; n < 500; n++) {
    const name = `pod-${(n * 7919) % many}`;
    const mark = `mark-${n}-of-a-change`;
    const told = new Promise<void>((resolve) => seen.set(mark, resolve));
    const asked = performance.now();
    await api.call("PATCH", `${namespace}/pods/${name}/status`, { status: { message: mark } }, "application/merge-patch+json");
    await told;
    seen.delete(mark);
    took.push(performance.now() - asked);
  }
  watch.destroy();
  return quantiles(took);
}

async function list(server: Server, path: string): Promise<object> {
  const rounds = 5;
  const took: number[] = [];
  let mib = 0;
  const before = cpuMs(server);
  resetPeak(server);
  for (let n = 0; n < rounds; n++) {
    const asked = performance.now();
    mib = (await server.api.call("GET", path)).bytes / 2 ** 20;
    took.push(performance.now() - asked);
  }
  const cpuMsEach = Math.round((cpuMs(server) - before) / rounds);
  return { mib: round(mib), cpuMsEach, firstMs: round(took[0] ?? 0), bestMs: round(Math.min(...took)), peakMiB: peakMiB(server) };
}

/** What an agent does: lists everything by watches, and goes on watching. Tells how long the lists took. */
async function follow(api: Api): Promise<void> {
  const began = performance.now();
  const query = "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
  await Promise.all(
    followed.map(async (path) => {
      const listed = Promise.withResolvers<void>();
      let tail = Buffer.alloc(0);
      const response = await api.stream(path + query, (chunk) => {
        tail = Buffer.concat([tail, chunk]).subarray(-1000);
        if (tail.includes("initial-events-end")) listed.resolve();
      });
      response.on("error", () => process.exit());
      response.on("close", () => process.exit());
      await listed.promise;
    }),
  );
  process.stdout.write(`${Math.round(performance.now() - began)}\n`);
}

async function start(folder: string): Promise<Server> {
  const kubeconfig = join(folder, "kubeconfig");
  rmSync(kubeconfig, { force: true });
  const began = performance.now();
  const args = ["apiserver", "--data-dir", join(folder, "data"), "--secure-port", "0", "--kubeconfig-out", kubeconfig];
  const child = spawn(fairway, args, { stdio: ["ignore", "inherit", "inherit"] });
  while (!existsSync(kubeconfig) || readFileSync(kubeconfig, "utf8") === "") {
    if (child.exitCode !== null) throw new Error("the API server ended while starting");
    await sleep(2);
  }
  const startMs = Math.round(performance.now() - began);
  return { child, startMs, api: connect(kubeconfig) };
}

function connect(kubeconfig: string): Api {
  const config = parse(readFileSync(kubeconfig, "utf8"));
  const bytes = (base64: string): Buffer => Buffer.from(base64, "base64");
  const { user } = config.users[0];
  const { cluster } = config.clusters[0];
  const agent = new Agent({
    ca: bytes(cluster["certificate-authority-data"]),
    cert: bytes(user["client-certificate-data"]),
    key: bytes(user["client-key-data"]),
    keepAlive: true,
    maxSockets: clients + followed.length,
  });
  const { hostname, port } = new URL(cluster.server);
  return {
    call: (method, path, body, type = "application/json") =>
      new Promise((resolve, reject) => {
        const text = body === undefined ? "" : JSON.stringify(body);
        const headers = { "content-type": type, "content-length": Buffer.byteLength(text) };
        const out = request({ hostname, port, agent, method, path, headers }, (response) => {
          let got = 0;
          response.on("data", (chunk: Buffer) => {
            got += chunk.length;
          });
          response.on("end", () => resolve({ status: response.statusCode ?? 0, bytes: got }));
        });
        out.on("error", reject);
        out.end(text);
      }),
    stream: (path, onData) =>
      new Promise((resolve, reject) => {
        const out = request({ hostname, port, agent, path }, (response) => {
          response.on("data", onData);
          resolve(response);
        });
        out.on("error", reject);
        out.end();
      }),
    close: () => agent.destroy(),
  };
}

function statusOf({ child }: Server, field: string): number {
  const kib = new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1];
  return Math.round(Number(kib) / 1024);
}

function residentMiB(server: Server): number {
  return statusOf(server, "VmRSS");
}

/** Since its start, or since it was reset. */
function peakMiB(server: Server): number {
  return statusOf(server, "VmHWM");
}

function resetPeak({ child }: Server): void {
  writeFileSync(`/proc/${child.pid}/clear_refs`, "5"); // proc(5): resets the peak to what is resident now
}

function cpuMs({ child }: Server): number {
  const fields = readFileSync(`/proc/${child.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function quantiles(took: readonly number[]): { readonly medianMs: number; readonly p99Ms: number } {
  const sorted = took.toSorted((a, b) => a - b);
  const at = (q: number): number => round(sorted[Math.floor((sorted.length - 1) * q)] ?? 0);
  return { medianMs: at(0.5), p99Ms: at(0.99) };
}

function round(value: number): number {
  return Number(value.toFixed(1));
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}
