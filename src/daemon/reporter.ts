import { hostname } from "node:os";
import { desiredStatus } from "../../ingress/index.ts";
import type { Running } from "../base/running.ts";
import { createClient } from "../client/client.ts";
import { isConflict, isNotFound } from "../client/errors.ts";
import { createEventRecorder } from "../client/events.ts";
import { startLeaderElection } from "../client/leader-election.ts";
import { resources } from "../client/resources.ts";
import type { Transport } from "../client/transport.ts";
import type { Log } from "../observe/log.ts";
import { type Kind, type ObjectKey, objectKey } from "../snapshot/cluster-snapshot.ts";
import { type Problem, printObjectRef } from "../snapshot/problem.ts";
import type { SnapshotStore } from "../snapshot/snapshot-store.ts";
import type { DaemonConfig } from "./daemon-config.ts";

export interface ReporterConfig {
  readonly transport: Transport;
  readonly store: SnapshotStore;
  readonly config: DaemonConfig;
  readonly problems: () => readonly Problem[];
  /** Keys of the Ingresses that this cluster's ingress processes serve. */
  readonly servedIngresses: () => Iterable<ObjectKey>;
}

/** Changes within this time are written as one. Milliseconds. */
const gather = 200;

const apiVersions: Partial<Record<string, string>> = {
  Service: "v1",
  Node: "v1",
  Secret: "v1",
  Namespace: "v1",
  EndpointSlice: "discovery.k8s.io/v1",
  Ingress: "networking.k8s.io/v1",
  IngressClass: "networking.k8s.io/v1",
  ServiceCIDR: "networking.k8s.io/v1",
};

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
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let writing: Promise<void> = Promise.resolve();

  const run = async (): Promise<void> => {
    timer = undefined;
    cursor.take();
    reportProblems(c, events.record, reported);
    if (c.config.enable.includes("ingress") && c.store.synced(["Ingress", "IngressClass"])) {
      const ingresses = Array.from(c.servedIngresses()).flatMap((key) => c.store.current.tables.Ingress.get(key) ?? []);
      for (const ingress of ingresses) {
        const status = desiredStatus(ingress, c.config.ingressStatus);
        if (status === undefined || closed) continue;
        try {
          await client.updateStatus(resources.ingresses, { ...ingress, status });
        } catch (error) {
          // A newer version is on its way to the snapshot, and with it the next try.
          if (!isConflict(error) && !isNotFound(error))
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
  return {
    ready: Promise.resolve(),
    close: async () => {
      closed = true;
      clearInterval(again);
      clearTimeout(timer);
      cursor.close();
      await writing;
      await events.close();
    },
  };
}

function reportProblems(c: ReporterConfig, record: ReturnType<typeof createEventRecorder>["record"], reported: Set<string>): void {
  const now = new Set<string>();
  for (const p of c.problems()) {
    const key = `${printObjectRef(p.object)}\n${p.reason}\n${p.field}\n${p.message}`;
    now.add(key);
    if (reported.has(key)) continue;
    reported.add(key);
    const { kind, namespace, name } = p.object;
    const table = c.store.current.tables[kind as Kind];
    const uid = table?.get(namespace === undefined ? name : `${namespace}/${name}`)?.metadata?.uid;
    record({
      regarding: {
        kind,
        name,
        ...(namespace === undefined ? {} : { namespace }),
        ...(uid === undefined ? {} : { uid }),
        ...(apiVersions[kind] === undefined ? {} : { apiVersion: apiVersions[kind] }),
      },
      type: "Warning",
      reason: p.reason,
      message: p.field === "" ? p.message : `${p.field}: ${p.message}`,
    });
  }
  for (const key of reported) if (!now.has(key)) reported.delete(key);
}
