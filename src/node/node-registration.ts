import type { Lease } from "../api/types/coordination-v1.generated.ts";
import type { Node, NodeCondition } from "../api/types/core-v1.generated.ts";
import type { Clock } from "../base/clock.ts";
import type { Running } from "../base/running.ts";
import { createClient } from "../client/client.ts";
import { isAlreadyExists, isConflict, isNotFound } from "../client/errors.ts";
import { resources } from "../client/resources.ts";
import type { Transport } from "../client/transport.ts";
import type { NodeLog } from "./main.ts";
import { compileNode, type NodeFacts } from "./node-status.ts";

export interface RegistrationConfig {
  readonly facts: NodeFacts;
  readonly transport: Transport;
}

export interface Registration extends Running {
  /** The node's pod ranges, as soon as the control plane has given them. */
  readonly podCidrs: Promise<readonly string[]>;
}

const leaseNamespace = "kube-node-lease";
const leaseSeconds = 40;
const renewMs = 10_000;
/** How often a status that says nothing new is written all the same. */
const statusMs = 60_000;
/** How often it is looked at whether the object says what we do. */
const lookMs = 10_000;
const retryMs = 500;
const rangePollMs = 100;

/** Registers the Node, keeps its Lease and its status fresh, and waits for its pod ranges. `ready`: registered, Ready, with ranges. */
export function startRegistration(config: RegistrationConfig, deps: { readonly clock: Clock; readonly log: NodeLog }): Registration {
  const { clock, log } = deps;
  const { name } = config.facts;
  const client = createClient(config.transport);
  const stop = new AbortController();
  const podCidrs = Promise.withResolvers<readonly string[]>();
  podCidrs.promise.catch(() => undefined);
  let given = false;

  const told = (node: Node): void => {
    const ranges = node.spec?.podCIDRs ?? (node.spec?.podCIDR === undefined ? [] : [node.spec.podCIDR]);
    if (ranges.length === 0 || given) return;
    given = true;
    podCidrs.resolve(ranges);
  };

  let reportedAt = Number.NEGATIVE_INFINITY;

  /** The object as it is now, made when it is missing; its status written when it is time, or when somebody made it another (Unknown). */
  const register = async (): Promise<Node> => {
    const wanted = compileNode(config.facts, clock.now());
    let node: Node;
    try {
      node = await client.get(resources.nodes, { name }, stop.signal);
      const labels = wanted.metadata?.labels ?? {};
      if (Object.entries(labels).some(([k, v]) => node.metadata?.labels?.[k] !== v)) {
        node = await client.patch(resources.nodes, { name }, { type: "merge", body: { metadata: { labels } } }, {}, stop.signal);
      }
    } catch (error) {
      if (!isNotFound(error)) throw error;
      reportedAt = Number.NEGATIVE_INFINITY;
      try {
        node = await client.create(resources.nodes, wanted, {}, stop.signal);
      } catch (e) {
        if (!isAlreadyExists(e)) throw e;
        node = await client.get(resources.nodes, { name }, stop.signal);
      }
    }
    const status = compileNode(config.facts, clock.now(), node).status;
    if (clock.monotonic() - reportedAt < statusMs && isSaid(node, status?.conditions ?? [])) return node;
    // Conditions are merged by their type, so those of others stay. So would addresses be, of which several have one type.
    const body = { status: { ...status, addresses: [{ $patch: "replace" }, ...(status?.addresses ?? [])] } };
    node = await client.patch(resources.nodes, { name }, { type: "strategic", body }, { subresource: "status" }, stop.signal);
    reportedAt = clock.monotonic();
    return node;
  };

  const renew = async (known: Lease | undefined): Promise<Lease> => {
    const at = { namespace: leaseNamespace, name };
    const renewTime = new Date(clock.now()).toISOString().replace("Z", "000Z");
    const spec = { holderIdentity: name, leaseDurationSeconds: leaseSeconds, renewTime };
    try {
      const lease = known ?? (await client.get(resources.leases, at, stop.signal));
      return await client.update(resources.leases, { ...lease, spec: { ...lease.spec, ...spec } }, {}, stop.signal);
    } catch (error) {
      if (isConflict(error)) return renew(undefined);
      if (!isNotFound(error)) throw error;
      return client.create(resources.leases, { metadata: at, spec }, {}, stop.signal);
    }
  };

  const forever = async (what: string, act: () => Promise<number>): Promise<void> => {
    while (!stop.signal.aborted) {
      let wait = retryMs;
      try {
        wait = await act();
      } catch (error) {
        if (stop.signal.aborted) return;
        log.warn(what, { node: name, error: error instanceof Error ? error.message : String(error) });
      }
      await clock.sleep(wait, stop.signal).catch(() => undefined);
    }
  };

  let lease: Lease | undefined;
  const registered = Promise.withResolvers<void>();
  registered.promise.catch(() => undefined);
  const loops = [
    forever("the node cannot be registered", async () => {
      told(await register());
      registered.resolve();
      while (!given) {
        await clock.sleep(rangePollMs, stop.signal);
        told(await client.get(resources.nodes, { name }, stop.signal));
      }
      return lookMs;
    }),
    forever("the node's lease cannot be renewed", async () => {
      await registered.promise;
      lease = await renew(lease);
      return renewMs;
    }),
  ];
  return {
    ready: podCidrs.promise.then(() => undefined),
    podCidrs: podCidrs.promise,
    close: async () => {
      stop.abort(new Error("the agent is ending"));
      registered.reject(stop.signal.reason);
      podCidrs.reject(stop.signal.reason);
      await Promise.all(loops);
    },
  };
}

function isSaid(node: Node, conditions: readonly NodeCondition[]): boolean {
  const live = node.status?.conditions ?? [];
  return conditions.every(({ type, status }) => live.find((c) => c.type === type)?.status === status);
}
