import type { IpFamily } from "../../src/base/ip.ts";
import type { ObjectKey } from "../../src/snapshot/cluster-snapshot.ts";
import type { Frontend } from "../plan/frontend.ts";
import type { PlanDelta } from "../plan/proxy-plan.ts";
import type { HealthCheck, LocalGap, ServicePlan } from "../plan/service-plan.ts";

/** What is asked of the plan in force as a whole, counted change by change: nothing here costs by the cluster's size. */
export class AppliedIndex {
  readonly #pending: PlanDelta[] = [];
  readonly #uses = new Map<string, number>();
  readonly #checks = new Map<ObjectKey, HealthCheck>();
  readonly #withoutLocal: Record<LocalGap, number> = { internal4: 0, internal6: 0, external4: 0, external6: 0 };
  #frontends = 0;

  /** A change of the plan; in force once `settle` is called. */
  add(delta: PlanDelta): void {
    this.#pending.push(delta);
  }

  /** What was added and is not in force yet. */
  get pending(): readonly PlanDelta[] {
    return this.#pending;
  }

  /** Those of the addresses that what is not in force yet changes. */
  pendingFamilies(): readonly IpFamily[] {
    const found = new Set<IpFamily>();
    for (const { frontends } of this.#pending) {
      for (const { before, after } of frontends.changed.values()) {
        const family = (after ?? before)?.family;
        if (family !== undefined) found.add(family);
        if (found.size === 2) return [...found];
      }
    }
    return [...found];
  }

  /** All that was added is in force. */
  settle(): void {
    for (const { frontends, services } of this.#pending.splice(0)) {
      for (const { before, after } of frontends.changed.values()) {
        this.#count(before, -1);
        this.#count(after, 1);
      }
      for (const [key, { before, after }] of services.changed) this.#replace(key, before, after);
    }
  }

  /** Whether a frontend in force may send new connections there. */
  inUse(ip: string): boolean {
    return this.#uses.has(ip);
  }

  get healthChecks(): Iterable<HealthCheck> {
    return this.#checks.values();
  }

  /** Services with a policy Local that have endpoints, but none on this node. */
  get withoutLocal(): Readonly<Record<LocalGap, number>> {
    return this.#withoutLocal;
  }

  get frontends(): number {
    return this.#frontends;
  }

  #count(frontend: Frontend | undefined, by: 1 | -1): void {
    if (frontend === undefined) return;
    this.#frontends += by;
    if (frontend.action.kind !== "balance") return;
    for (const pool of [frontend.action.pool, frontend.action.localPool]) {
      for (const { ip } of pool?.members ?? []) {
        const now = (this.#uses.get(ip) ?? 0) + by;
        if (now > 0) this.#uses.set(ip, now);
        else this.#uses.delete(ip);
      }
    }
  }

  #replace(key: ObjectKey, before: ServicePlan | undefined, after: ServicePlan | undefined): void {
    for (const policy of before?.withoutLocal ?? []) this.#withoutLocal[policy]--;
    for (const policy of after?.withoutLocal ?? []) this.#withoutLocal[policy]++;
    if (after?.healthCheck === undefined) this.#checks.delete(key);
    else this.#checks.set(key, after.healthCheck);
  }
}
