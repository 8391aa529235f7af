import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { register as registerRender } from "../../../src/cli/commands/render.ts";
import { register as registerTrace } from "../../../src/cli/commands/trace.ts";
import { runCli } from "../../../src/cli/program.ts";

const objects = `
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {podCIDRs: [10.244.0.0/24]}, status: {addresses: [{type: InternalIP, address: 172.28.0.2}]}}
- {apiVersion: networking.k8s.io/v1, kind: ServiceCIDR, metadata: {name: kubernetes}, spec: {cidrs: [10.96.0.0/16]}}
- {apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop}, spec: {nodeName: n1, containers: []}, status: {podIP: 10.244.0.7}}
- {apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.9, type: NodePort, ports: [{name: http, port: 80, nodePort: 30080}]}}
- {apiVersion: v1, kind: Service, metadata: {name: none, namespace: shop}, spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}}
`;
const slices = {
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name: "web-1", namespace: "shop", labels: { "kubernetes.io/service-name": "web" } },
  addressType: "IPv4",
  ports: [{ name: "http", port: 8080 }],
  endpoints: [
    { addresses: ["10.244.1.9"], nodeName: "n2" },
    { addresses: ["10.244.0.5"], nodeName: "n1" },
  ],
};

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "fairway-trace-"));
  writeFileSync(join(dir, "o.yaml"), objects);
  writeFileSync(join(dir, "slices.json"), JSON.stringify(slices));
  writeFileSync(
    join(dir, "bad.yaml"),
    "apiVersion: v1\nkind: Service\nmetadata: {name: bad, namespace: shop}\nspec: {clusterIP: 10.96.0.11, externalIPs: [10.0.0.300], ports: [{port: 80}], colour: red}\n",
  );
  writeFileSync(join(dir, "node.yaml"), "apiVersion: v1\nkind: Node\nmetadata: {name: n2}\n");
  writeFileSync(join(dir, "deployment.yaml"), "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n");
});
afterAll(() => rmSync(dir, { recursive: true }));

async function run(line: string): Promise<{ status: number; out: string; err: string }> {
  let out = "";
  let err = "";
  const entries = [
    { group: "Questions:", names: ["trace"], load: async () => ({ register: registerTrace }) },
    { group: "Questions:", names: ["render"], load: async () => ({ register: registerRender }) },
  ];
  const args = line.split(" ").map((w) => w.replace("DIR", dir));
  const status = await runCli(args, entries, { stdout: (t) => (out += t), stderr: (t) => (err += t) });
  return { status, out, err };
}

test("the answer for programs is the contract's document and nothing else", async () => {
  const { status, out, err } = await run(
    "trace --objects DIR/o.yaml --objects DIR/slices.json --from external --to 172.28.0.2:30080 -o json",
  );
  expect({ status, err }).toEqual({ status: 0, err: "" });
  expect(out.split("\n")).toHaveLength(2);
  expect(JSON.parse(out)).toEqual({
    verdict: "deliver",
    endpoints: ["10.244.0.5:8080", "10.244.1.9:8080"],
    masquerade: true,
    service: "shop/web:http",
    affinitySeconds: null,
    steps: expect.arrayContaining([{ rule: expect.any(String), why: expect.any(String), object: "Service shop/web" }]),
  });
});

test("several files behind one --objects, and a folder, are the same question", async () => {
  const one = await run("trace --objects DIR/o.yaml DIR/slices.json --from shop/a --to web.shop:80 -o json");
  expect(JSON.parse(one.out)).toMatchObject({ verdict: "deliver", masquerade: false });
  const backends = await run("trace --from shop/a --to web.shop:80 -o json --backend all --objects DIR/o.yaml DIR/slices.json");
  const all = JSON.parse(backends.out);
  expect(all.nftables).toEqual(JSON.parse(one.out));
  expect(all.userspace).toMatchObject({ verdict: "deliver", endpoints: all.nftables.endpoints });
});

test("for people: where to, why, and with wide the rules", async () => {
  const { out } = await run("trace --objects DIR/o.yaml DIR/slices.json --from shop/a --to web.shop:80");
  expect(out).toMatch(
    /^10\.244\.0\.7 → 10\.96\.0\.9:80\/tcp on n1\ndelivered to one of 2: 10\.244\.0\.5:8080, 10\.244\.1\.9:8080 by Service shop\/web:http; the endpoint sees the sender's address\n {2}1\. /,
  );
  const wide = await run("trace --objects DIR/o.yaml DIR/slices.json --from shop/a --to web.shop:80 -o wide");
  expect(wide.out).toContain("map @service-ips");
  const names = await run("trace --objects DIR/o.yaml DIR/slices.json --from shop/a --to web.shop:80 -o name");
  expect(names.out).toBe("10.244.0.5:8080\n10.244.1.9:8080\n");
});

