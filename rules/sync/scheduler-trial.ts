import { ApplyError, isApplyError } from "../apply/errors.ts";
import type { IpvsApplier } from "../apply/ipvs-applier.ts";
import { schedulersByNeed } from "../ipvs/place.ts";
import type { ChangeGroup, IpvsTransaction } from "../ipvs/transaction.ts";
import { fwmarkBase, type IpvsItem, type Scheduler } from "../ipvs/values.ts";

/** No pool has it: the bits of pools' marks leave one out. */
const trialMark = fwmarkBase + 0x8000;

/**
 * Which schedulers this kernel lacks: they are modules of their own, and without the usual one every Service would be refused.
 * Throws ApplyError UNUSABLE where the usual one is among them.
 */
export async function lackingSchedulers(servers: IpvsApplier, usual: Scheduler, signal: AbortSignal): Promise<ReadonlySet<Scheduler>> {
  const lacking = new Set<Scheduler>();
  for (const scheduler of new Set([usual, ...schedulersByNeed])) {
    const refusal = await refusalOfScheduler(servers, scheduler, signal);
    if (refusal === undefined) continue;
    if (scheduler === usual) {
      const advice = `load the kernel module ip_vs_${usual}, or choose another ipvs.scheduler`;
      throw new ApplyError("UNUSABLE", `this kernel has no scheduler "${usual}" for virtual servers: ${advice}`, { cause: refusal });
    }
    lacking.add(scheduler);
  }
  return lacking;
}

async function refusalOfScheduler(servers: IpvsApplier, scheduler: Scheduler, signal: AbortSignal): Promise<ApplyError | undefined> {
  const item: IpvsItem = { kind: "service", service: { match: { kind: "fwmark", family: 4, mark: trialMark }, scheduler } };
  try {
    await servers.apply(trial({ adds: [item] }), signal);
  } catch (error) {
    if (!isApplyError(error)) throw error;
    if (error.code === "REFUSED") return error;
    // left by a process that was killed in the middle
    if (error.code !== "DIVERGED") throw error;
  }
  await servers.apply(trial({ deletes: [item] }), signal);
  return undefined;
}

function trial(group: Partial<ChangeGroup>): IpvsTransaction {
  return { createSets: [], groups: [{ owner: "trial", deletes: [], changes: [], adds: [], ...group }], destroySets: [] };
}
