import { join } from "node:path";
import { DnsZone, type NameRecords, reverseZones } from "../../dns/index.ts";
import { IngressTranslator } from "../../ingress/index.ts";
import { startProxier } from "../../rules/index.ts";
import { parseCidr } from "../base/cidr.ts";
import { systemClock } from "../base/clock.ts";
import type { Ip } from "../base/ip.ts";
import type { Running } from "../base/running.ts";
import { createClient } from "../client/client.ts";
import { inClusterAccess, loadKubeconfig } from "../client/kubeconfig.ts";
import { createHttpTransport, type Transport } from "../client/transport.ts";
import { runCommand } from "../kernel/command.ts";
import { createHealth } from "../observe/health.ts";
import { startObserveServer } from "../observe/http-endpoint.ts";
import type { Log } from "../observe/log.ts";
import { createMetrics, mergeMetricsText } from "../observe/metrics.ts";
import type { Batch, Kind, ObjectKey } from "../snapshot/cluster-snapshot.ts";
import type { Problem } from "../snapshot/problem.ts";
import { SnapshotStore } from "../snapshot/snapshot-store.ts";
import { agentSocket } from "./agent-socket.ts";
import { startSnapshotFeed } from "./api-access.ts";
import { readCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import { claimAddresses, discoverClusterDns, readClusterDns, saveClusterDns } from "./cluster-dns.ts";
import type { DaemonConfig } from "./daemon-config.ts";
import { ingressEntries } from "./ingress-table.ts";
import { plainRange } from "./plain-range.ts";
import { createMemoryRelease } from "./release-memory.ts";
import { startReporter } from "./reporter.ts";
import { tellParent } from "./role.ts";
import { type StateSource, startStatePublisher } from "./state-stream.ts";

/** How long the API has before a node that starts goes on with its checkpoint. Milliseconds. */
const checkpointAfter = 3000;
const checkpointEvery = 30_000;
/** How long after the first lists names and routes wait for the rules at most. Milliseconds. */
const rulesFirstFor = 5000;
/** Objects of a batch from which on planes take turns. */
const largeBatch = 500;

const kindsOf: Readonly<Record<DaemonConfig["enable"][number], readonly Kind[]>> = {
  proxy: ["Service", "EndpointSlice", "Node", "ServiceCIDR"],
  dns: ["Service", "EndpointSlice", "Namespace"],
  ingress: ["Service", "EndpointSlice", "Ingress", "IngressClass", "Secret"],
};

/**
 * The process of a node that knows the cluster: it keeps the snapshot, programs the rules, and streams names and routes to
 * the processes that serve them. It carries no traffic itself and may block for a moment.
 */
export async function startAgent(config: DaemonConfig, log: Log): Promise<Running> {
  const transport = createHttpTransport(config.kubeconfig === undefined ? inClusterAccess() : loadKubeconfig({ path: config.kubeconfig }));
  const store = new SnapshotStore();
  const metrics = createMetrics({ processMetrics: true });
  const health = createHealth();
  const closing: (() => Promise<void> | void)[] = [() => transport.close()];
  const has = (part: DaemonConfig["enable"][number]): boolean => config.enable.includes(part);
  const kinds = [...new Set(config.enable.flatMap((part) => kindsOf[part]))];
  const stop = new AbortController();
  closing.push(() => stop.abort(new Error("stopped")));
  const clusterDns = await clusterDnsOf(config, transport, log, stop.signal);
  const cidrs = (list: readonly string[]): ReturnType<typeof parseCidr>[] => list.map((c) => parseCidr(c));
  const waits: Promise<void>[] = [];
  const problems = new Map<string, () => Iterable<Problem>>();

  // The children may connect before the first list: they get what there is, and later what is new.
  const sources: StateSource[] = [];
  const planes: ((batch: Batch) => void)[] = [];
  let served: () => Iterable<ObjectKey> = () => [];
  if (has("dns")) {
    const zone = new DnsZone({
      clusterDomain: config.clusterDomain,
      addresses: clusterDns,
      reverseZones: [...cidrs(config.clusterCidrs), ...cidrs(config.serviceCidrs)].flatMap((c) => (c === undefined ? [] : reverseZones(c))),
      revision: Math.floor(systemClock.now() / 1000),
    });
    sources.push({ name: "dns", tag: () => zone.revision, full: () => zoneEntries(zone) });
    problems.set("dns", () => zone.problems());
    planes.push((batch) => {
      const { delta } = zone.apply(batch);
      if (!publisher.isHeard("dns")) return;
      publisher.publish("dns", {
        tag: delta.revision,
        upserts: delta.upserts.map((u) => [u.key, u.records] as const),
        deletes: delta.deletes,
      });
    });
  }
  if (has("ingress")) {
    const translator = new IngressTranslator(config.plain ? { allowedEndpoints: [plainRange] } : {});
    sources.push({ name: "ingress", full: () => ingressEntries(translator.full()).upserts });
    problems.set("ingress", () => translator.problems);
    served = () => translator.served;
    planes.push((batch) => publisher.publish("ingress", ingressEntries(translator.apply(batch))));
  }
  const publisher = startStatePublisher(agentSocket(config), sources, log);
  closing.push(() => publisher.close());
  await publisher.ready;

  const needed = (): boolean => store.synced(kinds);
  const synced = Promise.withResolvers<void>();
  const memory = createMemoryRelease();
  closing.push(() => memory.close());
  // Traffic first: what the other planes make of the first lists waits until the rules are in, for so long.
  const rulesIn = Promise.withResolvers<void>();
  let scheduled = false;
  let patience: NodeJS.Timeout | undefined;
  const feedPlanes = async (): Promise<void> => {
    patience ??= setTimeout(rulesIn.resolve, rulesFirstFor).unref();
    await rulesIn.promise;
    const batch = cursor.take();
    if (batch !== undefined) {
      const size = [...batch.dirty.values()].reduce((n, keys) => n + keys.size, 0);
      for (const plane of planes) {
        plane(batch);
        // a change of many objects lets other work of this process run between
        if (size > largeBatch) await new Promise((resolve) => setImmediate(resolve));
      }
      memory.changed(size);
    }
    scheduled = false;
    synced.resolve();
    if (batch !== undefined) wakePlanes();
  };
  const wakePlanes = (): void => {
    if (scheduled || !needed()) return;
    scheduled = true;
    // One turn of the loop later: events that came in one read make one batch.
    setImmediate(() => {
      feedPlanes().catch((error: unknown) => {
        // a plane that throws ends the process, as from any event handler; its supervisor starts it anew
        setImmediate(() => {
          throw error;
        });
      });
    });
  };
  const cursor = store.cursor(wakePlanes);
  closing.push(() => {
    clearTimeout(patience);
    cursor.close();
  });

  const proxier = has("proxy")
    ? startProxier(
        {
          store,
          nodeName: config.nodeName,
          backend: config.backend,
          allowLoopback: config.plain,
          localDnsIps: has("dns") ? clusterDns : [],
        },
        { clock: systemClock, log, onProblems: () => undefined },
      )
    : undefined;
  if (proxier !== undefined) {
    closing.push(() => proxier.close());
    problems.set("rules", () => proxier.problems());
    metrics.collect(() => proxier.metrics());
    health.add("rules", () => (proxier.healthy() ? undefined : "a change has been waiting for too long"));
    waits.push(proxier.ready);
    proxier.ready.then(rulesIn.resolve, () => rulesIn.resolve());
  } else rulesIn.resolve();

  const checkpoint = join(config.runDir, "snapshot.json.gz");
  let remembered = false;
  const fallBack = (): void => {
    if (remembered || needed()) return;
    remembered = true;
    if (readCheckpoint(checkpoint, store, kinds)) log("warn", "the API does not answer; serving what was known when this node last ran");
  };
  const fallback = setTimeout(fallBack, checkpointAfter);
  const save = checkpointSaver(checkpoint, store, kinds, log);
  const saving = setInterval(save, checkpointEvery);
  closing.push(() => {
    clearTimeout(fallback);
    clearInterval(saving);
    save();
  });
  const feed = startSnapshotFeed(transport, store, kinds, { clock: systemClock, log, onFailure: fallBack });
  closing.push(() => feed.close());
  if (has("dns")) {
    const where = clusterDns.length > 0 ? undefined : "there is no Service kube-system/kube-dns to answer for; give --cluster-dns";
    health.add("dns", () => where, ["readyz"]);
  }
  health.add("synced", () => (needed() ? undefined : "the API has not been read yet"), ["readyz"]);

  const allProblems = (): readonly Problem[] => [...problems.values()].flatMap((list) => [...list()]);
  const reporter = startReporter({ transport, store, config, problems: allProblems, servedIngresses: () => served() }, log);
  closing.push(() => reporter.close());

  const observe = startObserveServer({
    bind: config.observe.ip,
    port: config.observe.port,
    health,
    metrics: { ...metrics, print: async () => mergeMetricsText([await metrics.print(), ...(await publisher.childMetrics())]) },
    routes: {
      "/problems": () => ({ status: 200, contentType: "application/json", body: JSON.stringify(allProblems()) }),
      // Asked by a node that is about to end a pod: does anything here still send it new connections?
      "/endpoint-in-use": (url) => {
        const ip = url.searchParams.get("ip") ?? "";
        // A change that the planes have not seen yet may be the very one that is asked about.
        const inUse = scheduled || !publisher.settled() || (proxier?.endpointInUse(ip) ?? false);
        return { status: 200, contentType: "application/json", body: JSON.stringify({ inUse }) };
      },
    },
  });
  closing.push(() => observe.close());
  await observe.ready;

  const ready = synced.promise.then(async () => {
    publisher.markSynced();
    await Promise.all(waits);
  });
  ready.catch(() => undefined);
  return {
    ready,
    close: async () => {
      for (const step of closing.splice(0).reverse()) await step();
    },
  };
}

function* zoneEntries(zone: DnsZone): Iterable<readonly [string, NameRecords]> {
  for (const { key, records } of zone.names()) yield [key, records];
}

/** Given, or kept from the last run, or asked of the API. What was kept is checked as soon as the API answers. */
async function clusterDnsOf(config: DaemonConfig, transport: Transport, log: Log, signal: AbortSignal): Promise<readonly Ip[]> {
  if (!config.enable.includes("dns") || config.clusterDns.length > 0) return config.clusterDns;
  const file = join(config.runDir, "cluster-dns.json");
  const absent = Promise.withResolvers<readonly Ip[]>();
  const discovered = discoverClusterDns(createClient(transport), { clock: systemClock, log, onAbsent: () => absent.resolve([]) }, signal);
  const kept = readClusterDns(file);
  // A cluster without that Service has its rules and routes all the same.
  const ips = kept.length > 0 ? kept : await Promise.race([discovered, absent.promise]);
  if (kept.length === 0 && ips.length > 0) saveClusterDns(file, ips, log);
  else {
    discovered.then(
      (now) => {
        if (now.join() === ips.join()) return;
        saveClusterDns(file, now, log);
        log("warn", "Service kube-system/kube-dns has other addresses now; the agent starts anew with them", { before: ips, now });
        // Names and sockets hang on the addresses; the supervisor starts an agent that ends again.
        process.kill(process.pid, "SIGTERM");
      },
      () => undefined,
    );
  }
  if (ips.length === 0) return ips;
  await claimAddresses(ips, runCommand, log);
  tellParent({ type: "dns-addresses", ips });
  return ips;
}

/** Writes when there is something new to write. */
function checkpointSaver(path: string, store: SnapshotStore, kinds: readonly Kind[], log: Log): () => void {
  let saved: unknown;
  return () => {
    if (store.current === saved || !store.synced(kinds)) return;
    try {
      writeCheckpoint(path, store, kinds);
      saved = store.current;
    } catch (error) {
      log("warn", "the checkpoint could not be written", { file: path, error: String(error) });
    }
  };
}
