import { type Ip, ipFamily } from "../../src/base/ip.ts";
import { findListener, type ListeningSocket, readListeningSockets } from "../../src/kernel/listener.ts";
import { distinctProblems, type Problem } from "../../src/snapshot/problem.ts";
import type { Frontend, FrontendKey } from "../plan/frontend.ts";
import type { PlanDelta } from "../plan/proxy-plan.ts";

/** How this machine's listeners are seen. */
export interface Listeners {
  read(): readonly ListeningSocket[];
  /** In words: `process 12 (nginx)`. */
  describe(socket: ListeningSocket): string;
}

export const systemListeners: Listeners = {
  read: readListeningSockets,
  describe(socket) {
    const who = findListener(socket);
    return who === undefined ? "a process" : `process ${who.pid} (${who.command})`;
  },
};

/**
 * Node ports at which a process of this machine listens: rules of the kernel are asked before it, so that nobody from outside
 * reaches it any more. Looked for when a node port comes, and with every audit while one is found.
 */
export class OccupiedPorts {
  readonly #listeners: Listeners;
  readonly #ports = new Map<FrontendKey, Frontend>();
  #problems: ReadonlyMap<FrontendKey, Problem> = new Map();
  #isNew = false;

  constructor(listeners: Listeners) {
    this.#listeners = listeners;
  }

  notice({ frontends }: Pick<PlanDelta, "frontends">): void {
    for (const [key, { before, after }] of frontends.changed) {
      if (after?.scope === "nodePort") {
        this.#ports.set(key, after);
        // sctp sockets are in no such list
        if (before === undefined && after.protocol !== "sctp") this.#isNew = true;
      } else if (this.#ports.delete(key)) this.#isNew ||= this.#problems.has(key);
    }
  }

  /** Where `ips` are those of node ports; none: every address. With `again`, also when no port is new. */
  look(ips: readonly Ip[], again?: "again"): void {
    if (!this.#isNew && (again === undefined || this.#problems.size === 0)) return;
    this.#isNew = false;
    const everywhere = ips.length === 0 || ips.some(isEvery);
    const sockets = this.#ports.size === 0 ? [] : this.#listeners.read();
    const problems = new Map<FrontendKey, Problem>();
    for (const [key, frontend] of this.#ports) {
      const socket = sockets.find(
        (s) =>
          s.type === frontend.protocol &&
          s.port === frontend.port &&
          // one at :: takes both families
          (s.ip === "::" || ipFamily(s.ip) === frontend.family) &&
          (everywhere ? !isLoopback(s.ip) : isEvery(s.ip) || ips.includes(s.ip)),
      );
      if (socket !== undefined) problems.set(key, this.#problems.get(key) ?? problemOf(frontend, this.#listeners.describe(socket)));
    }
    this.#problems = problems;
  }

  problems(): readonly Problem[] {
    // both families of a port say the same
    return distinctProblems([...this.#problems.values()]);
  }
}

function isEvery(ip: Ip): boolean {
  return ip === "0.0.0.0" || ip === "::";
}

function isLoopback(ip: Ip): boolean {
  return ip === "::1" || ip.startsWith("127.");
}

function problemOf({ owner, port, protocol }: Frontend, who: string): Problem {
  return {
    object: { kind: "Service", namespace: owner.namespace, name: owner.name },
    field: "spec.ports",
    reason: "NodePortOccupied",
    message: `${who} listens at node port ${port}/${protocol} of this node; what others send there goes to this Service`,
  };
}
