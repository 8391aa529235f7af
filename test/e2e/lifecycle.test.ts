import { Resolver } from "node:dns/promises";
import { mkdtempSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  command,
  eventually,
  fairwayBinary,
  isAlive,
  pidsOf,
  removeDataDir,
  startTestCluster,
  type TestCluster,
} from "../support/cluster-process.ts";
import { lacking } from "../support/requires.ts";

const lack = lacking("ip", "nft", "crun", "kubectl", "curl", "dig");
const name = "e2e-life";
const args = [
  "--nodes",
  "2",
  "--api-port",
  "0",
  "--ingress-http-port",
  "0",
  "--ingress-https-port",
  "0",
  "--service-cidr",
  "10.104.0.0/16",
  "--cluster-cidr",
  "10.204.0.0/16",
];
const manifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo}
spec:
  replicas: 2
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      containers: [{name: echo, image: fairway/echo, readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}}]
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec: {selector: {app: echo}, ports: [{port: 80, targetPort: 8080}]}
`;

interface ServiceView {
  readonly metadata: { readonly labels: object };
  readonly spec: {
    readonly ports: readonly { readonly port: number; readonly protocol: string; readonly targetPort: number; readonly nodePort: number }[];
  };
}

const twoProtocols = (label: string, udp: number): string => `
apiVersion: v1
kind: Service
metadata: {name: two-protocols, labels: {${label}}}
spec:
  type: NodePort
  ports:
  - {name: u, port: 53, protocol: UDP, targetPort: ${udp}}
  - {name: t, port: 53, protocol: TCP, targetPort: 5353}
