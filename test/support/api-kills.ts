import { type ChildProcess, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { ConfigMap } from "../../src/api/types/core-v1.generated.ts";
import { createClient } from "../../src/client/client.ts";
import { ApiError } from "../../src/client/errors.ts";
import { loadKubeconfig } from "../../src/client/kubeconfig.ts";
import { resources } from "../../src/client/resources.ts";
import { createHttpTransport } from "../../src/client/transport.ts";
import { ApiWatcher } from "./api-watcher.ts";
import { eventually, fairwayBinary } from "./cluster-process.ts";
import { type Random, seededRandom } from "./random.ts";

export interface ApiKills {
  readonly kills: number;
  /** Kills of a server that was only starting. */
  readonly early: number;
  readonly acknowledged: number;
  /** Writes that were under way at a kill and turned out to be stored. */
  readonly storedUnsaid: number;
  readonly events: number;
  /** Watches that had to list anew. */
  readonly relists: number;
  readonly faults: readonly string[];
}

export interface ApiKillOptions {
  readonly kills: number;
  readonly seed: number;
  readonly dataDir: string;
  readonly writers?: number;
  readonly watchers?: number;
  readonly signal?: AbortSignal;
  readonly progress?: (kills: number, acknowledged: number, faults: number) => void;
}

/** What a writer knows of one object of his own; nobody else writes it. */
interface Owned {
  readonly name: string;
  /** What was acknowledged last; undefined: it does not exist. */
  value: string | undefined;
  rev: number;
  /** A write that was never answered: what there may be instead. */
  unsure: { readonly value: string | undefined } | undefined;
}

const namespace = "default";
const of = resources.configMaps;

/** Kills an API server under writing clients and watches, again and again, and looks each time at what the next one knows. */
export async function killApiServer(o: ApiKillOptions): Promise<ApiKills> {
  const random = seededRandom(o.seed);
  const faults: string[] = [];
  const owned = Array.from({ length: o.writers ?? 32 }, (_, w) =>
    Array.from({ length: 3 }, (_, i): Owned => ({ name: `w${w}-${i}`, value: undefined, rev: 0, unsure: undefined })),
  );
  const watchers = Array.from({ length: o.watchers ?? 6 }, (_, i) => new ApiWatcher(`watch ${i}`, of, namespace));
  let kills = 0;
  let early = 0;
  let acknowledged = 0;
  let storedUnsaid = 0;
  let highest = 0;
  let value = 0;
  let startMs = 1000;
  while (kills < o.kills && o.signal?.aborted !== true) {
    if (random.below(6) === 0) {
      const child = spawnServer(o.dataDir);
      const ended = untilEnd(child);
      await Promise.race([pause(startMs * random.next()), ended]);
      if (child.exitCode !== null) faults.push(`kill ${kills}: a server ended by itself with ${child.exitCode}`);
      child.kill("SIGKILL");
      await ended;
      kills++;
      early++;
      continue;
    }
    const started = performance.now();
    const server = await startServer(o.dataDir);
    startMs = startMs * 0.7 + (performance.now() - started) * 0.3;
    const { client } = server;
    const fault = (text: string): void => void faults.push(`after kill ${kills}: ${text}`);

    const { items, rev } = await client.list(of, { namespace });
    const found = new Map(items.map((item) => [item.metadata?.name ?? "", item]));
    if (Number(rev) < highest) fault(`the collection is at ${rev}, ${highest} was seen before`);
    for (const one of owned.flat()) {
      if (settle(one, found.get(one.name), fault)) storedUnsaid++;
    }
    for (const watcher of watchers) {
      if (watcher.rev > Number(rev)) fault(`${watcher.name} has seen ${watcher.rev}, the collection is at ${rev}`);
      watcher.follow(client.transport);
    }

    const written = new Map<number, string>();
    let answered = 0;
    const enough = 1 + random.below(400);
    const writing = new AbortController();
    const writers = owned.map(async (mine) => {
      // of its own: who writes when is not for the seed to say
      const draws = seededRandom(random.below(0x7fffffff));
      while (!writing.signal.aborted) {
        const one = draws.pick(mine);
        try {
          const now = await write(client, one, draws, String(value++));
          acknowledged++;
          answered++;
          if (now === undefined) continue;
          if (now <= one.rev) fault(`${one.name} went from ${one.rev} to ${now}`);
          const other = written.get(now);
          if (other !== undefined) fault(`${one.name} and ${other} both got ${now}`);
          written.set(now, one.name);
          one.rev = now;
          highest = Math.max(highest, now);
        } catch (error) {
          if (error instanceof ApiError) fault(`${one.name}: ${error.code} ${error.message}`);
          return;
        }
      }
    });
    // a moment that the work decides and not the clock: it may be slow here
    await eventually(() => answered >= enough || faults.length > 20 || server.child.exitCode !== null, {
      timeout: 60_000,
      what: `${enough} writes`,
    });
    await pause(20 * random.next());
    if (server.child.exitCode !== null) fault(`the server ended by itself with ${server.child.exitCode}`);
    server.child.kill("SIGKILL");
    writing.abort();
    await Promise.all([untilEnd(server.child), ...writers]);
    server.transport.close();
    kills++;

    // a server that nobody writes to, until every watch has seen what there is
    const quiet = await startServer(o.dataDir);
    const left = await quiet.client.list(of, { namespace });
    const there = new Map(left.items.map((item) => [item.metadata?.name ?? "", item.metadata?.resourceVersion ?? ""]));
    for (const watcher of watchers) {
      watcher.follow(quiet.client.transport);
      for (const text of await watcher.reach(there, written)) fault(text);
      highest = Math.max(highest, watcher.rev);
    }
    quiet.child.kill("SIGKILL");
    await untilEnd(quiet.child);
    quiet.transport.close();
    o.progress?.(kills, acknowledged, faults.length);
  }
  for (const watcher of watchers) {
    await watcher.close();
    faults.push(...watcher.faults);
  }
  return {
    kills,
    early,
    acknowledged,
    storedUnsaid,
    events: sum(watchers.map((w) => w.events)),
    relists: sum(watchers.map((w) => w.relists)),
    faults,
  };
}

/** Compares what a writer knows with what is stored, and takes it over; true when an unanswered write was stored. */
function settle(one: Owned, found: ConfigMap | undefined, fault: (text: string) => void): boolean {
  const value = found?.data?.["value"];
  const rev = Number(found?.metadata?.resourceVersion ?? 0);
  const { unsure } = one;
  one.unsure = undefined;
  const known = one.value;
  one.value = value;
  if (value === known && (found === undefined || rev === one.rev)) return false;
  if (unsure === undefined || value !== unsure.value || (found !== undefined && rev <= one.rev)) {
    const wanted = `${known} at ${one.rev}${unsure === undefined ? "" : `, or ${unsure.value} later`}`;
    fault(`${one.name} is ${value} at ${rev}; acknowledged was ${wanted}`);
  }
  if (found !== undefined) one.rev = rev;
  return true;
}

/** One write to an object; its new version, undefined for a delete. Rejects when there was no answer. */
async function write(client: ReturnType<typeof createClient>, one: Owned, random: Random, value: string): Promise<number | undefined> {
  const object: ConfigMap = { metadata: { name: one.name, namespace }, data: { value, filling: "x".repeat(random.below(2000)) } };
  const kind = one.value === undefined ? "create" : random.pick(["update", "update", "patch", "delete"] as const);
  one.unsure = { value: kind === "delete" ? undefined : value };
  let stored: ConfigMap | undefined;
  if (kind === "create") stored = await client.create(of, object);
  else if (kind === "update")
    stored = await client.update(of, { ...object, metadata: { ...object.metadata, resourceVersion: String(one.rev) } });
  else if (kind === "patch") stored = await client.patch(of, { name: one.name, namespace }, { type: "merge", body: { data: { value } } });
  else await client.delete(of, { name: one.name, namespace });
  one.value = one.unsure.value;
  one.unsure = undefined;
  return stored === undefined ? undefined : Number(stored.metadata?.resourceVersion);
}

const kubeconfig = (dataDir: string): string => join(dataDir, "kubeconfig");

function spawnServer(dataDir: string): ChildProcess {
  rmSync(kubeconfig(dataDir), { force: true });
  const args = ["apiserver", "--data-dir", dataDir, "--bind-address", "127.0.0.1", "--secure-port", "0", "--log-level", "error"];
  return spawn(fairwayBinary, args, { stdio: ["ignore", "ignore", "inherit"] });
}

/** A server that answers; it says where it is in a kubeconfig. */
async function startServer(dataDir: string) {
  const child = spawnServer(dataDir);
  return eventually(
    async () => {
      if (child.exitCode !== null) throw new Error(`the server did not start: it ended with ${child.exitCode}`);
      const transport = createHttpTransport(loadKubeconfig({ path: kubeconfig(dataDir) }));
      const client = createClient(transport);
      await client.list(of, { namespace });
      return { child, transport, client };
    },
    { timeout: 60_000, what: "an API server that is ready" },
  ).catch((error: unknown) => {
    child.kill("SIGKILL");
    throw error;
  });
}

async function untilEnd(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await new Promise((resolve) => child.once("exit", resolve));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
