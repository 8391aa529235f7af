import type { Cidr } from "../base/cidr.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import type { Running } from "../base/running.ts";
import { type Client, createClient } from "../client/client.ts";
import { startLeaderElection } from "../client/leader-election.ts";
import type { Transport } from "../client/transport.ts";
import { type Log, silentLog } from "../observe/log.ts";
import { type Controller, startController } from "./controller.ts";
import { daemonSets } from "./daemonset/wiring.ts";
import { deployments } from "./deployment/wiring.ts";
import { disruptionBudgets } from "./disruption/wiring.ts";
import { endpoints } from "./endpoints/wiring.ts";
import { endpointSlices } from "./endpointslice/wiring.ts";
import { endpointSliceMirroring } from "./endpointslice-mirroring/wiring.ts";
import { garbageCollector } from "./garbage-collector/wiring.ts";
import { namespaceDeletion } from "./namespace/wiring.ts";
import type { NodeMask } from "./node-ipam/reconcile.ts";
import { nodeIpam } from "./node-ipam/wiring.ts";
import { nodeLifecycle } from "./node-lifecycle/wiring.ts";
import { podGarbageCollector } from "./pod-gc/wiring.ts";
import { replicaSets } from "./replicaset/wiring.ts";
import { rootCaPublisher } from "./root-ca/wiring.ts";
import { serviceLoadBalancers } from "./service-lb/wiring.ts";
import { defaultServiceAccounts } from "./serviceaccount/wiring.ts";
import { statefulSets } from "./statefulset/wiring.ts";
import { createViews, type Views } from "./views.ts";

export interface ControllersConfig {
  readonly transport: Transport;
  /** Where pods' addresses come from, at most one range a family. */
  readonly clusterCidrs: readonly Cidr[];
  /** The size of a node's share; default /24 and /64. */
  readonly nodeMask?: NodeMask;
  /** Addresses for Services of type LoadBalancer; empty: they get none. */
  readonly lbPool: readonly Cidr[];
  /** The CA of the API server, for kube-root-ca.crt in every namespace. */
  readonly rootCaPem: string;
  /** Set where several processes run controllers: the identity of this one. */
  readonly leaderElect?: { readonly identity: string; readonly namespace?: string } | undefined;
  /** Names of `controllerNames`; default: all. */
  readonly only?: readonly ControllerName[] | undefined;
}

export interface ControllersDeps {
  readonly clock?: Clock;
  readonly log?: Log;
  /** In [0, 1): for names and jitter. */
  readonly random?: () => number;
}

interface Context {
  readonly config: ControllersConfig;
  readonly client: Client;
  readonly views: Views;
  readonly clock: Clock;
  readonly random: () => number;
}

/** Every controller, in the order their first lists are asked for: what carries traffic first. */
const controllers = {
  endpointslice: ({ views }) => endpointSlices(views),
  endpointslicemirroring: ({ views }) => endpointSliceMirroring(views),
  serviceaccount: ({ views }) => defaultServiceAccounts(views),
  "root-ca": ({ views, config }) => rootCaPublisher(views, config.rootCaPem),
  "node-ipam": ({ views, config }) => nodeIpam(views, config.clusterCidrs, config.nodeMask ?? { ipv4: 24, ipv6: 64 }),
  "service-lb": ({ views, config }) => serviceLoadBalancers(views, config.lbPool),
  replicaset: ({ views, clock, random }) => replicaSets(views, { clock, random }),
  deployment: ({ views, clock }) => deployments(views, { clock }),
  statefulset: ({ views, clock }) => statefulSets(views, { clock }),
  daemonset: ({ views, clock, random }) => daemonSets(views, { clock, random }),
  "node-lifecycle": ({ views, clock }) => nodeLifecycle(views, { clock }),
  "pod-garbage-collector": ({ views, clock }) => podGarbageCollector(views, { clock }),
  disruption: ({ views, clock }) => disruptionBudgets(views, { clock }),
  "garbage-collector": ({ views, client, clock }) => garbageCollector(views, { client, clock }),
  namespace: ({ views, client, clock }) => namespaceDeletion(views, { client, clock }),
  endpoints: ({ views }) => endpoints(views),
} as const satisfies Readonly<Record<string, (c: Context) => Controller>>;

export type ControllerName = keyof typeof controllers;
export const controllerNames = Object.keys(controllers) as readonly ControllerName[];

/** Runs the controllers over one shared set of informers. `ready` settles when each of them has begun its first pass. */
export function startControllers(config: ControllersConfig, deps: ControllersDeps = {}): Running {
  const { leaderElect } = config;
  if (leaderElect === undefined) return startAll(config, deps);
  const log = deps.log ?? silentLog;
  return startLeaderElection(
    {
      transport: config.transport,
      namespace: leaderElect.namespace ?? "kube-system",
      name: "fairway-controllers",
      identity: leaderElect.identity,
      lead: () => startAll(config, deps),
      onFailure: (error) => log("warn", "leader election", { error }),
    },
    { clock: deps.clock ?? systemClock },
  );
}

function startAll(config: ControllersConfig, deps: ControllersDeps): Running {
  const clock = deps.clock ?? systemClock;
  const log = deps.log ?? silentLog;
  const client = createClient(config.transport);
  const views = createViews(config.transport, {
    clock,
    onFailure: (of, error, retryInMs) => log("warn", `watch of ${of.plural}`, { retryInMs: Math.round(retryInMs), error }),
  });
  const context: Context = { config, client, views, clock, random: deps.random ?? Math.random };
  const running = (config.only ?? controllerNames).map((name) =>
    startController(controllers[name](context), { client, views, clock, log }),
  );
  const ready = Promise.all(running.map((r) => r.ready)).then(() => undefined);
  ready.catch(() => undefined);
  return {
    ready,
    async close() {
      await Promise.all([...running.map((r) => r.close()), views.close()]);
    },
  };
}
