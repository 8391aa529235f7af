import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually, removeDataDir, startTestCluster, type TestCluster } from "../support/cluster-process.ts";
import { lacking } from "../support/requires.ts";

const lack = lacking("ip", "nft", "crun", "dig");
const name = "e2e-configmap";
const server = "10.204.0.10";

describe.skipIf(lack !== undefined)(`DNS that follows a ConfigMap${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  let cluster: TestCluster;

  beforeAll(async () => {
    const ranges = ["--service-cidr", "10.204.0.0/16", "--cluster-cidr", "10.214.0.0/16"];
    const ports = ["--api-port", "0", "--ingress-http-port", "0", "--ingress-https-port", "0"];
    cluster = await startTestCluster({ name, args: ["--nodes", "1", ...ports, ...ranges, "--corefile-configmap", "kube-system/coredns"] });
  });

  afterAll(async () => {
    const code = await cluster?.stop();
    if (cluster === undefined) return;
    await cluster.fairway("down", "--name", name, "--data-dir", cluster.dataDir);
    removeDataDir(cluster);
    expect(code).toBe(0);
  });

  const dig = async (...words: readonly string[]): Promise<string> =>
    (await cluster.fairway("node-exec", "node-1", "--", "dig", "+short", "+tries=3", "+time=5", `@${server}`, ...words)).stdout.trim();
  const edit = async (corefile: string): Promise<void> => {
    const patch = JSON.stringify({ data: { Corefile: corefile } });
    const { code, stderr } = await cluster.kubectl("patch", "-n", "kube-system", "configmap", "coredns", "--type=merge", "-p", patch);
    expect([code, stderr]).toEqual([0, ""]);
  };
  const hosts = (ip: string, ttl: number): string =>
    `.:53 {\n errors\n health {\n  lameduck 1s\n }\n ready\n prometheus :9153\n hosts {\n  ${ip} git.example.org\n  fallthrough\n }\n kubernetes cluster.local {\n  ttl ${ttl}\n }\n}\n`;
  const answers = (ip: string): Promise<unknown> =>
    eventually(async () => ((await dig("git.example.org")) === ip ? true : undefined), { what: `git.example.org at ${ip}` });

  test("it begins with one that `up` made, and what kubectl changes is in use", async () => {
    expect(await dig("kubernetes.default.svc.cluster.local")).toBe("10.204.0.1");
    // other zones: the agent and the names start anew
    await edit(hosts("10.1.1.1", 30));
    await answers("10.1.1.1");
    // and again, while the process before has the ports of health and ready
    await edit(hosts("10.2.2.2", 31));
    await answers("10.2.2.2");
    expect(await dig("kubernetes.default.svc.cluster.local")).toBe("10.204.0.1");
  });

  test("a bad one changes nothing, and an Event on the ConfigMap names the line", async () => {
    await edit(".:53 {\n errors\n cash 30\n}\n");
    const told = async (): Promise<true | undefined> => {
      const { stdout } = await cluster.kubectl(
        "get",
        "events",
        "-n",
        "kube-system",
        "--field-selector=involvedObject.kind=ConfigMap",
        "-o",
        "json",
      );
      const { items } = JSON.parse(stdout) as { items: { reason: string; message: string }[] };
      return items.some((e) => e.reason === "BadCorefile" && e.message.includes("Corefile:3:")) ? true : undefined;
    };
    await eventually(told, { what: "an Event that names line 3" });
    expect(await dig("git.example.org")).toBe("10.2.2.2");
    await edit(hosts("10.3.3.3", 30));
    await answers("10.3.3.3");
  });
});
