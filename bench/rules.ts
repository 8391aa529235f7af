// Service rules from the API to packets, by each backend, beside kube-proxy where its binary is given. Needs root.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, release, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { candidatesOf, type Mode, modes } from "./rules/candidates.ts";
import { BenchCluster } from "./rules/cluster.ts";
import { type Figures, measure } from "./rules/measure.ts";
import { makeNamespaces, namespacesOf, removeNamespaces } from "./rules/namespaces.ts";
import { Prober } from "./rules/prober.ts";
import { printSize } from "./rules/report.ts";

const usage = `usage: npm run bench -- rules [--services LIST] [--backends LIST] [--kube-proxy PATH] [-o json]
  --services LIST       sizes, SERVICESxENDPOINTS (default 1000x5,10000x5,50000x5,1000x100)
  --backends LIST       ${modes.join(", ")} (default: all but ipvs, which most kernels here lack: rules-ipvs runs it in a guest)
  --kube-proxy PATH     its binary, measured in the same run
  --kube-proxy-most N   Services up to which it is measured (default 10000)
  --changes N           one endpoint each, one after the other (default 100)
  --warm-up N           changes before those that count (default 100)
  --burst N             endpoints changed at once (default 100)
  --connections N       new connections a round (default 4000)
  --give-up SECONDS     how long one load or change may take (default 120)
  -o json               one JSON document
`;

function options() {
  const text = { type: "string" } as const;
  try {
    const { values } = parseArgs({
      options: {
        services: text,
        backends: text,
        "kube-proxy": text,
        "kube-proxy-most": text,
        changes: text,
        "warm-up": text,
        burst: text,
        connections: text,
        "give-up": text,
        output: { type: "string", short: "o" },
        inside: text,
        help: { type: "boolean", short: "h" },
      },
    });
    if (values.help === true) {
      process.stdout.write(usage);
      process.exit(0);
    }
    const number = (given: string | undefined, otherwise: number): number => {
      const n = Number(given ?? otherwise);
      if (!(n > 0)) throw new Error(`not a number: ${given}`);
      return n;
    };
    const sizes = (values.services ?? "1000x5,10000x5,50000x5,1000x100").split(",").map((size) => {
      const [services, endpoints] = size.split("x");
      return { services: number(services, 1), endpoints: number(endpoints, 5) };
    });
    const asked = values.backends?.split(",") ?? modes.filter((mode) => mode !== "ipvs");
    const unknown = asked.filter((mode) => !modes.some((m) => m === mode));
    if (unknown.length > 0) throw new Error(`no backend ${unknown.join(", ")}`);
    return {
      sizes,
      modes: modes.filter((mode): mode is Mode => asked.includes(mode)),
      kubeProxy: values["kube-proxy"],
      kubeProxyMost: number(values["kube-proxy-most"], 10_000),
      changes: number(values.changes, 100),
      warmUp: number(values["warm-up"], 100),
      burst: number(values.burst, 100),
      connections: number(values.connections, 4000),
      giveUpMs: number(values["give-up"], 120) * 1000,
      json: values.output === "json",
      inside: values.inside,
    };
  } catch (error) {
    process.stderr.write(`rules: ${error instanceof Error ? error.message : String(error)}\n${usage}`);
    process.exit(2);
  }
}

const o = options();
if (o.inside === undefined) {
  // everything in a namespace of its own: rules, API server, and who they are measured by
  const prefix = `fwbnc${process.pid}`;
  const names = namespacesOf(prefix);
  process.on("SIGINT", () => undefined); // the one inside ends by it too, and then this one
  try {
    makeNamespaces(names);
    const args = ["netns", "exec", names.node, process.execPath, import.meta.filename, ...process.argv.slice(2), "--inside", prefix];
    process.exitCode = spawnSync("ip", args, { stdio: "inherit" }).status ?? 1;
  } finally {
    removeNamespaces(names);
  }
} else await run(o.inside);

async function run(prefix: string): Promise<void> {
  const machine = { cores: cpus().length, cpu: cpus()[0]?.model, kernel: release(), node: process.version };
  const say = (text: string): void => void process.stderr.write(`   ${text}\n`);
  const prober = new Prober(namespacesOf(prefix));
  await prober.ready;
  const results: { readonly services: number; readonly endpoints: number; readonly figures: readonly Figures[] }[] = [];
  if (!o.json) process.stdout.write(`${machine.cores} cores (${machine.cpu}), kernel ${machine.kernel}, Node ${machine.node}\n`);
  for (const size of o.sizes) {
    const dir = mkdtempSync(join(tmpdir(), "fwbnc-"));
    say(`${size.services} Services × ${size.endpoints} into the API server`);
    const cluster = await BenchCluster.start(dir, size);
    const figures: Figures[] = [];
    try {
      for (const mode of o.modes) {
        const kubeProxy = size.services <= o.kubeProxyMost ? o.kubeProxy : undefined;
        for (const candidate of candidatesOf(mode, { dir, kubeconfig: cluster.kubeconfig, kubeProxy })) {
          figures.push(await measure(candidate, cluster, prober, { ...o, say }));
        }
      }
    } finally {
      await cluster.stop();
      rmSync(dir, { recursive: true, force: true });
    }
    results.push({ ...size, figures });
    if (!o.json) process.stdout.write(printSize({ ...size, figures }));
  }
  await prober.close();
  if (o.json) process.stdout.write(`${JSON.stringify({ machine, results })}\n`);
}
