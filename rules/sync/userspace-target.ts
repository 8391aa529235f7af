import type { Ip } from "../../src/base/ip.ts";
import { distinctProblems, type Problem } from "../../src/snapshot/problem.ts";
import { type ListenFailure, UserspaceApplier, type UserspaceDeps } from "../apply/userspace-applier.ts";
import type { Packet, Verdict } from "../model/packet.ts";
import type { FrontendKey } from "../plan/frontend.ts";
import type { PlanDelta } from "../plan/proxy-plan.ts";
import type { Surroundings } from "../plan/surroundings.ts";
import { traceUserspace } from "../trace/userspace-trace.ts";
import { compileUserspace, diffListeners, emptyUserspaceProgram, limitOf, type UserspaceProgram } from "../userspace/program.ts";
import type { AskedAgain } from "./refusals.ts";
import type { Applied, Audited, RuleTarget } from "./target.ts";

/** Services served by sockets of this process: no privileges, nothing in the kernel, nothing left behind. */
export class UserspaceTarget implements RuleTarget {
  readonly backend = "userspace";
  readonly #applier: UserspaceApplier;
  #desired: UserspaceProgram = emptyUserspaceProgram;
  #applied: UserspaceProgram = emptyUserspaceProgram;
  readonly #pending = new Set<FrontendKey>();
  readonly #limits = new Map<FrontendKey, Problem>();

  constructor(deps: UserspaceDeps) {
    this.#applier = new UserspaceApplier(deps);
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  change(delta: PlanDelta, surroundings: Surroundings): void {
    for (const [key, { after }] of delta.frontends.changed) {
      this.#pending.add(key);
      const limit = after === undefined ? undefined : limitOf(after);
      if (limit === undefined) this.#limits.delete(key);
      else this.#limits.set(key, limit);
    }
    this.#desired = { ...compileUserspace(delta.frontends.changed, this.#desired), surroundings };
  }

  async apply(): Promise<Applied> {
    const desired = this.#desired;
    const { close, open } = diffListeners(this.#applied, desired, this.#pending);
    await this.#applier.apply({ close, open, surroundings: desired.surroundings });
    this.#applied = desired;
    this.#pending.clear();
    return { changes: close.size + open.length };
  }

  /** Sockets of this process cannot be changed by others. */
  audit(): Promise<Audited> {
    return Promise.resolve({ repaired: false });
  }

  watch(): () => void {
    return () => undefined;
  }

  problems(): readonly Problem[] {
    return [...this.#applier.failures().map(failureProblem), ...distinctProblems([...this.#limits.values()])];
  }

  refused(): ReadonlyMap<FrontendKey, Problem> {
    return new Map(this.#unserved().map((failure) => [failure.listener.frontend.key, failureProblem(failure)]));
  }

  askAgain(): AskedAgain {
    const again = new Map(this.#unserved().map(({ listener: { frontend } }) => [frontend.key, { after: frontend }]));
    for (const key of again.keys()) this.#pending.add(key);
    return again;
  }

  trace(packet: Packet, localIps: readonly Ip[]): Verdict {
    return traceUserspace(this.#desired, packet, localIps);
  }

  close(): Promise<void> {
    this.#applier.close();
    return Promise.resolve();
  }

  /** Addresses at which nobody listens; one that is served at another port is none. */
  #unserved(): readonly ListenFailure[] {
    return this.#applier.failures().filter(({ movedTo }) => movedTo === undefined);
  }
}

function failureProblem({ listener, code, movedTo }: ListenFailure): Problem {
  const { namespace, name } = listener.frontend.owner;
  const object = { kind: "Service", namespace, name };
  const at = `${listener.ip} port ${listener.port}/${listener.protocol}`;
  if (movedTo !== undefined) {
    const message = `${at} may not be bound by this user; it is served on port ${movedTo}`;
    return { object, field: "spec.ports", reason: "PortMoved", message };
  }
  const why = code === "EADDRINUSE" ? "another program has it" : code === "EADDRNOTAVAIL" ? "this machine does not have the address" : code;
  return { object, field: "spec.ports", reason: "PortUnavailable", message: `${at} cannot be served: ${why}` };
}
