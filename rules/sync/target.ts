import type { Ip, IpFamily } from "../../src/base/ip.ts";
import type { Problem } from "../../src/snapshot/problem.ts";
import type { Backend } from "../model/backend.ts";
import type { Packet, Verdict } from "../model/packet.ts";
import type { FrontendKey } from "../plan/frontend.ts";
import type { PlanDelta } from "../plan/proxy-plan.ts";
import type { Surroundings } from "../plan/surroundings.ts";
import type { AskedAgain } from "./refusals.ts";
import type { CountedPackets } from "./rule-counters.ts";

export interface Applied {
  /** Elements or listeners that were changed. */
  readonly changes: number;
}

export interface Audited {
  readonly repaired: boolean;
  /** Elements, rules or listeners that were not as applied. */
  readonly changes?: number;
}

export interface RuleCount {
  readonly table: string;
  readonly family: IpFamily;
  /** Rules in force. */
  readonly rules: number;
  /** Rules that the last transaction wrote. */
  readonly written: number;
}

/** A backend with the world it programs. Calls never overlap. */
export interface RuleTarget {
  /** Which one it is; of `auto`, once started. */
  readonly backend: Backend;
  /** Looks at what an earlier process left, before the first change. */
  start(signal: AbortSignal): Promise<void>;
  /** Takes a change into the desired program. Pure as far as the world goes. */
  change(delta: PlanDelta, surroundings: Surroundings): void;
  /** Makes the world as desired. Throws ApplyError; then nothing of what failed is in force, and it may be called again. */
  apply(signal: AbortSignal): Promise<Applied>;
  /** Compares the world with what was applied and repairs it. */
  audit(signal: AbortSignal): Promise<Audited>;
  /** Once started: calls back when the world was changed by others. Returns how to stop. */
  watch(listener: () => void): () => void;
  /** Frontends that the world refused, and what others cannot have as they ask for it. */
  problems(): readonly Problem[];
  /** Those of the problems that are frontends the world refused: they are left out. */
  refused(): ReadonlyMap<FrontendKey, Problem>;
  /** Desires what was refused again, as a change does; the next `apply` tells. Its problems stay until it is in force. */
  askAgain(): AskedAgain;
  /** Rules of iptables, by table; absent where there are none. */
  rules?(): readonly RuleCount[];
  /** What its rules counted; absent or undefined: nobody counts. */
  counted?(): CountedPackets | undefined;
  trace(packet: Packet, localIps: readonly Ip[]): Verdict;
  /** Frees sockets; leaves kernel rules in force. */
  close(): Promise<void>;
}
