import type { IpFamily } from "../../src/base/ip.ts";
import type { IptablesMake } from "../../src/kernel/iptables-command.ts";
import type { RuleApplier } from "../apply/applier.ts";
import { ApplyError, isApplyError } from "../apply/errors.ts";
import { createIptablesApplier, removeAllOf } from "../apply/iptables-applier.ts";
import { removeOwnNftChains } from "../apply/nft-chains.ts";
import type { RunNft } from "../apply/text-applier.ts";
import { counters } from "../iptables/names.ts";
import { trialTable } from "../nftables/trial.ts";
import type { LeftoverDoors } from "./leftovers.ts";
import { bothFamilies } from "./surroundings.ts";

export interface CleanupDoors extends Pick<LeftoverDoors, "tables" | "iptables" | "mayHaveRules"> {
  /** For chains of the nft make where its own programs are not installed. */
  readonly nft: RunNft;
  readonly removeServers: (signal: AbortSignal) => Promise<void>;
  /** Once no rule names them. */
  readonly removeCounters: (names: readonly string[]) => void;
}

/** Of either family. */
const legacyUnread =
  "legacy iptables has tables here, and its programs cannot be run: install the package iptables, be root, and clean up again";
/** What may work later is tried so often; each try waits for locks by itself. */
const mostTries = 5;
const makes: readonly IptablesMake[] = ["nft", "legacy"];

/**
 * Removes every rule fairway made, on whatever backend, and nothing else. A tool that is not installed keeps nothing else from being
 * removed. What could not be removed, one line each.
 */
export async function cleanUp(tableName: string, doors: CleanupDoors, signal: AbortSignal): Promise<readonly string[]> {
  const left: string[] = [];
  const attempt = async (work: () => Promise<unknown>, tries = mostTries): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (signal.aborted || !isApplyError(error)) throw error;
      // a lock that others hold, or a change of theirs in between
      if (tries > 1 && ["UNAVAILABLE", "DIVERGED"].includes(error.code)) await attempt(work, tries - 1);
      else left.push(error.message);
    }
  };
  await attempt(() => removeTables(tableName, doors.tables(), signal));
  for (const make of makes) for (const family of bothFamilies) await attempt(() => removeChains(make, family, doors, signal));
  // rules may name the sets
  await attempt(() => doors.removeServers(signal));
  doors.removeCounters(Object.values(counters));
  return [...new Set(left)];
}

async function removeTables(tableName: string, tables: RuleApplier, signal: AbortSignal): Promise<void> {
  try {
    for (const table of [tableName, trialTable(tableName)]) {
      for (const family of bothFamilies) await tables.remove(family, table, signal);
    }
  } finally {
    await tables.close();
  }
}

async function removeChains(make: IptablesMake, family: IpFamily, doors: CleanupDoors, signal: AbortSignal): Promise<void> {
  if (!doors.mayHaveRules(make, family)) return;
  const applier = createIptablesApplier(make, doors.iptables);
  try {
    await applier.read(family, signal);
  } catch (error) {
    if (!isApplyError(error) || error.code !== "UNUSABLE") throw error;
    // a kernel without such tables has no such chains; who has no programs may still have the nft make's
    if (make === "legacy") throw new ApplyError("UNUSABLE", legacyUnread, { cause: error });
    await removeOwnNftChains(family, doors.nft, signal).catch((cause: unknown) => {
      if (signal.aborted || isApplyError(cause)) throw cause;
      // neither: nobody here can have made any
    });
    return;
  }
  await removeAllOf(applier, family, signal);
}
