import { spawn } from "node:child_process";
import { symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import WebSocket from "ws";
import { makeCertificate } from "../../src/apiserver/x509.ts";
import { type CommandResult, command, eventually, fairwayBinary, startTestCluster, type TestCluster } from "../support/cluster-process.ts";
import { lacking } from "../support/requires.ts";

const lack = lacking("ip", "nft", "crun", "kubectl", "curl", "bash");
const name = "e2e-cli";

const echoPod = (of: string, env: object, more: object = {}): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: of, labels: { app: of } },
  spec: {
    terminationGracePeriodSeconds: 5,
    containers: [
      {
        name: "c",
        image: "fairway/echo",
        env: Object.entries(env).map(([key, value]) => ({ name: key, value })),
        readinessProbe: { httpGet: { path: "/healthz", port: 8080, scheme: of === "secure" ? "HTTPS" : "HTTP" }, periodSeconds: 1 },
        ...(of === "secure" ? { volumeMounts: [{ name: "tls", mountPath: "/tls" }] } : {}),
      },
    ],
    ...more,
  },
});
const service = (of: string): object => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: of },
  spec: { selector: { app: of }, ports: [{ name: "web", port: 80, targetPort: 8080 }] },
});
const yaml = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: echo}
spec: {rules: [{host: echo.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: echo, port: {name: web}}}}]}}]}
---
{apiVersion: v1, kind: Pod, metadata: {name: agnhost}, spec: {containers: [{name: c, image: "registry.example/e2e-test-images/agnhost:2.47"}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: unknown}, spec: {containers: [{name: c, image: "nobody/knows:1"}]}}
`;

/** The command line as docs and scripts rely on it: a one-node cluster, seen from outside only. */
describe.skipIf(lack !== undefined)(`the command line${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  let folder: string;
  let cluster: TestCluster;
  let exported: string;
  let args: readonly string[];

  const fairway = (...args: readonly string[]): Promise<CommandResult> => cluster.fairway(...args);
  const json = async (...args: readonly string[]): Promise<Record<string, unknown>> => {
    const done = await fairway(...args, "-o", "json");
    expect(done).toMatchObject({ code: 0, stderr: "" });
    expect(done.stdout.trimEnd().split("\n")).toHaveLength(1);
    return JSON.parse(done.stdout) as Record<string, unknown>;
  };
  const ipOf = async (of: string): Promise<string> =>
    (await cluster.kubectl("get", "service", of, "-o", "jsonpath={.spec.clusterIP}")).stdout;
  const curl = async (...args: readonly string[]): Promise<string> => (await command("curl", ["-sS", "-m", "30", ...args])).stdout;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "fairway-e2e-cli-files-"));
    const file = (path: string, text: string): string => {
      writeFileSync(join(folder, path), text, { mode: 0o755 });
      return join(folder, path);
    };
    const program = file("agnhost", '#!/bin/sh\necho "agnhost $* $GREETING"; pwd; exec sleep 600\n');
    const images = file(
      "images.yaml.txt",
      `images: [{match: "*/e2e-test-images/agnhost:*", root: host, files: {/agnhost: ${program}}, entrypoint: [/agnhost], cmd: [pause], env: {GREETING: hello}, workingDir: /usr, user: 0}]`,
    );
    const valid = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
    const pair = await makeCertificate({ commonName: "secure.test", dnsNames: ["secure.test"], usage: "server", ...valid });
    file("cert.pem", pair.certPem);
    const secret = {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "tls" },
      type: "kubernetes.io/tls",
      stringData: { "tls.crt": pair.certPem, "tls.key": pair.keyPem },
    };
    const secure = echoPod(
      "secure",
      { TLS_CERT_FILE: "/tls/tls.crt", TLS_KEY_FILE: "/tls/tls.key" },
      { volumes: [{ name: "tls", secret: { secretName: "tls" } }] },
    );
    const items = [echoPod("echo", {}), service("echo"), secret, secure, service("secure")];
    const objects = join(folder, "objects");
    await command("mkdir", [objects]);
    file("objects/list.json", JSON.stringify({ apiVersion: "v1", kind: "List", items }));
    file("objects/more.yaml", yaml);
    const ranges = ["--service-cidr", "10.119.0.0/16", "--cluster-cidr", "10.219.0.0/16"];
    const ports = ["--api-port", "0", "--ingress-http-port", "0", "--ingress-https-port", "0"];
    args = ["--nodes", "1", ...ports, ...ranges, "--images", images, "--apply", objects];
    cluster = await startTestCluster({ name, args });
    const waited = await cluster.kubectl("wait", "pod/echo", "pod/secure", "pod/agnhost", "--for=condition=Ready", "--timeout=120s");
    expect(waited.stderr).toBe("");
    exported = join(folder, "exported");
    await command("mkdir", [exported]);
    const all = await cluster.kubectl(
      "get",
      "nodes,servicecidrs,services,endpointslices,ingresses,ingressclasses,pods,namespaces",
      "-A",
      "-o",
      "json",
    );
    file("exported/all.json", all.stdout);
    await eventually(async () => (await curl(`http://${await ipOf("echo")}/`)).includes('"pod":"echo"') || undefined);
    await eventually(async () => (await curl("-k", `https://${await ipOf("secure")}:80/`)).includes('"pod":"secure"') || undefined);
  });

  afterAll(async () => {
    await cluster?.stop();
    await cluster?.fairway("down", "--name", name, "--data-dir", cluster.dataDir);
    for (const path of [cluster?.dataDir, folder]) if (path !== undefined) await rm(path, { recursive: true, force: true });
  });

  test("ready is a line of its own, without colours, when what every client needs is there", async () => {
    expect(cluster.output().match(/^ready$/gm)).toHaveLength(1);
    expect(cluster.output()).not.toContain("\u001b");
    for (const of of ["namespace/default", "serviceaccount/default", "configmap/kube-root-ca.crt"]) {
      expect(await cluster.kubectl("get", of)).toMatchObject({ code: 0 });
    }
  });

  test("images: a glob of the images file, its files, command, environment and folder; an unknown one is named with the file", async () => {
    await eventually(async () => (await cluster.kubectl("logs", "agnhost")).stdout === "agnhost pause hello\n/usr\n" || undefined);
    await eventually(async () => {
      const said = await cluster.kubectl("get", "pod", "unknown", "-o", "jsonpath={.status.containerStatuses[0].state.waiting.message}");
      return /ErrImagePull|^image/.test(said.stdout) && said.stdout.includes('"nobody/knows:1"') && said.stdout.includes("images.yaml.txt")
        ? true
        : undefined;
    });
  });

  test("echo: who answered and what was asked, a status, a delay, a WebSocket, TLS", async () => {
    const ip = await ipOf("echo");
    const said = JSON.parse(await curl("-X", "PUT", "-H", "X-Mine: 1", `http://${ip}/a?b=c`)) as Record<string, unknown>;
    expect(Object.keys(said)).toEqual(["pod", "namespace", "node", "podIP", "client", "method", "path", "headers"]);
    expect(said).toMatchObject({ pod: "echo", namespace: "default", node: "node-1", method: "PUT", path: "/a?b=c" });
    expect(said["headers"]).toMatchObject({ "x-mine": "1", host: ip });
    expect(await curl("-o", "/dev/null", "-w", "%{http_code}", `http://${ip}/status/418`)).toBe("418");
    expect(Number(await curl("-o", "/dev/null", "-w", "%{time_total}", `http://${ip}/delay/300`))).toBeGreaterThanOrEqual(0.29);
    const socket = new WebSocket(`ws://${ip}/ws`);
    const echoed = new Promise<string>((resolve, reject) => {
      socket.on("open", () => socket.send("again"));
      socket.on("message", (data: Buffer) => resolve(data.toString()));
      socket.on("error", reject);
    });
    expect(await echoed).toBe("again");
    socket.terminate();
    const secure = await curl("--cacert", join(folder, "cert.pem"), "--connect-to", `::${await ipOf("secure")}:80`, "https://secure.test/");
    expect(secure).toContain('"pod":"secure"');
  });

  test("status: one JSON document, names, and who the only node is; node-exec gives streams and status", async () => {
    const status = await json("status");
    expect(status).toMatchObject({
      name,
      mode: "full",
      dns: { addresses: ["10.119.0.10"], port: 53 },
      nodes: [{ name: "node-1", netns: `fw-${name}-node-1`, ready: true, podCidrs: ["10.219.0.0/24"] }],
    });
    const [node] = status["nodes"] as { metrics: { address: string; port: number } }[];
    const observed = `http://${node?.metrics.address}:${node?.metrics.port}`;
    for (const path of ["healthz", "livez", "readyz"]) expect(await curl(`${observed}/${path}`)).toBe("ok");
    expect((await fairway("status", "-o", "name")).stdout).toBe("node-1\n");
    const ran = await fairway("node-exec", "node-1", "--", "sh", "-c", "ip -o addr show lo; echo bad >&2; exit 7");
    expect(ran).toMatchObject({ code: 7, stderr: "bad\n", stdout: expect.stringContaining("10.119.0.10/32") });
  });

  test.each([
    {
      ask: ["trace", "--node", "node-1", "--from", "external", "--to", "echo.default:80"],
      says: { verdict: "deliver", service: "default/echo:web" },
    },
    {
      ask: ["trace", "--node", "node-1", "--backend", "all", "--from", "default/echo", "--to", "echo.default"],
      says: { nftables: { verdict: "deliver" } },
    },
    { ask: ["trace", "--node", "node-1", "--from", "node", "--to", "10.119.99.99:80"], says: { verdict: "drop", endpoints: [] } },
    { ask: ["resolve", "echo", "--from", "default/echo", "--search"], says: { rcode: "NOERROR", answers: [{ type: "A", ttl: 5 }] } },
    { ask: ["resolve", "none.default.svc.cluster.local"], says: { rcode: "NXDOMAIN", authoritative: true } },
    {
      ask: ["route", "http://echo.test/x", "-X", "POST"],
      says: { outcome: "forward", backends: [{ service: "default/echo", weight: 100 }] },
    },
    { ask: ["route", "http://nobody.test/"], says: { outcome: "none", status: 404 } },
  ])("$ask: the same answer live and offline; --fail makes a no a failure", async ({ ask, says }) => {
    const live = await json(...ask);
    expect(live).toMatchObject(says);
    const offline = await command(fairwayBinary, [...ask, "--objects", exported, "-o", "json"], { env: { KUBECONFIG: "/nowhere" } });
    expect(offline).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(offline.stdout)).toEqual(live);
    const no = live["verdict"] === "drop" || live["rcode"] === "NXDOMAIN" || live["outcome"] === "none";
    expect((await fairway(...ask, "--fail")).code).toBe(no ? 1 : 0);
  });

  test("render: what the loaders take", async () => {
    const rules = await fairway("render", "--node", "node-1", "--backend", "nftables", "--objects", exported);
    expect(rules.code).toBe(0);
    expect(await command("nft", ["-c", "-f", "-"], { input: rules.stdout })).toMatchObject({ code: 0, stderr: "" });
    const listeners = await fairway("render", "--node", "node-1", "--backend", "userspace", "--objects", exported);
    expect(JSON.parse(listeners.stdout)).toMatchObject({ listeners: expect.any(Array) });
  });

  test("wrong usage and bad input are 2, with one line that says what to do", async () => {
    const bad = join(folder, "bad.yaml");
    writeFileSync(bad, "kind: Service\nmetadata: [\n");
    for (const [args, says] of [
      [["bogus"], /unknown command 'bogus'/],
      [["up", "--nodes", "none"], /--nodes none: give a number/],
      [["render", "--backend", "none", "--node", "n", "--objects", exported], /--backend none: there are nftables/],
      [["resolve", "x", "--objects", "/nowhere"], /\/nowhere: no such file or folder/],
      [["resolve", "x", "--objects", bad], /bad\.yaml: line \d/],
      [["trace", "--node", "other", "--from", "node", "--to", "echo.default"], /--node other: no such Node; there \w+ node-1/],
      [["node-exec", "other", "--", "true"], /other: no such node; there \w+ node-1/],
    ] as const) {
      const done = await fairway(...args);
      expect(done, args.join(" ")).toMatchObject({ code: 2, stdout: "", stderr: expect.stringMatching(says) });
      expect(done.stderr.trimEnd().split("\n"), args.join(" ")).toHaveLength(1);
    }
  });

  test("works by a link and from any folder; check, completion, version, help", async () => {
    const link = join(folder, "fw");
    symlinkSync(fairwayBinary, link);
    const from = (script: string): Promise<CommandResult> => command("sh", ["-c", `cd / && ${script}`]);
    expect((await from(`${link} --version`)).stdout).toMatch(/^fairway \d+\.\d+\.\d+\n$/);
    expect(await from(`${link} check`)).toMatchObject({ code: 0, stdout: expect.stringContaining("'fairway up' makes a full cluster") });
    expect((await from(`${link} completion bash`)).stdout).toContain("complete ");
    expect(await command("bash", ["-n"], { input: (await from(`${link} completion bash`)).stdout })).toMatchObject({ code: 0 });
    for (const shell of ["zsh", "fish"]) expect((await from(`${link} completion ${shell}`)).stdout).toContain("node-exec");
    expect((await from(`${link} up --help`)).stdout).toContain("--service-cidr");
  });

  test("echo leaves: who has just connected is answered, whose connection is idle is not waited for", async () => {
    const env = { ...process.env, POD_IP: "127.77.119.1", FAIRWAY_DNS: "127.77.119.2:53" };
    const attempt = async (): Promise<string> => {
      const child = spawn(process.execPath, [join(fairwayBinary, "..", "..", "dist", "echo.program.mjs")], { env, stdio: "ignore" });
      const ended = new Promise<string>((resolve) => child.once("exit", (code, signal) => resolve(String(code ?? signal))));
      await eventually(async () => (await curl("http://127.77.119.1:8080/healthz")) === "ok\n" || undefined);
      const client = connect(8080, "127.77.119.1");
      let said = "";
      client.on("data", (d: Buffer) => (said += d.toString()));
      client.on("error", (e) => (said += String(e)));
      await new Promise((resolve) => client.once("connect", resolve));
      child.kill("SIGTERM");
      await new Promise((resolve) => setTimeout(resolve, 100));
      client.write("GET /healthz HTTP/1.1\r\nHost: echo\r\n\r\n");
      const status = await ended;
      client.destroy();
      return `${status} ${/^HTTP.*|^connection.*/gim.exec(said)?.[0]} ${said.includes("connection: close")}`;
    };
    // It waits a second; on a machine that has no time for us that may not be enough at once.
    await eventually(async () => (await attempt()) === "0 HTTP/1.1 200 OK true" || undefined);
  });

  test("nobody reads its output any more, and one wish comes as three signals: it ends in order; the next start goes on", async () => {
    const { dataDir } = cluster;
    cluster.process.stdout?.destroy();
    cluster.process.stderr?.destroy();
    const ended = new Promise((resolve) => cluster.process.once("exit", (code, signal) => resolve(code ?? signal)));
    for (const signal of ["SIGINT", "SIGINT", "SIGHUP"] as const) {
      cluster.process.kill(signal);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(await ended).toBe(0);
    const left = (await command("sh", ["-c", "ip netns list; ip -o link; mount; ls /run/fairway/machines; ps -eo args"])).stdout;
    expect(left.split("\n").filter((l) => l.includes(dataDir) || /fw-e2e-cli|e2e-cli.json/.test(l))).toEqual([]);
    cluster = await startTestCluster({ name, args, dataDir });
    expect(await cluster.kubectl("get", "service", "echo")).toMatchObject({ code: 0 });
  });

  test("down ends a running cluster, and a second one finds nothing", async () => {
    const down = await command(fairwayBinary, ["down", "--name", name, "--data-dir", cluster.dataDir]);
    expect(down).toEqual({ code: 0, stdout: `cluster ${name}: ended\n`, stderr: "" });
    expect(await cluster.stop()).toBe(0);
    const again = await command(fairwayBinary, ["down", "--name", name, "--data-dir", cluster.dataDir]);
    expect(again).toMatchObject({ code: 0, stdout: `cluster ${name}: nothing was left\n` });
    const byFolder = await command(fairwayBinary, ["down", "--data-dir", cluster.dataDir]);
    expect(byFolder).toMatchObject({ code: 0, stdout: `${cluster.dataDir}: nothing was left\n` });
    const nowhere = await command(fairwayBinary, ["down", "--data-dir", "/nonexistent"]);
    expect(nowhere).toMatchObject({ code: 2, stderr: "fairway: --data-dir /nonexistent: no cluster has run there; give --name too\n" });
  });
});
