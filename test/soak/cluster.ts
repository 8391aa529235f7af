import { Resolver } from "node:dns/promises";
import { mkdtempSync, rmSync } from "node:fs";
import { Agent as HttpAgent, get as httpGet } from "node:http";
import { Agent as HttpsAgent, get as httpsGet } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { command, eventually, isAlive, pidsOf, startTestCluster, type TestCluster } from "../support/cluster-process.ts";
import { seededRandom } from "../support/random.ts";
import type { SoakOptions, SoakResult } from "./part.ts";

const name = "soak";
const shop = join(import.meta.dirname, "..", "..", "examples", "shop");
const args = ["--nodes", "2", "--api-port", "16151", "--ingress-http-port", "0", "--ingress-https-port", "0"].concat([
  "--service-cidr",
  "10.126.0.0/16",
  "--cluster-cidr",
  "10.226.0.0/16",
]);
const connections = 8;
/** How long a part of the cluster may be away, on a machine under any load. */
const patience = { timeout: 90_000 };

const roles = ["agent", "dns", "ingress", "apiserver", "controllers", "scheduler", "node", "daemon", "up"] as const;
type Role = (typeof roles)[number];
type Kind = "service" | "ingress" | "dns";

/** Requests that may fail at a kill: those under way in what is killed, and those that come while nobody listens. */
const allowed: Partial<Record<Role, Partial<Record<Kind, number>>>> = {
  ingress: { ingress: 2 * connections },
  daemon: { ingress: Number.POSITIVE_INFINITY, dns: Number.POSITIVE_INFINITY },
  up: { service: Number.POSITIVE_INFINITY, ingress: Number.POSITIVE_INFINITY, dns: Number.POSITIVE_INFINITY },
};

interface Load {
  readonly answered: Record<Kind, number>;
  readonly failed: Record<Kind, string[]>;
  stop(): Promise<void>;
}

/** Kills one process of a running cluster after the other while the shop is asked without pause. */
export async function run(o: SoakOptions): Promise<SoakResult> {
  const random = seededRandom(o.seed);
  const dataDir = mkdtempSync(join(tmpdir(), "fairway-soak-"));
  const faults: string[] = [];
  const kills: Record<string, number> = {};
  const failures: Record<string, number> = {};
  let requests = 0;
  let cluster: TestCluster | undefined;
  try {
    cluster = await startTestCluster({ name, args: [...args, "--apply", shop], dataDir, wait: patience.timeout });
    await rolledOut(cluster);
    let load = await startLoad(cluster);
    await answering(load);
    for (let n = 0; n < o.kills && !o.signal.aborted; n++) {
      // each of the others about three times for once of everything
      const role = n % 25 === 24 ? "up" : random.pick(roles.slice(0, -1));
      kills[role] = (kills[role] ?? 0) + 1;
      await pause(1000 * random.next());
      if (role === "up") {
        await load.stop();
        cluster = await killUp(cluster, dataDir);
        await rolledOut(cluster);
        load = await startLoad(cluster);
      } else {
        const before = await pidsOf(cluster, `process ${role}`);
        const victim = random.pick(before);
        process.kill(victim, "SIGKILL");
        const up = cluster;
        await eventually(
          async () => {
            const now = await pidsOf(up, `process ${role}`);
            return now.length === before.length && !now.includes(victim) ? true : undefined;
          },
          { ...patience, what: `another ${role}` },
        );
      }
      await answering(load);
      for (const kind of ["service", "ingress", "dns"] as const) {
        requests += load.answered[kind];
        const failed = load.failed[kind].splice(0);
        load.answered[kind] = 0;
        if (failed.length > 0) failures[`${kind} at ${role}`] = (failures[`${kind} at ${role}`] ?? 0) + failed.length;
        const most = allowed[role]?.[kind] ?? 0;
        if (failed.length > most)
          faults.push(
            `kill ${n + 1}, of ${role}: ${failed.length} ${kind} requests failed, ${most} may: ${[...new Set(failed)].slice(0, 3).join("; ")}`,
          );
      }
      o.progress(`${n + 1} kills, ${requests} requests, ${faults.length} faults; failed: ${JSON.stringify(failures)}`);
    }
    await load.stop();
    const status = await cluster.stop();
    if (status !== 0) faults.push(`up ended with ${status}`);
  } catch (error) {
    faults.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  } finally {
    cluster?.process.kill("SIGKILL");
    await cluster?.fairway("down", "--name", name, "--data-dir", dataDir);
    rmSync(dataDir, { recursive: true, force: true });
  }
  const left = await leftovers(dataDir);
  if (left !== "") faults.push(`left behind:\n${left}`);
  const told = (of: Readonly<Record<string, number>>): string =>
    Object.entries(of)
      .map(([what, n]) => `${n} ${what}`)
      .join(", ");
  return { summary: `kills: ${told(kills)}; ${requests} requests answered; failed: ${told(failures) || "none"}`, faults };
}

