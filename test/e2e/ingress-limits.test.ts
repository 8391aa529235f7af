import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually, removeDataDir, startTestCluster, type TestCluster } from "../support/cluster-process.ts";
import { lacking } from "../support/requires.ts";

const lack = lacking("ip", "nft", "crun", "kubectl");
const name = "e2e-limits";
const args = [
  ...["--nodes", "3", "--api-port", "0", "--ingress-http-port", "0", "--ingress-https-port", "0"],
  ...["--service-cidr", "10.207.0.0/16", "--cluster-cidr", "10.217.0.0/16"],
];
const limit = 60;

/** Nobody answers for the Service: what a limit lets in gets 503. */
const objects = `
apiVersion: v1
kind: Service
metadata: {name: nobody, namespace: default}
spec: {ports: [{port: 80}]}
${["limited", "open"]
  .map(
    (n) => `---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: ${n}
  namespace: default
  annotations: {${n === "open" ? "" : `nginx.ingress.kubernetes.io/global-rate-limit: "${limit}", nginx.ingress.kubernetes.io/global-rate-limit-window: 1h`}}
spec:
  rules: [{host: ${n}.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: nobody, port: {number: 80}}}}]}}]
`,
  )
  .join("")}`;

interface Node {
  readonly addresses: readonly string[];
  readonly metrics: { readonly address: string; readonly port: number };
}

describe.skipIf(lack !== undefined)(`a limit of the whole cluster${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  let cluster: TestCluster;
  let nodes: readonly Node[] = [];

  beforeAll(async () => {
    cluster = await startTestCluster({ name, args });
    const reported = await cluster.fairway("status", "--name", name, "--data-dir", cluster.dataDir, "-o", "json");
    nodes = (JSON.parse(reported.stdout) as { nodes: readonly Node[] }).nodes;
  });
  afterAll(async () => {
    await cluster.stop();
    removeDataDir(cluster);
  });

  function ask(o: {
    readonly ip: string;
    readonly port: number;
    readonly host: string;
    readonly path?: string;
  }): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const r = request(
        { host: o.ip, port: o.port, path: o.path ?? "/", headers: { host: o.host }, timeout: 10_000, agent: false },
        (response) => {
          let text = "";
          response.on("data", (b: Buffer) => (text += b.toString()));
          response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
          response.on("error", reject);
        },
      );
      r.on("timeout", () => r.destroy(new Error("no answer")));
      r.on("error", reject);
      r.end();
    });
  }
  const statusAt = async (i: number, host: string): Promise<number> =>
    (await ask({ ip: nodes[i % nodes.length]?.addresses[0] ?? "", port: 80, host })).status;

  test("three nodes let in together what one would, and then none lets in any", async () => {
    const applied = await cluster.kubectlInput(objects, "apply", "-f", "-");
    expect(applied.code).toBe(0);
    for (const [i, { metrics }] of nodes.entries()) {
      await eventually(async () => ((await statusAt(i, "open.test")) === 503 ? true : undefined), { what: `routes of node ${i}` });
      const heard = async (): Promise<true | undefined> => {
        const { text } = await ask({ ip: metrics.address, port: metrics.port, host: "metrics", path: "/metrics" });
        return text.includes("\nfairway_ingress_limit_peers 2\n") ? true : undefined;
      };
      await eventually(heard, { what: `node ${i} hears the others` });
    }
    let taken = 0;
    for (let i = 0; i < 3 * limit + 30; i++) if ((await statusAt(i, "limited.test")) === 503) taken++;
    expect(taken).toBeGreaterThanOrEqual(limit);
    // each alone would let in three times as many; two, and what is under way at a bad moment, may be above it
    expect(taken).toBeLessThanOrEqual(limit + 20);
    for (const i of nodes.keys()) expect(await statusAt(i, "limited.test")).toBe(429);
  });
});