test("--fail makes reject and drop 1, after the answer was printed", async () => {
  const reject = await run("trace --objects DIR/o.yaml --from shop/a --to none.shop -o json --fail");
  expect({ status: reject.status, verdict: JSON.parse(reject.out).verdict, err: reject.err }).toEqual({
    status: 1,
    verdict: "reject",
    err: "fairway: the packet is rejected\n",
  });
  const drop = await run("trace --objects DIR/o.yaml --from shop/a --to 10.96.3.3:80 --fail -o json");
  expect({ status: drop.status, verdict: JSON.parse(drop.out).verdict }).toEqual({ status: 1, verdict: "drop" });
  expect((await run("trace --objects DIR/o.yaml --from shop/a --to 192.0.2.7:80 --fail")).status).toBe(0);
});

test("objects that cannot be programmed, and unknown fields, are told on stderr and change no status", async () => {
  const { status, out, err } = await run("trace --objects DIR/o.yaml DIR/bad.yaml --from shop/a --to none.shop -o json");
  expect({ status, verdict: JSON.parse(out).verdict }).toEqual({ status: 0, verdict: "reject" });
  expect(err).toContain("DIR/bad.yaml: document 1 (Service shop/bad): spec.colour: no such field; it is left out\n".replace("DIR", dir));
  expect(err).toMatch(/fairway: warning: Service shop\/bad: spec\.externalIPs\[0\]: /);
});

test.each([
  [
    "an unknown backend",
    "trace --objects DIR/o.yaml --from node --to 10.0.0.1:80 --backend ebpf",
    /^fairway: --backend ebpf: there are nftables, iptables, ipvs, userspace\n$/,
  ],
  [
    "an unknown node",
    "trace --objects DIR/o.yaml --node n9 --from external --to 10.0.0.1:80",
    /^fairway: --node n9: no such Node; there is n1\n$/,
  ],
  [
    "which of two nodes",
    "trace --objects DIR/o.yaml DIR/node.yaml --from external --to 10.0.0.1:80",
    /^fairway: --node is missing; there are n1, n2\n$/,
  ],
  [
    "no node at all",
    "trace --objects DIR/slices.json --from external --to 10.0.0.1:80",
    /^fairway: --node is missing, and there is no Node among the objects/,
  ],
  ["a word too many", "trace --objects DIR/o.yaml nonsense --from node --to 10.0.0.1:80", /^fairway: trace nonsense: no such file/],
  ["no --to", "trace --objects DIR/o.yaml --from node", /^fairway: required option '--to <target>' not specified; see --help\n$/],
  [
    "no dataplane's objects",
    "trace --objects DIR/deployment.yaml --from node --to 10.0.0.1:80",
    /deployment\.yaml: none of the objects is read by a dataplane/,
  ],
  ["a missing file", "trace --objects DIR/none.yaml --from node --to 10.0.0.1:80", /none\.yaml: no such file or folder\n$/],
  ["a family that is none", "render --objects DIR/o.yaml --family 5", /^fairway: option '--family <family>' argument '5' is invalid/],
])("%s is wrong usage, in one line", async (_, line, message) => {
  const { status, out, err } = await run(line);
  expect({ status, out }).toEqual({ status: 2, out: "" });
  expect(err).toMatch(message);
  expect(err.trimEnd()).not.toContain("\n");
});

test("a Pod's node is the node that is asked", async () => {
  const { out } = await run("trace --objects DIR/o.yaml DIR/node.yaml --from shop/a --to none.shop");
  expect(out).toContain("on n1\n");
});

test("render prints both families for one loader, or one", async () => {
  const both = await run("render --objects DIR/o.yaml DIR/slices.json");
  expect(both.out).toContain("table ip fairway");
  expect(both.out).toContain("table ip6 fairway");
  expect(both.out).toContain("10.244.1.9 . 8080");
  const six = await run("render --objects DIR/o.yaml --family 6");
  expect(six.out).not.toContain("table ip fairway");
  expect(JSON.parse((await run("render --objects DIR/o.yaml --family 6 -o json")).out)).toEqual({
    node: "n1",
    backend: "nftables",
    text: six.out,
    problems: [],
  });
  const listeners = JSON.parse((await run("render --objects DIR/o.yaml DIR/slices.json --backend userspace")).out).listeners;
  expect(listeners).toContainEqual(expect.objectContaining({ ip: "10.96.0.9", port: 80, service: "shop/web:http" }));
  expect(await run("render --objects DIR/o.yaml --backend all")).toMatchObject({ status: 2 });
  expect(await run("render --objects DIR/o.yaml DIR/bad.yaml --fail")).toMatchObject({ status: 1 });
});