async function killUp(cluster: TestCluster, dataDir: string): Promise<TestCluster> {
  const children = await pidsOf(cluster, " process ");
  cluster.process.kill("SIGKILL");
  await eventually(() => (children.some(isAlive) ? undefined : true), { ...patience, what: "the end of all processes of a killed up" });
  return startTestCluster({ name, args, dataDir, wait: patience.timeout });
}

async function rolledOut(cluster: TestCluster): Promise<void> {
  await eventually(
    async () => {
      const { code, stdout } = await cluster.kubectl("-n", "shop", "rollout", "status", "deployment/web", "--timeout=30s");
      return code === 0 && stdout.includes("successfully") ? true : undefined;
    },
    { ...patience, what: "the shop" },
  );
}

/** Two answers more of each kind for each of its askers, with none failed in between. */
async function answering(load: Load): Promise<void> {
  for (const kind of ["service", "ingress", "dns"] as const) {
    let base = load.answered[kind];
    let failed = load.failed[kind].length;
    await eventually(
      () => {
        if (load.failed[kind].length > failed) {
          failed = load.failed[kind].length;
          base = load.answered[kind];
        }
        return load.answered[kind] >= base + 2 * connections ? true : undefined;
      },
      { ...patience, what: `answers by ${kind}` },
    );
  }
}

async function startLoad(cluster: TestCluster): Promise<Load> {
  const status = (await cluster.status()) as {
    readonly ingress: { readonly addresses: readonly { readonly ip: string; readonly https: number }[] };
  };
  const to = status.ingress.addresses[0] ?? { ip: "", https: 0 };
  const ip = (await cluster.kubectl("-n", "shop", "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")).stdout;
  const answered = { service: 0, ingress: 0, dns: 0 };
  const failed: Record<Kind, string[]> = { service: [], ingress: [], dns: [] };
  let stopped = false;
  const repeat = async (kind: Kind, ask: () => Promise<void>): Promise<void> => {
    while (!stopped) {
      try {
        await ask();
        answered[kind]++;
      } catch (error) {
        failed[kind].push(error instanceof Error ? error.message : String(error));
      }
      await pause(20);
    }
  };
  const resolver = new Resolver({ timeout: 2000, tries: 5 });
  resolver.setServers(["10.126.0.10"]);
  const askers = Array.from({ length: connections }, () => {
    const kept = new HttpsAgent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false, servername: "shop.test" });
    const once = new HttpAgent({ keepAlive: false });
    return [
      repeat("ingress", () =>
        answer((done) => httpsGet({ host: to.ip, port: to.https, agent: kept, headers: { host: "shop.test" }, timeout: 10_000 }, done)),
      ),
      repeat("service", () => answer((done) => httpGet({ host: ip, agent: once, timeout: 10_000 }, done))),
      repeat("dns", async () => {
        const [found] = await resolver.resolve4("web.shop.svc.cluster.local");
        if (found !== ip) throw new Error(`web.shop is ${found} and not ${ip}`);
      }),
    ];
  });
  return {
    answered,
    failed,
    async stop() {
      stopped = true;
      await Promise.all(askers.flat());
    },
  };
}

/** Settles when a response with status 200 has come whole. */
function answer(send: (done: (response: import("node:http").IncomingMessage) => void) => import("node:http").ClientRequest): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = send((response) => {
      response.resume();
      response.on("error", reject);
      response.on("end", () => (response.statusCode === 200 ? resolve() : reject(new Error(`status ${response.statusCode}`))));
    });
    request.on("timeout", () => request.destroy(new Error("no answer in 10 s")));
    request.on("error", reject);
  });
}

async function leftovers(dataDir: string): Promise<string> {
  const { stdout } = await command("sh", ["-c", "ip netns list; ip -o link; mount; ls /run/fairway/machines; ps -eo args"]);
  const ours = new RegExp(`\\bfw-${name}-|${dataDir}`);
  return stdout
    .split("\n")
    .filter((line) => ours.test(line))
    .join("\n");
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
