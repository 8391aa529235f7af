import type { IpFamily } from "../../src/base/ip.ts";
import { type NftResult, runNft } from "../../src/kernel/nft-command.ts";
import { familyName, printElements, printSkeleton, printTableFlush, printTableRemoval } from "../nftables/print.ts";
import { skeletonSets } from "../nftables/skeleton.ts";
import type { Transaction } from "../nftables/transaction.ts";
import type { AppliedTable, RuleApplier } from "./applier.ts";
import { ApplyError } from "./errors.ts";
import { parseNftJson } from "./nft-json.ts";

export type RunNft = (args: readonly string[], stdin: string, signal: AbortSignal) => Promise<NftResult>;

/** The portable way: one `nft -f -` a transaction. It sees no foreign changes by itself; the audit finds them. */
export function createTextApplier(run: RunNft = runNft): RuleApplier {
  const nft = async (args: readonly string[], stdin: string, signal: AbortSignal): Promise<NftResult> => {
    try {
      return await run(args, stdin, signal);
    } catch (cause) {
      if (signal.aborted) throw cause;
      throw new ApplyError("UNUSABLE", "the nft command cannot be run: install the package nftables", { cause });
    }
  };
  /** `-t` leaves out elements. */
  const list = async (
    flags: readonly string[],
    family: IpFamily,
    table: string,
    signal: AbortSignal,
  ): Promise<AppliedTable | undefined> => {
    const result = await nft(["-j", ...flags, "list", "table", familyName(family), table], "", signal);
    if (result.code !== 0) {
      if (/No such file or directory/.test(result.stderr)) return undefined;
      throw failure(result);
    }
    return parseNftJson(result.stdout, skeletonSets(family));
  };
  return {
    async probe(signal) {
      // a table that is tried and not made asks for all that rules will; to list tables, nft would read each element of each (a second)
      const result = await nft(["-c", "-f", "-"], "add table ip fairway-probe\n", signal);
      if (result.code !== 0) throw failure(result);
    },
    read: (family, table, signal) => list([], family, table, signal),
    fingerprint: async (family, table, signal) => (await list(["-t"], family, table, signal))?.fingerprint ?? 0,
    async apply(transaction, signal) {
      const text = printTransaction(transaction);
      if (text === "") return;
      const result = await nft(["-f", "-"], text, signal);
      if (result.code !== 0) throw failure(result);
    },
    async has(family, table, signal) {
      const result = await nft(["list", "tables", familyName(family)], "", signal);
      if (result.code !== 0) throw failure(result);
      return result.stdout.split("\n").includes(`table ${familyName(family)} ${table}`);
    },
    async remove(family: IpFamily, table, signal) {
      for (const lines of [printTableFlush(family, table), printTableRemoval(family, table)]) {
        const result = await nft(["-f", "-"], `${lines.join("\n")}\n`, signal);
        if (result.code !== 0) throw failure(result);
      }
    },
    foreignCommits: () => undefined,
    watch: () => () => undefined,
    close: () => Promise.resolve(),
  };
}

/** As `nft -f` takes it: one transaction, all of it or nothing. */
export function printTransaction(transaction: Transaction): string {
  const lines: string[] = [];
  for (const { family, table, skeleton, groups } of transaction) {
    const named = { family, name: table, sets: skeletonSets(family) };
    if (skeleton?.kind === "replace") lines.push(...printTableRemoval(family, table), ...printSkeleton(skeleton.table));
    else if (skeleton !== undefined) lines.push(...printSkeleton({ ...skeleton.table, sets: [] }));
    if (skeleton !== undefined) lines.push(...printElements("add", named, skeleton.table.elements));
    const bySet = <T extends { readonly set: string }>(list: readonly T[]): readonly T[] =>
      [...Map.groupBy(list, (e) => e.set).values()].flat();
    lines.push(...printElements("delete", named, bySet(groups.flatMap((g) => g.deletes))));
    lines.push(...printElements("add", named, bySet(groups.flatMap((g) => g.adds))));
  }
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

function failure(result: NftResult): ApplyError {
  const text = result.stderr.trim();
  const first = text.split("\n")[0] ?? "";
  if (/Operation not permitted/.test(text)) return new ApplyError("UNUSABLE", `nf_tables may not be programmed from here: ${first}`);
  if (/No such file or directory|File exists/.test(text)) return new ApplyError("DIVERGED", first);
  if (/No buffer space|Cannot allocate memory|Device or resource busy|Resource temporarily/.test(text))
    return new ApplyError("UNAVAILABLE", first);
  return new ApplyError("REFUSED", first);
}
