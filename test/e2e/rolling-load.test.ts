import { mkdtempSync, rmSync } from "node:fs";
import { Agent, get } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import WebSocket from "ws";
import { makeCertificate } from "../../src/apiserver/x509.ts";
import { createClient } from "../../src/client/client.ts";
import { loadKubeconfig } from "../../src/client/kubeconfig.ts";
import { resources } from "../../src/client/resources.ts";
import { createHttpTransport } from "../../src/client/transport.ts";
import { removeDataDir, startTestCluster, type TestCluster } from "../support/cluster-process.ts";
import { lacking } from "../support/requires.ts";

const lack = lacking("ip", "nft", "crun", "kubectl", "curl");
const name = "e2e-roll";
/** More of them by hand: ROLLS=10. */
const rolls = Number(process.env["ROLLS"] ?? 2);
const connections = 16;

const deployment = (of: string, replicas: number): string => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${of}}
spec:
  replicas: ${replicas}
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  selector: {matchLabels: {app: ${of}}}
  template:
    metadata: {labels: {app: ${of}}}
    spec:
      terminationGracePeriodSeconds: 10
      containers: [{name: echo, image: fairway/echo, readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}}]
---
{apiVersion: v1, kind: Service, metadata: {name: ${of}}, spec: {selector: {app: ${of}}, ports: [{name: http, port: 80, targetPort: 8080}]}}`;
const rule = (path: string, of: string): object => ({
  path,
  pathType: "Prefix",
  backend: { service: { name: of, port: { name: "http" } } },
});
const ingress = (paths: readonly object[]) => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "Ingress",
  metadata: { name: "shop" },
  spec: { tls: [{ hosts: ["roll.test"], secretName: "roll" }], rules: [{ host: "roll.test", http: { paths } }] },
});
const routes = [rule("/", "web"), rule("/ws", "talk")];

describe.skipIf(lack !== undefined)(`rolling under load${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  let cluster: TestCluster;
  let to: { readonly ip: string; readonly https: number };
  let pairs: readonly { readonly certPem: string; readonly keyPem: string }[];
  const dataDir = mkdtempSync(join(tmpdir(), `fairway-${name}-`));

  beforeAll(async () => {
    const ranges = ["--service-cidr", "10.107.0.0/16", "--cluster-cidr", "10.207.0.0/16"];
    const ports = ["--api-port", "0", "--ingress-http-port", "0", "--ingress-https-port", "0"];
    cluster = await startTestCluster({ name, dataDir, args: ["--nodes", "2", ...ports, ...ranges] });
    to = ((await cluster.status()) as { ingress: { addresses: (typeof to)[] } }).ingress.addresses[0] as typeof to;
    const valid = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
    const request = { commonName: "roll.test", dnsNames: ["roll.test"], usage: "server" as const, ...valid };
    pairs = await Promise.all([makeCertificate(request), makeCertificate(request)]);
    const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "roll" }, type: "kubernetes.io/tls", stringData: tls(0) };
    const shell = "{apiVersion: v1, kind: Pod, metadata: {name: shell}, spec: {containers: [{name: c, image: fairway/shell}]}}";
    const objects = [deployment("web", 3), deployment("talk", 1), shell, JSON.stringify(secret), JSON.stringify(ingress(routes))];
    expect(await cluster.kubectlInput(objects.join("\n---\n"), "apply", "-f", "-")).toMatchObject({ code: 0, stderr: "" });
    await Promise.all(["web", "talk"].map((d) => cluster.kubectl("rollout", "status", `deployment/${d}`, "--timeout=120s")));
    await cluster.kubectl("wait", "pod/shell", "--for=condition=Ready", "--timeout=120s");
  });

  afterAll(async () => {
    const code = await cluster?.stop();
    await cluster?.fairway("down", "--name", name, "--data-dir", dataDir);
    if (cluster !== undefined) removeDataDir(cluster);
    rmSync(dataDir, { recursive: true, force: true });
    expect(code).toBe(0);
  });

  const tls = (n: number): Record<string, string> => ({
    "tls.crt": pairs[n % 2]?.certPem ?? "",
    "tls.key": pairs[n % 2]?.keyPem ?? "",
  });

  test(`no request fails while the web rolls ${rolls} times and routes and certificates change`, {
    timeout: 300_000 + rolls * 20_000,
  }, async () => {
    const stop = new AbortController();
    const talk = openTalk(to);
    const http = Promise.all(Array.from({ length: connections }, () => askUntil(stop.signal, to)));
    const fresh = cluster.kubectl("exec", "shell", "--", "sh", "-c", freshConnections);
    const changing = changeUntil(stop.signal);
    for (let i = 0; i < rolls; i++) {
      expect(await cluster.kubectl("rollout", "restart", "deployment/web")).toMatchObject({ code: 0 });
      expect((await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=120s")).stdout).toContain("successfully rolled out");
    }
    // The last pods that leave do so after the rollout is called done.
    await new Promise((r) => setTimeout(r, 1000));
    stop.abort();
    await cluster.kubectl("exec", "shell", "--", "touch", "/tmp/stop");
    const [answers, changes, inside, spoken] = [await http, await changing, await fresh, talk.end()];

    const kept = answers.flatMap((a) => a.failures);
    expect(kept).toEqual([]);
    expect(sum(answers.map((a) => a.requests))).toBeGreaterThan(connections * 20);
    expect(new Set(answers.flatMap((a) => [...a.pods])).size).toBeGreaterThanOrEqual(3 + rolls);
    expect(inside.stderr).toBe("");
    const codes = inside.stdout.trim().split("\n");
    expect(codes.filter((c) => c !== "200")).toEqual([]);
    expect(codes.length).toBeGreaterThan(100);
    expect(changes).toBeGreaterThan(10);
    expect(spoken.closed).toBeUndefined();
    expect(spoken.echoes).toBeGreaterThan(10);
  });

  /** Another route and the other certificate every 100 ms; how many changes there were. */
  async function changeUntil(signal: AbortSignal): Promise<number> {
    const transport = createHttpTransport(loadKubeconfig({ path: join(dataDir, "kubeconfig") }));
    const client = createClient(transport);
    let n = 0;
    try {
      for (; !signal.aborted; n++) {
        const paths = [...routes, rule(`/more-${n}`, n % 3 === 0 ? "web" : "talk")];
        await client.patch(
          resources.ingresses,
          { namespace: "default", name: "shop" },
          { type: "merge", body: { spec: ingress(paths).spec } },
        );
        const secret = { stringData: tls(n + 1) };
        await client.patch(resources.secrets, { namespace: "default", name: "roll" }, { type: "merge", body: secret });
        await new Promise((r) => setTimeout(r, 100));
      }
    } finally {
      transport.close();
    }
    return n;
  }
});

