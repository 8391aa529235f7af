import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { configured, readConfigured } from "../../../src/daemon/configured.ts";
import type { DaemonConfig, ProxyConfigSource } from "../../../src/daemon/daemon-config.ts";
import { plainConfig as base } from "./daemon-config.ts";

const head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
const said = `${head}mode: iptables\nhostnameOverride: file\nmetricsBindAddress: 0.0.0.0:9\nclientConnection: {kubeconfig: /k}\nlogging: {verbosity: 9}\n`;

const cases: readonly { readonly name: string; readonly told: ProxyConfigSource["told"]; readonly base?: object; readonly want: object }[] =
  [
    {
      name: "the file says everything",
      told: [],
      want: {
        backend: "iptables",
        nodeName: "file",
        observe: { ip: "0.0.0.0", port: 9 },
        kubeconfig: "/k",
        healthz: { ip: "0.0.0.0", port: 10256 },
        logLevel: "debug",
      },
    },
    {
      name: "the command line goes first",
      told: ["backend", "nodeName", "healthz", "observe", "logLevel"],
      base: { backend: "nftables", kubeconfig: "/l", healthz: { ip: "::", port: 3 } },
      want: {
        backend: "nftables",
        nodeName: "line",
        observe: { ip: "127.0.0.1", port: 1 },
        kubeconfig: "/l",
        healthz: { ip: "::", port: 3 },
        logLevel: "info",
      },
    },
  ];

test.each(cases)("$name", ({ told, base: more, want }) => {
  expect(configured({ ...base, ...more }, { file: "f", told }, said).config).toMatchObject(want);
});

const metricsCases: readonly {
  readonly name: string;
  readonly told: ProxyConfigSource["told"];
  readonly base?: object;
  readonly text: string;
  readonly want: Pick<DaemonConfig, "observe" | "metrics">;
}[] = [
  {
    name: "where nothing else is told, there",
    told: [],
    text: "metricsBindAddress: 0.0.0.0:9",
    want: { observe: { ip: "0.0.0.0", port: 9 } },
  },
  {
    name: "not where the command line says another",
    told: ["observe"],
    text: "metricsBindAddress: 0.0.0.0:9",
    want: { observe: base.observe },
  },
  {
    name: "in `up` there too",
    told: ["cluster", "observe"],
    text: "",
    want: { observe: base.observe, metrics: { ip: "127.0.0.1", port: 10249 } },
  },
  {
    name: "in `up` at every address, which is the node's too",
    told: ["cluster", "observe"],
    text: "metricsBindAddress: 0.0.0.0:1",
    want: { observe: { ip: "0.0.0.0", port: 1 } },
  },
  {
    name: "in plain mode at the node's only",
    told: ["cluster", "observe"],
    base: { plain: true },
    text: "metricsBindAddress: 0.0.0.0:1",
    want: { observe: base.observe },
  },
];

test.each(metricsCases)("metrics: $name", ({ told, base: more, text, want }) => {
  const { observe, metrics } = configured({ ...base, ...more }, { file: "f", told }, `${head}${text}`).config;
  expect({ observe, ...(metrics === undefined ? {} : { metrics }) }).toEqual(want);
});

test("plain mode says what it does instead", () => {
  const node = { plain: true, healthz: { ip: "127.127.1.11", port: 10256 }, observe: { ip: "127.127.1.11", port: 10249 } };
  const { config, remarks } = configured(
    { ...base, ...node },
    { file: "f", told: ["cluster", "observe"] },
    `${head}healthzBindAddress: 0.0.0.0:10256\nmetricsBindAddress: 0.0.0.0:10249\n`,
  );
  expect(config.healthz).toEqual(node.healthz);
  expect(remarks).toEqual(
    expect.arrayContaining([
      "healthzBindAddress: in plain mode served at 127.127.1.11:10256",
      "metricsBindAddress: in plain mode served at 127.127.1.11:10249",
    ]),
  );
});

test("who is a pod where nobody says: on a foreign cluster nobody, as with kube-proxy; with `up` the node's ranges", () => {
  expect(configured(base, { file: "f", told: [] }, head).config.rules.clusterCidrs).toEqual([]);
  expect(configured(base, { file: "f", told: ["cluster"] }, head).config.rules.clusterCidrs).toBeUndefined();
});

