import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { command, eventually, removeDataDir, startTestCluster, type TestCluster } from "../support/cluster-process.ts";
import { lacking } from "../support/requires.ts";

const lack = lacking("ip", "iptables", "crun", "kubectl", "curl");
const name = "e2e-ipt";
const manifest = `
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {containers: [{name: echo, image: fairway/echo}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080, nodePort: 31043}]}
`;

/** Loaders that spell one address so that they refuse the line with it. Returns a PATH that finds these first. */
async function refusingLoaders(folder: string, address: string): Promise<string> {
  const loaders = ["iptables", "ip6tables"].flatMap((family) => ["nft", "legacy"].map((make) => `${family}-${make}-restore`));
  for (const loader of loaders) {
    const { code, stdout } = await command("sh", ["-c", `command -v ${loader}`]);
    if (code !== 0) continue;
    const script = `#!/bin/sh\nsed 's/${address.replaceAll(".", "\\.")}:/${address}00:/' | exec ${stdout.trim()} "$@"\n`;
    writeFileSync(join(folder, loader), script, { mode: 0o755 });
  }
  return `${folder}${delimiter}${process.env["PATH"] ?? ""}`;
}

const withEndpoint = (of: string, clusterIP: string, endpoint: string): readonly object[] => [
  { apiVersion: "v1", kind: "Service", metadata: { name: of }, spec: { clusterIP, ports: [{ name: "http", port: 80 }] } },
  {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${of}-1`, labels: { "kubernetes.io/service-name": of } },
    addressType: "IPv4",
    ports: [{ name: "http", protocol: "TCP", port: 8080 }],
    endpoints: [{ addresses: [endpoint] }],
  },
];

describe.skipIf(lack !== undefined)(`Services by iptables${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  let cluster: TestCluster;
  let folder: string;
  let ip = "";

  beforeAll(async () => {
    const ranges = ["--service-cidr", "10.143.0.0/16", "--cluster-cidr", "10.144.0.0/16"];
    const ports = ["--api-port", "0", "--ingress-http-port", "0", "--ingress-https-port", "0"];
    folder = mkdtempSync(join(tmpdir(), `fairway-${name}-loaders-`));
    const env = { PATH: await refusingLoaders(folder, "192.0.2.66") };
    cluster = await startTestCluster({ name, args: ["--nodes", "1", "--backend", "iptables", ...ports, ...ranges], env });
    expect(await cluster.kubectlInput(manifest, "apply", "-f", "-")).toMatchObject({ code: 0, stderr: "" });
    ip = (await cluster.kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")).stdout;
  });

  afterAll(async () => {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    if (cluster === undefined) return;
    const code = await cluster.stop();
    await cluster.fairway("down", "--name", name, "--data-dir", cluster.dataDir);
    removeDataDir(cluster);
    expect(code).toBe(0);
  });

  const onNode = (...args: readonly string[]) => cluster.fairway("node-exec", "node-1", "--", ...args);
  const rules = async (): Promise<string> => (await onNode("iptables-save")).stdout;
  const served = async (): Promise<true | undefined> =>
    (await command("curl", ["-sS", "-m", "3", `http://${ip}/`])).stdout.includes('"pod":"web"') ? true : undefined;

  test("a Service is served at its address, and at its node port on the node's own loopback address too", async () => {
    await eventually(served, { what: "an answer of the Service" });
    expect((await onNode("curl", "-sS", "-m", "3", "http://127.0.0.1:31043/")).stdout).toContain('"pod":"web"');
    expect(await rules()).toContain("FAIRWAY-SERVICES");
    expect((await onNode("nft", "list", "tables")).stdout).not.toContain("fairway");
  });

  test("questions are answered by the backend that runs", async () => {
    const { stdout } = await cluster.fairway("trace", "--from", "node", "--to", "web.default", "-o", "json");
    const { verdict, steps } = JSON.parse(stdout) as { verdict: string; steps: readonly { rule: string }[] };
    expect(verdict).toBe("deliver");
    expect(steps.map((s) => s.rule).join()).toContain("nat FAIRWAY-P-");
  });

  test("what somebody flushes is put back", async () => {
    const before = await rules();
    expect(before).toContain("--to-destination");
    await onNode("iptables", "-t", "nat", "-F");
    await eventually(async () => ((await rules()).includes("--to-destination") ? true : undefined), { what: "the rules are back" });
    await eventually(served, { what: "an answer of the Service" });
    const told = ["get", "events", "--field-selector", "reason=RulesRepaired", "-o", "jsonpath={.items[*].involvedObject.kind}"];
    await eventually(async () => ((await cluster.kubectl(...told)).stdout.includes("Node") ? true : undefined), {
      what: "an Event on the Node",
    });
  });

  test("rules that are refused: all others are in force; an Event, status and metrics name the Service until it changes", async () => {
    const apply = (...items: readonly object[]) =>
      cluster.kubectlInput(JSON.stringify({ apiVersion: "v1", kind: "List", items }), "apply", "-f", "-");
    const inForce = (text: string) => eventually(async () => ((await rules()).includes(text) ? true : undefined), { what: text });
    const metrics = async (): Promise<string> => {
      const { nodes } = JSON.parse((await cluster.fairway("status", "-o", "json")).stdout) as {
        readonly nodes: readonly { readonly metrics: { readonly address: string; readonly port: number } }[];
      };
      return await (await fetch(`http://${nodes[0]?.metrics.address}:${nodes[0]?.metrics.port}/metrics`)).text();
    };
    await apply(...withEndpoint("refused", "10.143.7.7", "192.0.2.66"), ...withEndpoint("beside", "10.143.7.8", "192.0.2.67"));
    await inForce("--to-destination 192.0.2.67:8080");
    await eventually(served, { what: "an answer of the Service that was there before" });
    const said = /the kernel refused the rules of 10\.143\.7\.7:80\/tcp: .*192\.0\.2\.66/;
    await eventually(
      async () => {
        const { stdout } = await cluster.kubectl("describe", "service", "refused");
        return (stdout.includes("RuleRefused") && said.test(stdout)) || undefined;
      },
      { what: "an Event of the Service" },
    );
    const inStatus = async (): Promise<boolean> => said.test((await cluster.fairway("status")).stdout);
    await eventually(async () => (await inStatus()) || undefined, { what: "a line of status" });
    expect(await metrics()).toMatch(/^fairway_rules_problems\{reason="RuleRefused"\} 1\n/m);
    expect(await metrics()).toMatch(/^fairway_rules_refused 1\n/m);
    expect(await rules()).not.toContain("10.143.7.7");

    await apply(...withEndpoint("refused", "10.143.7.7", "192.0.2.68"));
    await inForce("--to-destination 192.0.2.68:8080");
    await eventually(async () => !(await inStatus()) || undefined, { what: "status without it" });
    expect(await metrics()).toMatch(/^fairway_rules_refused 0\n/m);
  });
});
