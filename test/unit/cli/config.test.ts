import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { register as registerConfig } from "../../../src/cli/commands/config.ts";
import { register as registerRender } from "../../../src/cli/commands/render.ts";
import { register as registerTrace } from "../../../src/cli/commands/trace.ts";
import { runCli } from "../../../src/cli/program.ts";

const objects = `
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {podCIDRs: [10.244.0.0/24]}, status: {addresses: [{type: InternalIP, address: 172.28.0.2}]}}
- {apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.9, type: NodePort, ports: [{port: 80, targetPort: 8080, nodePort: 30080}]}}
- {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, ports: [{port: 8080}], endpoints: [{addresses: [10.244.1.9]}]}
`;
const head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
const configs: Readonly<Record<string, string>> = {
  "none.yaml": head,
  "range.yaml": `${head}clusterCIDR: 10.244.0.0/16\n`,
  "node.yaml": `${head}detectLocalMode: NodeCIDR\n`,
  "all.yaml": `${head}clusterCIDR: 10.244.0.0/16\niptables: {masqueradeAll: true}\n`,
  "bit.yaml": `${head}detectLocalMode: NodeCIDR\niptables: {masqueradeBit: 5}\nnftables: {masqueradeBit: 5}\n`,
  "bridge.yaml": `${head}mode: iptables\ndetectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cni0}\n`,
  "ports.yaml": `${head}nodePortAddresses: [10.0.0.0/8]\n`,
  "bad.yaml": `${head}mode: fast\niptables: {masqueradeBit: 40}\n`,
};

const corefile = "# DNS\n.:53 example.org {\n forward . 10.0.0.1\n cache\n}\ntls://. {\n tls c k\n whoami\n}\n";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "fairway-config-"));
  writeFileSync(join(dir, "o.yaml"), objects);
  writeFileSync(join(dir, "Corefile"), corefile);
  writeFileSync(join(dir, "Corefile.bad"), ".:53 {\n\n cache {\n  size 1\n }\n}\n");
  for (const [name, text] of Object.entries(configs)) writeFileSync(join(dir, name), text);
});
afterAll(() => rmSync(dir, { recursive: true }));

async function run(line: string): Promise<{ status: number; out: string; err: string }> {
  let out = "";
  let err = "";
  const entries = [
    { group: "Questions:", names: ["trace"], load: async () => ({ register: registerTrace }) },
    { group: "Questions:", names: ["render"], load: async () => ({ register: registerRender }) },
    { group: "Others:", names: ["config"], load: async () => ({ register: registerConfig }) },
  ];
  const args = line.split(" ").map((w) => w.replace("DIR", dir));
  const status = await runCli(args, entries, { stdout: (t) => (out += t), stderr: (t) => (err += t) });
  return { status, out, err };
}

const masquerades: readonly (readonly [config: string, backend: string, from: string, want: boolean])[] = [
  ["", "nftables", "10.244.7.7", true],
  ["", "nftables", "10.244.0.7", false],
  ["none.yaml", "nftables", "192.0.2.1", false],
  ["none.yaml", "iptables", "192.0.2.1", false],
  ["range.yaml", "nftables", "10.244.7.7", false],
  ["range.yaml", "iptables", "10.244.7.7", false],
  ["range.yaml", "nftables", "192.0.2.1", true],
  ["node.yaml", "iptables", "10.244.7.7", true],
  ["node.yaml", "iptables", "10.244.0.7", false],
  ["all.yaml", "iptables", "10.244.0.7", true],
  ["all.yaml", "nftables", "10.244.0.7", false],
  ["bit.yaml", "nftables", "192.0.2.1", true],
  ["bit.yaml", "iptables", "192.0.2.1", true],
];

test.each(masquerades)("trace --config %s --backend %s from %s: masquerade %s", async (config, backend, from, masquerade) => {
  const option = config === "" ? "" : ` --config DIR/${config}`;
  const { status, out } = await run(`trace --objects DIR/o.yaml --from ${from} --to web.shop --backend ${backend} -o json${option}`);
  expect(status).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ verdict: "deliver", endpoints: ["10.244.1.9:8080"], masquerade });
});

test.each(["nftables", "iptables"])("the masquerade bit of the configuration is the only one in the rules of %s", async (backend) => {
  const { out } = await run(`render --objects DIR/o.yaml --backend ${backend} --config DIR/bit.yaml`);
  expect(out).toMatch(/0x0*20\b/);
  expect(out).not.toMatch(/0x0*4000\b/);
});

test("the mode of the configuration is the backend, unless one is asked for", async () => {
  const rendered = async (more: string) => (await run(`render --objects DIR/o.yaml --config DIR/bridge.yaml${more}`)).out;
  expect(await rendered("")).toContain("-A FAIRWAY-OFF-CLUSTER -i cni0 -j RETURN");
  expect(await rendered(" --backend nftables")).toContain("table ip fairway");
});

test("node ports are where the configuration says", async () => {
  const trace = async (config: string) =>
    JSON.parse(
      (await run(`trace --objects DIR/o.yaml --from external --to 172.28.0.2:30080 -o json --config DIR/${config}`)).out,
    ) as object;
  expect(await trace("node.yaml")).toMatchObject({ verdict: "deliver" });
  expect(await trace("ports.yaml")).toMatchObject({ verdict: "pass" });
});

test("a bad configuration is bad input: one line with the file and every field", async () => {
  for (const line of ["config check DIR/bad.yaml", "render --objects DIR/o.yaml --config DIR/bad.yaml"]) {
    const { status, out, err } = await run(line);
    expect({ status, out }).toEqual({ status: 2, out: "" });
    expect(err).toMatch(
      /^fairway: (config check|--config) \S+\/bad\.yaml: mode: "fast": must be one of auto, .*; iptables\.masqueradeBit: 40: must be a bit from 0 to 31\n$/,
    );
  }
  expect((await run("config check DIR/gone.yaml")).err).toContain("gone.yaml: no such file or folder");
});

test("config check says of a Corefile what its blocks serve, and in which order", async () => {
  const { status, out } = await run("config check DIR/Corefile -o json");
  expect([status, JSON.parse(out)]).toMatchObject([
    0,
    {
      kind: "Corefile",
      blocks: [
        { line: 2, serves: ["dns://.:53", "dns://example.org."], plugins: ["cache", "forward"] },
        { line: 6, serves: ["tls://."], plugins: ["tls", "whoami"] },
      ],
    },
  ]);
  const bad = await run("config check DIR/Corefile.bad");
  expect([bad.status, bad.err]).toEqual([2, expect.stringMatching(/Corefile\.bad:4: cache: no option size; cache has success, denial/)]);
});

test("config check says what a configuration comes to", async () => {
  const { status, out } = await run("config check DIR/all.yaml -o json");
  expect(status).toBe(0);
  expect(JSON.parse(out)).toMatchObject({
    backend: "auto",
    settings: {
      "pods are known by": "10.244.0.0/16",
      masquerade: "bit 14, all Service traffic",
      healthz: "0.0.0.0:10256",
      metrics: "127.0.0.1:10249",
    },
    remarks: [],
  });
  const other = await run("config check DIR/all.yaml --backend nftables");
  expect(other.out).toContain("note: iptables.masqueradeAll: not read, since backend nftables reads section nftables\n");
});
