import { hostname } from "node:os";
import { systemClock } from "../base/clock.ts";
import type { Running } from "../base/running.ts";
import { type Client, createClient } from "../client/client.ts";
import { isConflict, isNotFound } from "../client/errors.ts";
import { createEventRecorder, type EventRecorder } from "../client/events.ts";
import { startLeaderElection } from "../client/leader-election.ts";
import { resources } from "../client/resources.ts";
import type { Transport } from "../client/transport.ts";
import type { Log } from "../observe/log.ts";
import { type ObjectKey, objectKey } from "../snapshot/cluster-snapshot.ts";
import type { Problem } from "../snapshot/problem.ts";
import type { SnapshotStore } from "../snapshot/snapshot-store.ts";
import { type CanaryWorld, startCanaryController } from "./canary-controller.ts";
import type { DaemonConfig } from "./daemon-config.ts";
import { recordSyncs } from "./ingress-events.ts";
import { writeIngressStatus } from "./ingress-status-writer.ts";
import { recordProblems } from "./problem-events.ts";

export interface ReporterConfig {
  readonly transport: Transport;
  readonly store: SnapshotStore;
  readonly config: DaemonConfig;
  /** Those that every node finds in the objects. What one node alone has seen it tells by itself (`startNodeEvents`). */
  readonly problems: () => readonly Problem[];
  /** Keys of the Ingresses that this cluster's ingress processes serve. */
  readonly servedIngresses: () => Iterable<ObjectKey>;
  /** What the ingress processes of all nodes counted of a Service. */
  readonly figures: CanaryWorld["figures"];
}

/** Changes within this time are written as one. Milliseconds. */
const gather = 200;

/**
 * The one way back from the dataplanes to the API: Problems become Events on their objects, and Ingresses of our class get
 * the nodes' addresses in their status. All nodes see the same objects, so one of them, chosen by Lease, writes for all.
 */
export function startReporter(c: ReporterConfig, log: Log): Running {
  return startLeaderElection({
    transport: c.transport,
    namespace: "kube-system",
    name: "fairway-reporter",
    identity: `${c.config.nodeName}_${hostname()}_${process.pid}`,
    lead: () => report(c, log),
    onFailure: (error) => log("debug", "reporter election", { error: String(error) }),
  });
}

function report(c: ReporterConfig, log: Log): Running {
  const client = createClient(c.transport);
  const events = createEventRecorder(c.transport, {
    component: "fairway",
    onFailure: (e) => log("debug", "an event could not be written", { error: String(e) }),
  });
  const reported = new Set<string>();
  const synced = new Map<ObjectKey, number>();
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let writing: Promise<void> = Promise.resolve();

  const run = async (): Promise<void> => {
    timer = undefined;
    cursor.take();
    recordProblems(c.problems(), { store: c.store, record: events.record, reported });
    if (c.config.enable.includes("ingress") && c.store.synced(["Ingress", "IngressClass"])) {
      const ingresses = Array.from(c.servedIngresses()).flatMap((key) => c.store.current.tables.Ingress.get(key) ?? []);
      recordSyncs(ingresses, { record: events.record, synced, problems: c.problems() });
      for (const ingress of ingresses) {
        if (closed) continue;
        try {
          await writeIngressStatus(client, ingress, c.config.ingressStatus);
        } catch (error) {
          log("warn", `Ingress ${objectKey(ingress)}: status could not be written`, { error: String(error) });
        }
      }
    }
  };
  const wake = (): void => {
    if (closed || timer !== undefined) return;
    timer = setTimeout(() => {
      writing = writing.then(run);
    }, gather);
  };
  const cursor = c.store.cursor(wake);
  // Problems of the kernel's side come without a change of an object.
  const again = setInterval(wake, 5000);
  wake();
  const canaries = c.config.enable.includes("ingress") ? startCanaries(c, { client, record: events.record }, log) : undefined;
  return {
    ready: Promise.resolve(),
    close: async () => {
      closed = true;
      clearInterval(again);
      clearTimeout(timer);
      cursor.close();
      await canaries?.close();
      await writing;
      await events.close();
    },
  };
}

/** Canaries whose share grows by itself: one process takes care of them for all. */
function startCanaries(c: ReporterConfig, api: { readonly client: Client; readonly record: EventRecorder["record"] }, log: Log): Running {
  return startCanaryController(
    {
      ingresses: () =>
        c.store.synced(["Ingress", "IngressClass"])
          ? Array.from(c.servedIngresses()).flatMap((key) => c.store.current.tables.Ingress.get(key) ?? [])
          : [],
      figures: c.figures,
      annotate: async (ingress, name, value) => {
        const { namespace = "", name: ingressName = "", resourceVersion } = ingress.metadata ?? {};
        const metadata = { ...(resourceVersion === undefined ? {} : { resourceVersion }), annotations: { [name]: value } };
        try {
          await api.client.patch(resources.ingresses, { namespace, name: ingressName }, { type: "merge", body: { metadata } });
          return true;
        } catch (error) {
          if (isConflict(error) || isNotFound(error)) return false;
          throw error;
        }
      },
      record: api.record,
      clock: systemClock,
    },
    log,
  );
}