test("in plain mode nothing is served on this machine's own addresses", () => {
  expect(configured({ ...base, plain: true }, { file: "f", told: [] }, head).config).not.toHaveProperty("healthz");
});

const nodes: readonly {
  readonly name: string;
  readonly told?: ProxyConfigSource["told"];
  readonly base?: object;
  readonly text: string;
  readonly want: object;
}[] = [
  { name: "kube-proxy's in its place", text: "", want: { oomScoreAdj: -999 } },
  { name: "as the file says", text: "oomScoreAdj: 0", want: { oomScoreAdj: 0 } },
  { name: "none of other parts", base: { enable: ["proxy", "ingress"] }, text: "", want: {} },
  { name: "none in `up`", told: ["cluster"], text: "", want: {} },
];

test.each(nodes)("who is killed when memory ends: $name", ({ told = [], base: more, text, want }) => {
  const { oomScoreAdj } = configured({ ...base, ...more }, { file: "f", told }, `${head}${text}`).config;
  expect(oomScoreAdj === undefined ? {} : { oomScoreAdj }).toEqual(want);
});

test("words of YAML 1.1, octal numbers and merged keys are read as kube-proxy reads them", () => {
  const text = `${head}mode: iptables\niptables: {localhostNodePorts: off, <<: {masqueradeAll: yes}, masqueradeBit: 011}\nenableProfiling: y`;
  const { rules, profiling } = configured(base, { file: "f", told: [] }, text).config;
  expect({ profiling, ...rules }).toMatchObject({ profiling: true, masqueradeAll: true, localhostNodePorts: false, masqueradeBit: 9 });
});

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "fairway-configured-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const files: readonly { readonly name: string; readonly text?: string; readonly want: string }[] = [
  { name: "no file", want: "ENOENT" },
  { name: "an empty file", text: "", want: "it is empty" },
  { name: "no YAML", text: "a: [", want: "line 1: " },
  { name: "two documents", text: `${head}---\n${head}`, want: "it holds 2 documents; give one" },
  { name: "a key that comes twice", text: `${head}mode: ipvs\nmode: nftables\n`, want: "line 4: Map keys must be unique" },
  { name: "something else", text: "kind: Pod\napiVersion: v1\n", want: 'kind: "Pod": must be KubeProxyConfiguration' },
  { name: "a bad field", text: `${head}mode: x\n`, want: 'mode: "x": must be one of auto, nftables, iptables, ipvs, userspace, or empty' },
  {
    name: "a ConfigMap of something else",
    text: "kind: ConfigMap\ndata: {a: b}\n",
    want: 'data["config.conf"]: not in this ConfigMap; there are a',
  },
  {
    name: "a ConfigMap with a bad field",
    text: `kind: ConfigMap\ndata:\n  config.conf: |\n    apiVersion: kubeproxy.config.k8s.io/v1alpha1\n    kind: KubeProxyConfiguration\n    oomScoreAdj: 2000\n`,
    want: "oomScoreAdj: 2000: must be a whole number from -1000 to 1000",
  },
];

test.each(files)("refused: $name", ({ text, want }) => {
  const file = join(folder, "config.yaml");
  if (text !== undefined) writeFileSync(file, text);
  const read = () => readConfigured({ ...base, proxyConfig: { file, told: [] } });
  expect(read).toThrow(`--config ${file}: `);
  expect(read).toThrow(want);
});

test("JSON, and the ConfigMap of kubeadm's kube-proxy as it is", () => {
  const file = join(folder, "config");
  const of = (text: string) => {
    writeFileSync(file, text);
    return readConfigured({ ...base, proxyConfig: { file, told: [] } }).config.backend;
  };
  expect(of('{"apiVersion":"kubeproxy.config.k8s.io/v1alpha1","kind":"KubeProxyConfiguration","mode":"nftables"}')).toBe("nftables");
  expect(
    of(
      `apiVersion: v1\nkind: ConfigMap\ndata:\n  config.conf: |-\n    ${head.replaceAll("\n", "\n    ")}mode: iptables\n  kubeconfig.conf: x\n`,
    ),
  ).toBe("iptables");
});
