import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { makeCertificate } from "../../src/apiserver/x509.ts";
import { createClient } from "../../src/client/client.ts";
import { loadKubeconfig } from "../../src/client/kubeconfig.ts";
import { resources } from "../../src/client/resources.ts";
import { createHttpTransport } from "../../src/client/transport.ts";
import { eventually, isAlive, pidsOf, removeDataDir, startTestCluster, type TestCluster } from "../support/cluster-process.ts";
import { askUntil, clientPortsOf, type IngressAt, openCall, openTalk } from "../support/ingress-load.ts";
import { lacking } from "../support/requires.ts";

const lack = lacking("ip", "nft", "crun", "kubectl", "curl");
const name = "e2e-roll";
/** More of them in `npm run soak ingress`. */
const rolls = Number(process.env["ROLLS"] ?? 2);
const host = "roll.test";
const talkImage = {
  match: "test/grpc-talk",
  root: "host",
  // a checkout below /tmp is not seen inside
  files: { "/node": process.execPath, "/talk.ts": join(import.meta.dirname, "../support/grpc-talk.program.ts") },
  entrypoint: ["/node", "/talk.ts"],
};
const load = { kept: 44, fresh: 12, http2: 8 } as const;

const deployment = (of: string, replicas: number, image = "fairway/echo", probe = "httpGet: {path: /healthz, port: 8080}"): string => `
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
      containers: [{name: echo, image: ${image}, readinessProbe: {${probe}, periodSeconds: 1}}]
---
{apiVersion: v1, kind: Service, metadata: {name: ${of}}, spec: {selector: {app: ${of}}, ports: [{name: http, port: 80, targetPort: 8080}]}}`;
const rule = (path: string, of: string): object => ({
  path,
  pathType: "Prefix",
  backend: { service: { name: of, port: { name: "http" } } },
});
const calls = {
  apiVersion: "networking.k8s.io/v1",
  kind: "Ingress",
  metadata: { name: "calls", annotations: { "nginx.ingress.kubernetes.io/backend-protocol": "GRPC" } },
  spec: { rules: [{ host, http: { paths: [rule("/talk.Talk", "calls")] } }] },
};
const ingress = (paths: readonly object[]) => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "Ingress",
  metadata: { name: "shop" },
  spec: { tls: [{ hosts: ["roll.test"], secretName: "roll" }], rules: [{ host: "roll.test", http: { paths } }] },
});
const routes = [rule("/", "web"), rule("/ws", "talk")];

