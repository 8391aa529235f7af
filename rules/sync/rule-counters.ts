import type { IpFamily } from "../../src/base/ip.ts";
import { isApplyError } from "../apply/errors.ts";
import type { IptablesApplier } from "../apply/iptables-applier.ts";
import { chains, counters } from "../iptables/names.ts";
import type { Rule } from "../iptables/rule.ts";
import { inverse, type TableChange } from "../iptables/transaction.ts";

/** Counters of the kernel that rules count in by name. */
export interface KernelCounters {
  /** Those that are there keep their count. Throws. */
  ensure(names: readonly string[]): void;
  /** Packets by name. Throws. */
  packets(): ReadonlyMap<string, number>;
  close(): void;
}

/** What rules of iptables counted since their counters were made. */
export interface CountedPackets {
  readonly invalidDropped: number;
  /** Undefined where node ports do not answer on 127.0.0.1. */
  readonly localhostAccepted: number | undefined;
}

/** Makes the counters, and tries whether rules may count in them. Otherwise why not, in words. Throws ApplyError. */
export async function tryCounters(
  kernel: KernelCounters,
  applier: IptablesApplier,
  families: readonly IpFamily[],
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    kernel.ensure(Object.values(counters));
  } catch (error) {
    return String(error);
  }
  const rule: Rule = { counter: counters.invalid, target: { kind: "return" } };
  for (const family of families) {
    const chain = { name: chains.trial, before: undefined, after: [rule] };
    const change: TableChange = { family, table: "filter", chains: [chain], unhook: [], hook: [] };
    try {
      await applier.apply([change, inverse(change)], signal);
    } catch (error) {
      if (!isApplyError(error) || (error.code !== "REFUSED" && error.code !== "DIVERGED")) throw error;
      return error.message;
    }
  }
  return undefined;
}

/** Undefined where they cannot be read now. */
export function readCounters(kernel: KernelCounters, localhost: boolean): CountedPackets | undefined {
  try {
    const packets = kernel.packets();
    const localhostAccepted = localhost ? (packets.get(counters.localhost) ?? 0) : undefined;
    return { invalidDropped: packets.get(counters.invalid) ?? 0, localhostAccepted };
  } catch {
    return undefined;
  }
}
