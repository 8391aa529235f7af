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

describe.skipIf(lack !== undefined)(`Services by iptables${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  let cluster: TestCluster;
  let ip = "";

  beforeAll(async () => {
    const ranges = ["--service-cidr", "10.143.0.0/16", "--cluster-cidr", "10.144.0.0/16"];
    const ports = ["--api-port", "0", "--ingress-http-port", "0", "--ingress-https-port", "0"];
    cluster = await startTestCluster({ name, args: ["--nodes", "1", "--backend", "iptables", ...ports, ...ranges] });
    expect(await cluster.kubectlInput(manifest, "apply", "-f", "-")).toMatchObject({ code: 0, stderr: "" });
    ip = (await cluster.kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")).stdout;
  });

  afterAll(async () => {
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
});
