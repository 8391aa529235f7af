import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fairwayBinary } from "../../test/support/cluster-process.ts";
import { podRange } from "./namespaces.ts";

/** `ipvs` only where the kernel has it. */
export const modes = ["nftables", "iptables-legacy", "iptables-nft", "userspace", "ipvs"] as const;
export type Mode = (typeof modes)[number];

/** Which make of iptables is used; undefined: none. */
const makes: Readonly<Record<Mode, "legacy" | "nft" | undefined>> = {
  nftables: undefined,
  "iptables-legacy": "legacy",
  "iptables-nft": "nft",
  userspace: undefined,
  ipvs: "legacy",
};

/** A program that makes rules of what an API server has. */
export interface Candidate {
  readonly name: "fairway" | "kube-proxy";
  readonly mode: Mode;
  start(): ChildProcess;
}

export interface CandidateOptions {
  readonly dir: string;
  readonly kubeconfig: string;
  readonly kubeProxy?: string | undefined;
}

/** Both with the same configuration file, each change as soon as it is known; kube-proxy has no userspace mode any more. */
export function candidatesOf(mode: Mode, o: CandidateOptions): readonly Candidate[] {
  const config = join(o.dir, `${mode}.yaml`);
  writeFileSync(config, configuration(mode, o.kubeconfig));
  const run = (file: string, args: readonly string[], path: string): ChildProcess => {
    const child = spawn(file, args, { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, PATH: path } });
    let last = "";
    child.stderr.on("data", (b: Buffer) => (last = (last + b.toString()).slice(-2000)));
    child.once("exit", (code) => {
      if (code !== null && code !== 0) process.stderr.write(`${file} ended with ${code}:\n${last}\n`);
    });
    return child;
  };
  const path = pathFor(mode, o.dir);
  const fairway: Candidate = {
    name: "fairway",
    mode,
    start: () =>
      run(
        fairwayBinary,
        [
          ...["proxy", "--kubeconfig", o.kubeconfig, "--node-name", "n", "--config", config, "--run-dir", join(o.dir, "run")],
          ...(makes[mode] === undefined ? [] : ["--iptables", makes[mode]]),
          ...(mode === "userspace" ? ["--backend", mode] : []),
        ],
        process.env["PATH"] ?? "",
      ),
  };
  const { kubeProxy } = o;
  if (kubeProxy === undefined || mode === "userspace") return [fairway];
  return [fairway, { name: "kube-proxy", mode, start: () => run(kubeProxy, ["--config", config, "-v", "0"], path) }];
}

function configuration(mode: Mode, kubeconfig: string): string {
  return `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
${mode === "userspace" ? "" : `mode: ${mode.replace(/-.*/, "")}`}
hostnameOverride: "n"
clientConnection:
  kubeconfig: ${kubeconfig}
  qps: 1000
  burst: 1000
clusterCIDR: ${podRange}
detectLocalMode: ClusterCIDR
nftables: { minSyncPeriod: 10ms }
iptables: { minSyncPeriod: 10ms }
ipvs: { minSyncPeriod: 10ms }
conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s }
`;
}

/** kube-proxy runs whatever is called iptables. */
function pathFor(mode: Mode, dir: string): string {
  const path = process.env["PATH"] ?? "";
  const make = makes[mode];
  if (make === undefined) return path;
  const links = join(dir, `bin-${mode}`);
  mkdirSync(links);
  for (const program of ["iptables", "iptables-save", "iptables-restore"]) {
    for (const name of [program, program.replace("ip", "ip6")]) symlinkSync(`/usr/sbin/xtables-${make}-multi`, join(links, name));
  }
  return `${links}:${path}`;
}
