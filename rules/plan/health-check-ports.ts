import type { ObjectKey } from "../../src/snapshot/cluster-snapshot.ts";
import { type Delta, type ProblemDelta, problemDelta } from "../../src/snapshot/derivation.ts";
import type { Problem } from "../../src/snapshot/problem.ts";
import { type Frontend, type FrontendKey, nodePortKey } from "./frontend.ts";
import { compareSeniority, type HealthCheck, type ServicePlan } from "./service-plan.ts";

type Changed = Delta<ObjectKey, ServicePlan>["changed"];

/**
 * Who asks for which health check port. Two Services cannot have one, and a node port takes what is sent there: API servers hand
 * out each port once, so only objects written past that clash. Costs by the ports that change hands.
 */
export class HealthCheckPorts {
  readonly #claims = new Map<number, Map<ObjectKey, HealthCheck>>();
  readonly #problems = new Map<number, readonly Problem[]>();

  *problems(): Iterable<Problem> {
    for (const of of this.#problems.values()) yield* of;
  }

  /** `moved`: keys of frontends that changed; `frontends`: as they are now. */
  update(services: Changed, moved: Iterable<FrontendKey>, frontends: ReadonlyMap<FrontendKey, Frontend>): ProblemDelta {
    const touched = new Set<number>();
    for (const [key, { before, after }] of services) {
      const [was, is] = [before?.healthCheck, after?.healthCheck];
      if (was !== undefined && was.port !== is?.port) {
        touched.add(was.port);
        const claims = this.#claims.get(was.port);
        claims?.delete(key);
        if (claims?.size === 0) this.#claims.delete(was.port);
      }
      if (is === undefined) continue;
      if (was?.port !== is.port) touched.add(is.port);
      const claims = this.#claims.get(is.port) ?? new Map<ObjectKey, HealthCheck>();
      this.#claims.set(is.port, claims.set(key, is));
    }
    for (const key of this.#claims.size === 0 ? [] : moved) {
      const port = Number(/^nodePort[46]:(\d+)\/tcp$/.exec(key)?.[1]);
      if (this.#claims.has(port)) touched.add(port);
    }
    const before: Problem[] = [];
    const after: Problem[] = [];
    for (const port of touched) {
      before.push(...(this.#problems.get(port) ?? []));
      const found = this.#look(port, frontends);
      after.push(...found);
      if (found.length === 0) this.#problems.delete(port);
      else this.#problems.set(port, found);
    }
    return problemDelta(before, after);
  }

  #look(port: number, frontends: ReadonlyMap<FrontendKey, Frontend>): readonly Problem[] {
    const [first, ...others] = [...(this.#claims.get(port)?.values() ?? [])].sort(compareSeniority);
    if (first === undefined) return [];
    const taken = frontends.get(nodePortKey(4, port, "tcp")) ?? frontends.get(nodePortKey(6, port, "tcp"));
    if (taken !== undefined) {
      const { namespace, name } = taken.owner;
      return [first, ...others].map((check) =>
        clash(check, `is a node port of Service ${namespace}/${name}, which gets what is sent there`),
      );
    }
    return others.map((check) =>
      clash(check, `belongs to Service ${first.namespace}/${first.name}, which is older and is answered for there`),
    );
  }
}

function clash({ namespace, name, port }: HealthCheck, why: string): Problem {
  return {
    object: { kind: "Service", namespace, name },
    field: "spec.healthCheckNodePort",
    reason: "PortConflict",
    message: `port ${port} ${why}; load balancers learn nothing about this Service's endpoints`,
  };
}