`;

async function leftovers(): Promise<string> {
  const all = await command("sh", ["-c", `ip netns list; ip -o link; nft list tables; mount; ls /run/fairway/machines; ps -eo args`]);
  return all.stdout
    .split("\n")
    .filter((l) => l.includes(name) && !l.includes("ps -eo"))
    .join("\n");
}

describe.skipIf(lack !== undefined)(`a cluster's life${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  let cluster: TestCluster;
  const dataDir = mkdtempSync(join(tmpdir(), `fairway-${name}-`));
  const shape = join(dataDir, "two-protocols.yaml");
  const readService = async (): Promise<ServiceView> =>
    JSON.parse((await cluster.kubectl("get", "service", "two-protocols", "-o", "json")).stdout) as ServiceView;

  beforeAll(async () => {
    writeFileSync(shape, twoProtocols("note: kept", 5353));
    cluster = await startTestCluster({ name, args: [...args, "--apply", shape], dataDir });
    const applied = await cluster.kubectlInput(manifest, "apply", "-f", "-");
    expect(applied.stderr).toBe("");
    await cluster.kubectl("rollout", "status", "deployment/echo", "--timeout=120s");
  });

  afterAll(async () => {
    if (cluster === undefined) return;
    await cluster.stop();
    // Finds nothing, unless a test above failed between a kill and the next start.
    await cluster.fairway("down", "--name", name, "--data-dir", dataDir);
    removeDataDir(cluster);
  });

  const echoIp = async (): Promise<string> => (await cluster.kubectl("get", "service", "echo", "-o", "jsonpath={.spec.clusterIP}")).stdout;
  const answers = async (): Promise<boolean> => {
    const ip = await echoIp();
    const http = await command("curl", ["-sS", "-m", "10", `http://${ip}/healthz`, "-o", "/dev/null", "-w", "%{http_code}"]);
    const dns = await command("dig", ["@10.104.0.10", "echo.default.svc.cluster.local", "+short", "+time=3", "+tries=2"]);
    return http.stdout === "200" && dns.stdout.trim() === ip;
  };

  test("a second up on the same data, and on ranges that are taken, are refused in one line", async () => {
    const same = await command(join(import.meta.dirname, "..", "..", "bin", "fairway"), ["up", "--name", name, "--data-dir", dataDir]);
    expect(same.code).toBe(1);
    expect(same.stderr).toMatch(/^fairway: cluster e2e-life runs already/);
    const overlapping = await command(join(import.meta.dirname, "..", "..", "bin", "fairway"), [
      "up",
      "--name",
      "e2e-other",
      "--data-dir",
      join(dataDir, "other"),
      ...args,
    ]);
    expect(overlapping.code).toBe(1);
    expect(overlapping.stderr).toMatch(/overlaps/);
  });

  test.each([
    "process agent",
    "process dns",
    "process ingress",
    "process apiserver",
    "process controllers",
    "process node",
    "process daemon",
  ])("kill -9 of every %s: it comes back, and the Service answers", async (role) => {
    const before = await pidsOf(cluster, role);
    expect(before.length).toBeGreaterThan(0);
    for (const pid of before) process.kill(pid, "SIGKILL");
    await eventually(async () => {
      const now = await pidsOf(cluster, role);
      return now.length === before.length && now.every((p) => !before.includes(p)) ? true : undefined;
    });
    await eventually(async () => ((await answers()) ? true : undefined), { what: `answers after kill of ${role}` });
    expect((await cluster.kubectl("get", "pods", "-l", "app=echo", "--no-headers")).stdout.match(/Running/g)).toHaveLength(2);
  });

  test("questions that come while the dns processes die wait for the next ones: none is refused", async () => {
    const ip = await echoIp();
    const resolver = new Resolver({ timeout: 2000, tries: 10 });
    resolver.setServers(["10.104.0.10"]);
    let answered = 0;
    let stopped = false;
    const asking = Promise.all(
      Array.from({ length: 8 }, async () => {
        for (; !stopped; answered++) expect(await resolver.resolve4("echo.default.svc.cluster.local")).toEqual([ip]);
      }),
    );
    asking.catch(() => undefined); // told below
    for (let round = 0; round < 2; round++) {
      const before = await pidsOf(cluster, "process dns");
      for (const pid of before) process.kill(pid, "SIGKILL");
      const had = answered;
      await Promise.race([asking, eventually(() => (answered > had + 50 ? true : undefined), { what: "answers after a kill" })]);
    }
    stopped = true;
    await asking;
  });

  test("a killed agent and a foreign flush interrupt no connection, and the flush is repaired", async () => {
    const ip = await echoIp();
    const socket = createConnection(80, ip);
    await new Promise((resolve) => socket.once("connect", resolve));
    const ask = (): Promise<string> =>
      new Promise((resolve, reject) => {
        socket.once("data", (d: Buffer) => resolve(d.toString()));
        socket.once("error", reject);
        socket.write("GET /healthz HTTP/1.1\r\nHost: echo\r\n\r\n");
      });
    expect(await ask()).toContain("200");
    for (const pid of await pidsOf(cluster, "process agent")) process.kill(pid, "SIGKILL");
    await new Promise((r) => setTimeout(r, 300));
    expect(await ask()).toContain("200");
    await eventually(async () => ((await answers()) ? true : undefined));
    await command("ip", ["netns", "exec", `fw-${name}-node-1`, "nft", "flush", "ruleset"]);
    // sooner than an audit, which comes once a minute
    await eventually(async () => ((await answers()) ? true : undefined), { what: "rules repaired", timeout: 40_000 });
    socket.destroy();
  });

  test("kill -9 of up: its processes end, the next up goes on with what was stored", async () => {
    await cluster.kubectl("create", "configmap", "kept", "--from-literal=a=b");
    const children = await pidsOf(cluster, " process ");
    expect(children.length).toBeGreaterThan(10);
    const before = await readService();
    expect(before.spec.ports.map((p) => p.targetPort)).toEqual([5353, 5353]);
    cluster.process.kill("SIGKILL");
    await eventually(() => (children.some(isAlive) ? undefined : true), { what: "the end of all processes" });
    writeFileSync(shape, twoProtocols("other: new", 6363));
    cluster = await startTestCluster({ name, args: [...args, "--apply", shape], dataDir });
    const { metadata, spec } = await readService();
    expect([Object.keys(metadata.labels), spec.ports.map((p) => `${p.port} ${p.protocol} ${p.targetPort}`)]).toEqual([
      ["other"],
      ["53 UDP 6363", "53 TCP 5353"],
    ]);
    expect(spec.ports[0]?.nodePort).toBe(before.spec.ports[0]?.nodePort);
    expect((await cluster.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}")).stdout).toBe("b");
    await eventually(async () => ((await answers()) ? true : undefined));
  });

  test("its files are this user's only, and Ctrl-C leaves nothing behind", async () => {
    const modes = await command("sh", [
      "-c",
      `find ${dataDir} -name '*.kubeconfig' -o -name kubeconfig -o -name '*.key' | xargs stat -c '%a %n'`,
    ]);
    expect(modes.stdout.split("\n").filter((l) => l !== "" && !l.startsWith("600 "))).toEqual([]);
    expect((await readFile(join(dataDir, "kubeconfig"), "utf8")).length).toBeGreaterThan(100);
    const started = performance.now();
    expect(await cluster.stop()).toBe(0);
    expect(performance.now() - started).toBeLessThan(10_000); // a pod's grace of 30 s is not waited for
    expect(await leftovers()).toBe("");
  });

  test("after kill -9 of up, down by the name alone leaves nothing behind", async () => {
    cluster = await startTestCluster({ name, args, dataDir });
    await cluster.kubectl("wait", "--for=condition=Ready", "pod", "-l", "app=echo", "--timeout=120s");
    const children = await pidsOf(cluster, " process ");
    cluster.process.kill("SIGKILL");
    await eventually(() => (children.some(isAlive) ? undefined : true), { what: "the end of all processes" });
    // The data is found through the link that stands for the name: another path than the one `up` was given.
    expect(await command(fairwayBinary, ["down", "--name", name])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/removed 2 pods/),
    });
    await eventually(async () => ((await leftovers()) === "" ? true : undefined), { what: "nothing left" });
  });
});
