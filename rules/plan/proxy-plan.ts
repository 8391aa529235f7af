import type { Node } from "../../src/api/types/core-v1.generated.ts";
import type { Ip } from "../../src/base/ip.ts";
import { type Batch, changedServices, type ObjectKey, type Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import { type Delta, type Derivation, Derived, type ProblemDelta, problemDelta } from "../../src/snapshot/derivation.ts";
import type { Compiled, Problem } from "../../src/snapshot/problem.ts";
import { type NodeView, nodeProblems, nodeViewOf, sameNodeView } from "../model/node-view.ts";
import { type Frontend, type FrontendKey, sameFrontend } from "./frontend.ts";
import { HealthCheckPorts } from "./health-check-ports.ts";
import { compareSeniority, type PlanOptions, planService, type Seniority, type ServicePlan } from "./service-plan.ts";
import { serviceRangeProblems } from "./surroundings.ts";

/** Frontends that changed, whatever else did. */
export interface ChangedFrontends {
  readonly frontends: Pick<PlanDelta["frontends"], "changed">;
}

export interface PlanDelta {
  readonly frontends: Delta<FrontendKey, Frontend>;
  readonly services: Delta<ObjectKey, ServicePlan>;
  readonly problems: ProblemDelta;
  readonly node: NodeView;
}

/** Which Services a batch may change: dirty ones, those of dirty slices before and after, and all when our own Node changed. */
export function serviceDerivation(nodeName: string, options: PlanOptions): Derivation<ObjectKey, ServicePlan> {
  let cached: { readonly of: Node | undefined; readonly node: NodeView } | undefined;
  const viewOf = (snapshot: Snapshot): NodeView => {
    const of = snapshot.tables.Node.get(nodeName);
    if (cached === undefined || cached.of !== of) cached = { of, node: nodeViewOf(snapshot, nodeName, options.primaryAddress) };
    return cached.node;
  };
  return {
    affected(batch) {
      if (batch.dirty.get("Node")?.has(nodeName) === true) {
        const view = (snapshot: Snapshot): NodeView => nodeViewOf(snapshot, nodeName, options.primaryAddress);
        if (!sameNodeView(view(batch.before), view(batch.after))) {
          return new Set([...batch.before.tables.Service.keys(), ...batch.after.tables.Service.keys()]);
        }
      }
      return changedServices(batch);
    },
    compute: (snapshot, key) => planService(snapshot, key, viewOf(snapshot), options),
    equal: sameServicePlan,
  };
}

function sameServicePlan(a: ServicePlan, b: ServicePlan): boolean {
  return (
    a.frontends.length === b.frontends.length &&
    compareSeniority(a.seniority, b.seniority) === 0 &&
    a.healthCheck?.port === b.healthCheck?.port &&
    a.healthCheck?.localEndpoints === b.healthCheck?.localEndpoints &&
    a.withoutLocal.length === b.withoutLocal.length &&
    a.withoutLocal.every((gap, i) => b.withoutLocal[i] === gap) &&
    a.frontends.every((f, i) => b.frontends[i] !== undefined && sameFrontend(f, b.frontends[i]))
  );
}

type Claims = readonly { readonly service: ObjectKey; readonly frontend: Frontend }[];

const noProblems: readonly Problem[] = [];
const unclaimed: Compiled<undefined> = { plan: undefined, problems: noProblems };

/** Everything this node should do with packets to Services, kept current batch by batch. */
export class ProxyPlan {
  readonly #nodeName: string;
  readonly #primaryAddress: Ip | undefined;
  readonly #services: Derived<ObjectKey, ServicePlan>;
  readonly #frontends: Derived<FrontendKey, Frontend>;
  /** Who claims what: the values of the first derivation, turned round. Hardly ever more than one. */
  readonly #claims = new Map<FrontendKey, Claims>();
  readonly #healthChecks = new HealthCheckPorts();
  #node: NodeView;
  #nodeProblems = noProblems;
  #rangeProblems = noProblems;

  constructor(nodeName: string, options: PlanOptions, derivation = serviceDerivation(nodeName, options)) {
    this.#nodeName = nodeName;
    this.#primaryAddress = options.primaryAddress;
    this.#node = { name: nodeName, zone: "", addresses: [], podCidrs: [], leaving: true };
    this.#services = new Derived(derivation);
    this.#frontends = new Derived({
      affected: () => [],
      compute: (_snapshot, key) => this.#award(key),
      equal: sameFrontend,
    });
  }

  get frontends(): ReadonlyMap<FrontendKey, Frontend> {
    return this.#frontends.values;
  }

  get services(): ReadonlyMap<ObjectKey, ServicePlan> {
    return this.#services.values;
  }

  get node(): NodeView {
    return this.#node;
  }

  /** What every node finds in the objects that all of them have. */
  *problems(): Iterable<Problem> {
    yield* this.#services.problems();
    yield* this.#frontends.problems();
    yield* this.#healthChecks.problems();
    yield* this.#rangeProblems;
  }

  /** What only this node finds: of its Node. */
  get nodeProblems(): readonly Problem[] {
    return this.#nodeProblems;
  }

  apply(batch: Batch): PlanDelta {
    if (batch.dirty.has("Node")) {
      this.#node = nodeViewOf(batch.after, this.#nodeName, this.#primaryAddress);
      this.#nodeProblems = nodeProblems(batch.after, this.#nodeName);
    }
    const ranges = this.#rangeProblems;
    if (batch.dirty.has("ServiceCIDR")) this.#rangeProblems = serviceRangeProblems(batch.after);
    const rangeDelta = problemDelta(ranges, this.#rangeProblems);
    const services = this.#services.apply(batch);
    const keys = new Set<FrontendKey>();
    for (const [service, { before, after }] of services.changed) {
      for (const frontend of before?.frontends ?? []) {
        keys.add(frontend.key);
        this.#unclaim(frontend.key, service);
      }
      for (const frontend of after?.frontends ?? []) {
        keys.add(frontend.key);
        this.#claim(frontend, service);
      }
    }
    const frontends = this.#frontends.recompute(batch.after, keys);
    const ports = this.#healthChecks.update(services.changed, frontends.changed.keys(), this.#frontends.values);
    const problems = [services.problems, frontends.problems, ports, rangeDelta];
    return {
      services,
      frontends,
      node: this.#node,
      problems: { gained: problems.flatMap((p) => p.gained), lost: problems.flatMap((p) => p.lost) },
    };
  }

  #claim(frontend: Frontend, service: ObjectKey): void {
    const claims = this.#claims.get(frontend.key);
    // a Service that names an address twice (as cluster and external IP) has it as the first
    if (claims?.some((c) => c.service === service) === true) return;
    const claim = { service, frontend };
    this.#claims.set(frontend.key, claims === undefined ? [claim] : [...claims, claim]);
  }

  #unclaim(key: FrontendKey, service: ObjectKey): void {
    const rest = this.#claims.get(key)?.filter((c) => c.service !== service) ?? [];
    if (rest.length === 0) this.#claims.delete(key);
    else this.#claims.set(key, rest);
  }

  #award(key: FrontendKey): Compiled<Frontend | undefined> {
    const claims = this.#claims.get(key);
    const only = claims?.[0];
    if (claims === undefined || only === undefined) return unclaimed;
    if (claims.length === 1) return { plan: only.frontend, problems: noProblems };
    const seniority = (service: ObjectKey): Seniority =>
      this.#services.values.get(service)?.seniority ?? { createdAt: "", namespace: "", name: "" };
    const [winner = only, ...losers] = [...claims].sort((a, b) => compareSeniority(seniority(a.service), seniority(b.service)));
    return { plan: winner.frontend, problems: losers.map(({ frontend }) => conflict(frontend, winner.frontend)) };
  }
}

function conflict(loser: Frontend, winner: Frontend): Problem {
  const { namespace, name } = loser.owner;
  const field = {
    clusterIP: "spec.clusterIP",
    externalIP: "spec.externalIPs",
    loadBalancerIP: "status.loadBalancer.ingress",
    nodePort: "spec.ports",
  }[loser.scope];
  const what = loser.scope === "nodePort" ? `node port ${loser.port}/${loser.protocol}` : loser.key;
  return {
    object: { kind: "Service", namespace, name },
    field,
    reason: loser.scope === "nodePort" ? "PortConflict" : "AddressConflict",
    message: `${what} belongs to Service ${winner.owner.namespace}/${winner.owner.name}, which is older; this Service gets no traffic there`,
  };
}