describe.skipIf(lack !== undefined)(`rolling under load${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  let cluster: TestCluster;
  let to: IngressAt;
  let pairs: readonly { readonly certPem: string; readonly keyPem: string }[];
  const dataDir = mkdtempSync(join(tmpdir(), `fairway-${name}-`));

  beforeAll(async () => {
    const ranges = ["--service-cidr", "10.107.0.0/16", "--cluster-cidr", "10.207.0.0/16"];
    const ports = ["--api-port", "0", "--ingress-http-port", "0", "--ingress-https-port", "0"];
    const images = join(dataDir, "images.yaml");
    writeFileSync(images, JSON.stringify({ images: [talkImage] }));
    const args = ["--nodes", "2", "--ingress-processes", "2", "--images", images, ...ports, ...ranges];
    cluster = await startTestCluster({ name, dataDir, args });
    const [at] = ((await cluster.status()) as { ingress: { addresses: IngressAt[] } }).ingress.addresses;
    to = { ip: at?.ip ?? "", https: at?.https ?? 0, host };
    const valid = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
    const request = { commonName: "roll.test", dnsNames: ["roll.test"], usage: "server" as const, ...valid };
    pairs = await Promise.all([makeCertificate(request), makeCertificate(request)]);
    const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "roll" }, type: "kubernetes.io/tls", stringData: tls(0) };
    const shell = "{apiVersion: v1, kind: Pod, metadata: {name: shell}, spec: {containers: [{name: c, image: fairway/shell}]}}";
    const configMap = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "roll" } };
    const others = [secret, configMap, ingress(routes), calls].map((o) => JSON.stringify(o));
    const call = deployment("calls", 1, talkImage.match, "tcpSocket: {port: 8080}");
    const objects = [deployment("web", 3), deployment("talk", 1), call, shell, ...others];
    expect(await cluster.kubectlInput(objects.join("\n---\n"), "apply", "-f", "-")).toMatchObject({ code: 0, stderr: "" });
    const status = (d: string) => cluster.kubectl("rollout", "status", `deployment/${d}`, "--timeout=120s");
    const rolledOut = await Promise.all(["web", "talk", "calls"].map(status));
    expect(rolledOut.map((r) => r.stderr + String(r.code))).toEqual(["0", "0", "0"]);
    await cluster.kubectl("wait", "pod/shell", "--for=condition=Ready", "--timeout=120s");
    // a Deployment may say that it is available before its endpoints have come to the tables of the ingress
    for (const open of [() => openTalk(to, "/ws"), () => openCall(to, "/talk.Talk/Say")]) {
      const opens = async (): Promise<true> => {
        const first = open();
        return await first.open.then(() => true as const).finally(() => first.end());
      };
      await eventually(opens, { what: "an endpoint that the ingress reaches" });
    }
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

  test(`no request fails while the web rolls ${rolls} times, routes and certificates change, and the ingress is killed and upgraded`, {
    timeout: 300_000 + rolls * 20_000,
  }, async () => {
    const stop = new AbortController();
    const clients = Object.entries(load).flatMap(([kind, n]) => Array.from({ length: n }, () => kind as keyof typeof load));
    const answered = Promise.all(clients.map((kind) => askUntil(stop.signal, to, kind)));
    const fresh = cluster.kubectl("exec", "shell", "--", "sh", "-c", freshConnections);
    const changing = changeUntil(stop.signal);
    // where a step below fails, these end with the test, and what becomes of them is no other failure
    const running = Promise.allSettled([answered, fresh, changing]);
    onTestFinished(async () => {
      stop.abort();
      await cluster.kubectl("exec", "shell", "--", "touch", "/tmp/stop");
      await running;
    });
    const killed = await killServing();
    const call = openCall(to, "/talk.Talk/Say");
    const talks = [openTalk(to, "/ws"), call];
    await Promise.all(talks.map((t) => t.open));
    await roll(withoutApi);
    await upgrade(new Set(talks.map((t) => t.port())));
    await openPort();
    for (let i = 1; i < rolls; i++) await roll();
    // what is cut is cut at the end of the drain, or when the last pods leave: both after the rollout is called done
    await new Promise((r) => setTimeout(r, 1000));
    stop.abort();
    await cluster.kubectl("exec", "shell", "--", "touch", "/tmp/stop");
    const [answers, changes, inside] = [await answered, await changing, await fresh];
    const spoken = talks.map((t) => ({ closed: t.closed(), echoes: t.echoes() }));
    const callStatus = await call.finish();
    for (const talk of talks) talk.end();

    const failures = answers.flatMap((a) => a.failures);
    const [dead, others] = [failures.filter((f) => killed.has(f.port ?? 0)), failures.filter((f) => !killed.has(f.port ?? 0))];
    expect(others).toEqual([]);
    // of those that the killed process held, what was under way
    expect(new Set(dead.map((f) => f.port)).size).toBe(dead.length);
    expect(sum(answers.map((a) => a.requests))).toBeGreaterThan(clients.length * 10);
    expect(new Set(answers.flatMap((a) => [...a.pods])).size).toBeGreaterThanOrEqual(3 + rolls);
    expect(inside.stderr).toBe("");
    const codes = inside.stdout.trim().split("\n");
    expect(codes.filter((c) => c !== "200")).toEqual([]);
    expect(codes.length).toBeGreaterThan(100);
    expect(changes).toBeGreaterThan(10);
    for (const { closed, echoes } of spoken) {
      expect(closed).toBeUndefined();
      expect(echoes).toBeGreaterThan(10);
    }
    expect(callStatus).toBe("0");
  });

  /** A port of a Service comes up on the nodes, which takes new ingress processes: another hand-over. */
  async function openPort(): Promise<void> {
    const configMap = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "tcp-services" }, data: { 9000: "default/talk:80" } };
    expect(await cluster.kubectl("create", "namespace", "ingress-nginx")).toMatchObject({ code: 0 });
    const applied = await cluster.kubectlInput(JSON.stringify(configMap), "apply", "-n", "ingress-nginx", "-f", "-");
    expect(applied).toMatchObject({ code: 0 });
    const node = await cluster.kubectl("get", "nodes", "-o", "jsonpath={.items[0].status.addresses[0].address}");
    const answer = (): Promise<string | undefined> => fetch(`http://${node.stdout}:9000/`).then((r) => r.text());
    expect(await eventually(answer, { what: "a port that leads to a Service" })).toContain('"pod":"talk-');
  }

  async function roll(meanwhile = async (): Promise<void> => undefined): Promise<void> {
    expect(await cluster.kubectl("rollout", "restart", "deployment/web")).toMatchObject({ code: 0 });
    await meanwhile();
    expect((await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=120s")).stdout).toContain("successfully rolled out");
  }

  /** The API server says nothing until so much was served without it. */
  async function withoutApi(): Promise<void> {
    const [pid] = await pidsOf(cluster, "process apiserver");
    process.kill(Number(pid), "SIGSTOP");
    try {
      const served = new AbortController();
      const asking = Promise.all((["kept", "fresh", "http2"] as const).map((kind) => askUntil(served.signal, to, kind)));
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      served.abort();
      for (const { requests, failures } of await asking) {
        expect(failures).toEqual([]);
        expect(requests).toBeGreaterThan(0);
      }
    } finally {
      process.kill(Number(pid), "SIGCONT");
    }
  }

  /** Kills the ingress process that has most of this machine's connections; the clients' ports of those it held. */
  async function killServing(): Promise<ReadonlySet<number>> {
    const victim = await eventually(async () => mostOf(await pidsOf(cluster, "process ingress")), {
      what: "ingress processes that hold the connections",
    });
    process.kill(victim, "SIGSTOP");
    const held = clientPortsOf(victim, to.https);
    process.kill(victim, "SIGKILL");
    return held;
  }

  /** As after a new version was installed: each daemon starts its ingress anew, and the one of before ends by itself. */
  async function upgrade(talking: ReadonlySet<number>): Promise<void> {
    const before = await pidsOf(cluster, "process ingress");
    const serving = before.filter((pid) => !clientPortsOf(pid, to.https).isDisjointFrom(talking));
    for (const pid of await pidsOf(cluster, "process daemon")) process.kill(pid, "SIGUSR2");
    await eventually(
      async () => {
        const now = await pidsOf(cluster, "process ingress");
        return mostOf(now.filter((pid) => !before.includes(pid)));
      },
      { what: "a new generation that holds the connections" },
    );
    // those with the WebSocket and the call stay; the others have nobody to wait for
    expect(serving).not.toEqual([]);
    for (const pid of serving) expect(isAlive(pid)).toBe(true);
  }

  /** The process that has most of this machine's connections, once they have all those that are kept. */
  function mostOf(pids: readonly number[]): number | undefined {
    const held = pids.map((pid) => ({ pid, ports: clientPortsOf(pid, to.https).size })).toSorted((a, b) => b.ports - a.ports);
    return sum(held.map((h) => h.ports)) >= load.kept ? held[0]?.pid : undefined;
  }

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
        const data = { n: String(n) };
        await client.patch(resources.configMaps, { namespace: "default", name: "roll" }, { type: "merge", body: { data } });
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

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
