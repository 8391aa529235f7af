import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../support/cluster-process.ts";
import { lacking } from "../support/requires.ts";
import { openRoleLab, type RoleLab, type RoleProcess } from "../support/role-lab.ts";

const lack = lacking("ip", "nft", "iptables", "kubectl", "curl");
const ip = "172.30.202.1";
const vip = "10.202.0.50";

const objects = `
apiVersion: v1
kind: Node
metadata: {name: edge}
spec: {podCIDR: 10.212.0.0/24}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: ${vip}, ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 7502, protocol: TCP}]
endpoints: [{addresses: [${ip}], conditions: {ready: true}}]
`;

/** Asks over one connection, again and again, until a file is there; tells how often, and over how many connections. */
const holdingClient = `
const { existsSync } = require("node:fs");
const { Agent, get } = require("node:http");
const [url, stop] = process.argv.slice(1);
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
const ports = new Set();
let answers = 0;
const ask = () => get(url, { agent }, (response) => {
  ports.add(response.socket.localPort);
  response.resume().on("end", () => {
    answers++;
    if (existsSync(stop)) console.log(JSON.stringify({ answers, connections: ports.size })), agent.destroy();
    else setTimeout(ask, 50);
  });
}).on("error", (error) => { console.log(JSON.stringify({ answers, connections: ports.size, error: error.message })); });
ask();
`;
describe.skipIf(lack !== undefined)(`the mode of a running proxy changes${lack === undefined ? "" : ` (left out: ${lack})`}`, () => {
  let lab: RoleLab;
  let proxy: RoleProcess;
  let kubeconfig: string;
  let configFile: string;
  const inside = async (...argv: readonly string[]): Promise<string> => (await lab.run(...argv)).stdout;
  const writeMode = (mode: string): void =>
    writeFileSync(
      configFile,
      `apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ${mode}\nmetricsBindAddress: 127.0.0.1:7549\n`,
    );
  const proxyMode = (): Promise<string> => inside("curl", "-sS", "-m", "5", "http://127.0.0.1:7549/proxyMode");
  const served = (): Promise<string> => inside("curl", "-sS", "-m", "5", `http://${vip}/`);

  beforeAll(async () => {
    lab = await openRoleLab("e2e-mode", ip);
    configFile = lab.file("config.yaml", "");
    kubeconfig = join(lab.folder, "api/kubeconfig");
    lab.start(
      ...["apiserver", "--data-dir", join(lab.folder, "api"), "--bind-address", ip, "--secure-port", "7500"],
      ...["--service-cluster-ip-range", "10.202.0.0/16"],
    );
    await eventually(
      async () => existsSync(kubeconfig) && (await lab.run("kubectl", "--kubeconfig", kubeconfig, "get", "--raw", "/readyz")).code === 0,
      { what: "an API server" },
    );
    const applied = await lab.run("kubectl", "--kubeconfig", kubeconfig, "apply", "-f", lab.file("objects.yaml", objects));
    expect(applied).toMatchObject({ code: 0 });
    writeMode("nftables");
    lab.serveText(7502, "served");
    proxy = lab.start(
      "proxy",
      "--kubeconfig",
      kubeconfig,
      "--node-name",
      "edge",
      "--run-dir",
      join(lab.folder, "run"),
      "--config",
      configFile,
    );
    await eventually(async () => (await served()) === "served", { what: "the Service is served" });
  });
  afterAll(async () => {
    if (lab !== undefined) await lab.close();
  });

  test("nftables, iptables and back: an open connection goes on, the Service is served, the other rules go; a bad file changes nothing", async () => {
    expect(await proxyMode()).toBe("nftables");
    const stop = join(lab.folder, "stop");
    const held = inside(process.execPath, "-e", holdingClient, `http://${vip}/`, stop);
    for (const [mode, there, gone] of [
      ["iptables", ["iptables-save"], ["nft", "list", "tables"]],
      ["nftables", ["nft", "list", "tables"], ["iptables-save"]],
    ] as const) {
      writeMode(mode);
      await eventually(async () => (await proxyMode()) === mode, { what: `mode ${mode}` });
      await eventually(async () => /fairway/i.test(await inside(...there)), { what: `rules of ${mode}` });
      await eventually(async () => !/fairway/i.test(await inside(...gone)), { what: "the former rules are gone" });
      expect(await served()).toBe("served");
    }
    writeMode("nonsense");
    await eventually(() => proxy.output().includes("nonsense"), { what: "a word about the bad file" });
    expect(await proxyMode()).toBe("nftables");
    expect(await served()).toBe("served");
    writeFileSync(stop, "");
    const told = JSON.parse(await held) as { readonly answers: number; readonly connections: number; readonly error?: string };
    expect(told).toEqual({ answers: expect.any(Number), connections: 1 });
    expect(told.answers).toBeGreaterThan(5);
  });
});
