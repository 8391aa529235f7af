// An agent that is killed, and its table taken away, beside an API that has the whole cluster: how long until the kernel has
// the rules again, and what the processes take. Prints one JSON document.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import type { EndpointSlice } from "../src/api/types/discovery-v1.generated.ts";
import { createClient } from "../src/client/client.ts";
import { loadKubeconfig } from "../src/client/kubeconfig.ts";
import { resources } from "../src/client/resources.ts";
import { createHttpTransport } from "../src/client/transport.ts";
import { startTestCluster } from "../test/support/cluster-process.ts";

const services = Number(process.argv[2] ?? 10_000);
const restarts = Number(process.argv[3] ?? 5);
const name = process.argv[4] ?? "bench-restart";
const node = `fw-${name}-node-1`;
const dataDir = mkdtempSync(join(tmpdir(), "fairway-bench-"));
const ranges = ["--service-cidr", "10.107.0.0/16", "--cluster-cidr", "10.237.0.0/16"];
const ports = ["--api-port", "0", "--ingress-http-port", "0", "--ingress-https-port", "0"];
const cluster = await startTestCluster({ name, dataDir, args: ["--nodes", "1", ...ports, ...ranges] });
const transport = createHttpTransport(loadKubeconfig({ path: join(dataDir, "kubeconfig") }));
const client = createClient(transport);
/** An agent that lived this long is started again without a delay. Milliseconds. */
const settled = 11_000;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

try {
  const ip = (await cluster.kubectl("get", "node", "-o", "jsonpath={.items[0].status.addresses[0].address}")).stdout;
  await inParallel(services, (i) =>
    client.create(resources.services, {
      metadata: { name: `s-${i}`, namespace: "default" },
      spec: { ports: [{ name: "http", port: 80, targetPort: 8080 }] },
    }),
  );
  await inParallel(services, (i) => client.create(resources.endpointSlices, slice(i)));
  await sleep(settled);
  const before = residentMiB();
  const kernel = await watchCommits();
  const rounds: unknown[] = [];
  for (let n = 0; n < restarts; n++) {
    const load = Number((loadavg()[0] ?? 0).toFixed(2));
    const old = roles().get("agent")?.pid ?? 0;
    const api = roles().get("apiserver")?.pid ?? 0;
    // stopped first: it would repair what is taken away
    process.kill(old, "SIGSTOP");
    for (const family of ["ip", "ip6"]) inNode("nft", "delete", "table", family, "fairway");
    await sleep(100);
    kernel.forget();
    const apiBefore = cpuMs(api);
    const killed = performance.timeOrigin + performance.now();
    process.kill(old, "SIGKILL");
    const { at, seen } = await kernel.quiet(() => {
      const pid = roles().get("agent")?.pid;
      return pid === undefined || pid === old ? undefined : cpuMs(pid);
    });
    await sleep(settled);
    const agent = roles().get("agent")?.pid ?? 0;
    const metrics = await (await fetch(`http://${ip}:10249/metrics`)).text();
    const elements = inNode("nft", "list", "map", "ip", "fairway", "endpoints").split("10.206.").length - 1;
    rounds.push({
      load,
      wallMs: Math.round(at - killed),
      syncMs: Math.round(Number(/rules_duration_seconds_sum (\S+)/.exec(metrics)?.[1]) * 1000),
      cpuAtRulesMs: seen,
      cpuAfterAllMs: cpuMs(agent),
      apiServerCpuMs: { user: cpuMs(api).user - apiBefore.user, system: cpuMs(api).system - apiBefore.system },
      elements,
      residentMiB: residentMiB(),
    });
    process.stderr.write(`${JSON.stringify(rounds.at(-1))}\n`);
  }
  kernel.close();
  process.stdout.write(`${JSON.stringify({ services, before, rounds })}\n`);
} finally {
  transport.close();
  await cluster.stop();
  rmSync(dataDir, { recursive: true, force: true });
}

function slice(i: number): EndpointSlice {
  const address = (e: number): string => `10.${e === 0 ? 210 : 206}.${i >> 8}.${(i + e * 50) & 255}`;
  return {
    metadata: { name: `s-${i}-1`, namespace: "default", labels: { "kubernetes.io/service-name": `s-${i}` } },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    endpoints: Array.from({ length: 5 }, (_, e) => ({ addresses: [address(e)], conditions: { ready: true } })),
  };
}

async function inParallel(n: number, work: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: 32 }, async () => {
      while (next < n) await work(next++);
    }),
  );
}

function inNode(...args: readonly string[]): string {
  return execFileSync("ip", ["netns", "exec", node, ...args], { encoding: "utf8", maxBuffer: 64 << 20 });
}

interface Commits {
  forget(): void;
  /** When the last transaction was in, once there has been none for two seconds, and what `look` saw then. */
  quiet<T>(look: () => T): Promise<{ readonly at: number; readonly seen: T }>;
  close(): void;
}

/** Asks the node's kernel every 2 ms, from outside of the agent: its own word would come when it has nothing else to do. */
async function watchCommits(): Promise<Commits> {
  const program = join(import.meta.dirname, "..", "test", "support", "commits.program.ts");
  const child = spawn("ip", ["netns", "exec", node, process.execPath, program], { stdio: ["pipe", "pipe", "inherit"] });
  let last: number | undefined;
  let changed: () => void = () => undefined;
  const watching = new Promise<void>((resolve) => {
    child.stdout.on("data", (text: Buffer) => {
      for (const line of text.toString().trim().split("\n")) {
        if (line === "watching") resolve();
        else last = Number(line);
      }
      changed();
    });
  });
  await watching;
  return {
    forget: () => {
      last = undefined;
    },
    quiet: async (look) => {
      let seen = look();
      changed = () => {
        seen = look();
      };
      while (last === undefined || performance.timeOrigin + performance.now() - last < 2000) await sleep(50);
      changed = () => undefined;
      return { at: last, seen };
    },
    close: () => child.kill(),
  };
}

function roles(): ReadonlyMap<string, { readonly pid: number }> {
  const found = new Map<string, { readonly pid: number }>();
  const visit = (pid: string): void => {
    let argv: string[];
    try {
      argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      for (const task of readdirSync(`/proc/${pid}/task`)) {
        const children = readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").trim();
        for (const child of children === "" ? [] : children.split(" ")) visit(child);
      }
    } catch {
      return;
    }
    if (argv.includes("process")) found.set(argv[argv.indexOf("process") + 1] ?? "?", { pid: Number(pid) });
  };
  visit(String(cluster.process.pid));
  return found;
}

function cpuMs(pid: number): { readonly user: number; readonly system: number } {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return { user: Number(fields[11]) * 10, system: Number(fields[12]) * 10 };
}

function residentMiB(): Record<string, number> {
  const out: Record<string, number> = {};
  for (const [role, { pid }] of roles()) {
    out[role] = Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024);
  }
  return out;
}