/** In a pod: a new connection for every request, from four at once, until a file says stop. */
const freshConnections = `
for i in 1 2 3 4; do
  while [ ! -e /tmp/stop ]; do
    curl -sS -m 30 --rate 50/s -H 'Connection: close' -o /dev/null -w '%{http_code}\\n' 'http://web/[1-25]' || echo failed
  done &
done
wait`;

/** One connection kept alive, request after request. */
async function askUntil(signal: AbortSignal, to: { readonly ip: string; readonly https: number }) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false, servername: "roll.test" });
  const failures: string[] = [];
  const pods = new Set<string>();
  let requests = 0;
  for (; !signal.aborted; requests++) {
    await new Promise<void>((resolve) => {
      const fail = (error: Error): void => {
        failures.push(String(error));
        resolve();
      };
      const options = { host: to.ip, port: to.https, path: "/", agent, headers: { host: "roll.test" }, timeout: 30_000 };
      const request = get(options, (response) => {
        let body = "";
        response.on("data", (d: Buffer) => (body += d.toString()));
        response.on("error", fail);
        response.on("end", () => {
          if (response.statusCode === 200) pods.add((JSON.parse(body) as { pod: string }).pod);
          else failures.push(`status ${response.statusCode}`);
          resolve();
        });
      });
      request.on("timeout", () => request.destroy(new Error("no answer in 30 s")));
      request.on("error", fail);
    });
    await new Promise((r) => setTimeout(r, 10));
  }
  agent.destroy();
  return { requests, failures, pods };
}

/** A WebSocket that says something all the time. */
function openTalk(to: { readonly ip: string; readonly https: number }) {
  const socket = new WebSocket(`wss://${to.ip}:${to.https}/ws`, [], { headers: { host: "roll.test" }, rejectUnauthorized: false });
  let echoes = 0;
  let closed: string | undefined;
  socket.on("message", () => echoes++);
  socket.on("close", (code) => (closed = `closed with ${code}`));
  socket.on("error", (error) => (closed = String(error)));
  const saying = setInterval(() => {
    if (socket.readyState === WebSocket.OPEN) socket.send("still there?");
  }, 100);
  return {
    end: () => {
      clearInterval(saying);
      const result = { echoes, closed };
      socket.terminate();
      return result;
    },
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
