import type { IpFamily } from "../../src/base/ip.ts";
import type { CommandResult } from "../../src/kernel/command.ts";
import { type IptablesMake, iptablesProgram, type RunIptables, runIptables } from "../../src/kernel/iptables-command.ts";
import { watchedTables } from "../../src/kernel/iptables-watch.ts";
import { keepJumpedTo, keptChains } from "../iptables/foreign.ts";
import { chainPrefix, chains } from "../iptables/names.ts";
import { type Found, parseSaved } from "../iptables/read.ts";
import { type ChainId, chainId, nameOfChain, type Rule, type TableName, tableNames, tableOfChain } from "../iptables/rule.ts";
import { inParts, inverse, printTransaction, type TableChange, type Transaction } from "../iptables/transaction.ts";
import { ApplyError, isApplyError } from "./errors.ts";

/** The door to one make of iptables. */
export interface IptablesApplier {
  readonly make: IptablesMake;
  /** What this applier's changes added to the tally of the make's `ForeignEyes`. */
  tally(): number;
  /** Throws ApplyError UNUSABLE, with what to do, where rules cannot be programmed from here. */
  probe(families: readonly IpFamily[], signal: AbortSignal): Promise<void>;
  read(family: IpFamily, signal: AbortSignal): Promise<Found>;
  /** All or nothing: a table that fails takes those that were changed before it back. Throws ApplyError. */
  apply(transaction: Transaction, signal: AbortSignal): Promise<void>;
  /** Removes our chains and the jumps to them, and nothing else; one that others' rules lead to is emptied. Whether there were any. */
  remove(family: IpFamily, signal: AbortSignal): Promise<boolean>;
  /** Whether the canaries, chains that nothing but a foreign flush removes, are still in our tables. */
  intact(family: IpFamily, signal: AbortSignal): Promise<boolean>;
}

/** Seconds to wait for others who change legacy rules; the nft make has no lock. */
const lockWait = "10";
/**
 * The nft make's time grows with the square of the chains between two commits. Measured with 10,000 Services × 5: 8.9 s in
 * one part, 1.8 s in parts of 500 chains, 1.6 s of 250, 1.9 s of 100.
 */
const nftPart = 250;

export function createIptablesApplier(make: IptablesMake, run: RunIptables = runIptables): IptablesApplier {
  const command = async (program: string, args: readonly string[], stdin: string, signal: AbortSignal): Promise<CommandResult> => {
    try {
      return await run(program, args, stdin, signal);
    } catch (cause) {
      if (signal.aborted) throw cause;
      throw new ApplyError("UNUSABLE", `${program} cannot be run: install the package iptables`, { cause });
    }
  };
  let tally = 0;
  const count = make === "nft" ? (t: Transaction): number => t.length : entriesAdded;
  const save = async (family: IpFamily, signal: AbortSignal): Promise<Found> => {
    const result = await command(iptablesProgram(family, make, "save"), [], "", signal);
    if (result.code !== 0) throw failure(result, []);
    return parseSaved(result.stdout);
  };
  const restore = async (family: IpFamily, transaction: Transaction, signal: AbortSignal): Promise<void> => {
    const text = printTransaction(transaction);
    const result = await command(iptablesProgram(family, make, "restore"), ["--noflush", "-w", lockWait], text, signal);
    if (result.code === 0) {
      tally += count(transaction);
      return;
    }
    const lines = text.split("\n");
    const failed = failure(result, lines);
    // a table is committed at the end of its part; those before the one that failed are in force
    const at = failedLine(result.stderr);
    const committed = at === undefined ? transaction : transaction.slice(0, commitsBefore(lines, at));
    if (at !== undefined) tally += count(committed);
    if (committed.length > 0) {
      const inverted = [...committed].reverse().map(inverse);
      const back = await command(
        iptablesProgram(family, make, "restore"),
        ["--noflush", "-w", lockWait],
        printTransaction(inverted),
        signal,
      );
      if (back.code === 0) tally += count(inverted);
      if (back.code !== 0 || at === undefined)
        throw new ApplyError("DIVERGED", `${failed.message}; what was changed before is to be read again`, { cause: failed });
    }
    throw failed;
  };
  return {
    make,
    tally: () => tally,
    async probe(families, signal) {
      for (const family of families) {
        // an empty change of the table that everything needs
        const result = await command(iptablesProgram(family, make, "restore"), ["--noflush", "-w", lockWait], "*nat\nCOMMIT\n", signal);
        if (result.code === 0) continue;
        const failed = failure(result, []);
        // nothing was asked for that could be refused
        if (failed.code === "UNAVAILABLE" || failed.code === "UNUSABLE") throw failed;
        throw new ApplyError("UNUSABLE", `${iptablesProgram(family, make, "restore")} cannot be used: ${failed.message}`);
      }
    },
    read: save,
    async apply(transaction, signal) {
      const byFamily = [...Map.groupBy(transaction, (change) => change.family)].map(([family, whole]) => ({
        family,
        changes: make === "nft" ? whole.flatMap((change) => inParts(change, nftPart)) : whole,
      }));
      // the families' tables have nothing to do with each other; legacy's lock has them wait for each other
      const results = await Promise.allSettled(byFamily.map(({ family, changes }) => restore(family, changes, signal)));
      const failed = results.find((r) => r.status === "rejected");
      if (failed === undefined) return;
      for (const [i, { family, changes }] of byFamily.entries()) {
        if (results[i]?.status === "fulfilled") await restore(family, [...changes].reverse().map(inverse), signal);
      }
      throw failed.reason;
    },
    async remove(family, signal) {
      let found: Found;
      try {
        found = await save(family, signal);
      } catch (error) {
        // a make that cannot be used has nothing of ours
        if (isApplyError(error) && error.code === "UNUSABLE") return false;
        throw error;
      }
      const transaction = keepJumpedTo(removal(family, found), found);
      if (transaction.length === 0) return false;
      await restore(family, transaction, signal);
      return true;
    },
    async intact(family, signal) {
      for (const table of canaryTables) {
        const program = iptablesProgram(family, make, "save").replace(/-save$/, "");
        const result = await command(program, ["-w", lockWait, "-t", table, "-S", chains.canary], "", signal);
        if (result.code !== 0) {
          const failed = failure(result, []);
          if (failed.code === "UNAVAILABLE") throw failed;
          return false;
        }
      }
      return true;
    },
  };
}

/** As `remove`; then throws ApplyError REFUSED, in words, where something had to stay. */
export async function removeAllOf(applier: IptablesApplier, family: IpFamily, signal: AbortSignal): Promise<boolean> {
  const removed = await applier.remove(family, signal);
  const kept = keptChains(family, await applier.read(family, signal));
  if (kept.length > 0) throw new ApplyError("REFUSED", kept.join("; "));
  return removed;
}

/** Entries of the watched tables of the legacy make: one a rule, and two that begin and end a chain. */
function entriesAdded(transaction: Transaction): number {
  const entries = (chain: readonly Rule[] | undefined): number => (chain === undefined ? 0 : 2 + chain.length);
  let added = 0;
  for (const { table, chains: changed, hook, unhook } of transaction) {
    if (!watchedTables.some((watched) => watched === table)) continue;
    added += hook.length - unhook.length;
    for (const { before, after } of changed) added += entries(after) - entries(before);
  }
  return added;
}

const canaryTables: readonly TableName[] = ["nat", "filter"];

/** What was there does not matter where it goes. */
const someRule: Rule = { target: { kind: "return" } };

function removal(family: IpFamily, found: Found): Transaction {
  return tableNames.flatMap((table): TableChange[] => {
    const ours = [...found.chains].filter(([id]) => tableOfChain(id) === table);
    const unhook = [...found.builtIns].flatMap(([id, rules]) =>
      tableOfChain(id) === table
        ? rules.flatMap((text) => (text.startsWith(`-j ${chainPrefix}`) ? [{ table, builtIn: nameOfChain(id), chain: text.slice(3) }] : []))
        : [],
    );
    if (ours.length + unhook.length === 0) return [];
    return [
      {
        family,
        table,
        chains: ours.map(([id, rules]) => ({ name: nameOfChain(id), before: rules.map(() => someRule), after: undefined })),
        unhook,
        hook: [],
      },
    ];
  });
}

function failedLine(stderr: string): number | undefined {
  const match = /\bline:? ([0-9]+)\b/i.exec(stderr);
  return match === null ? undefined : Number(match[1]);
}

function commitsBefore(lines: readonly string[], line: number): number {
  return lines.slice(0, line - 1).filter((l) => l === "COMMIT").length;
}

/** Which chain a line of the input is about, with its table. */
function chainAt(lines: readonly string[], line: number): ChainId | undefined {
  const name = /^(?:-[AXDI] |:)(\S+)/.exec(lines[line - 1] ?? "")?.[1];
  if (name === undefined) return undefined;
  for (let i = line - 1; i >= 0; i--) {
    const table = tableNames.find((t) => lines[i] === `*${t}`);
    if (table !== undefined) return chainId(table, name);
  }
  return undefined;
}

function failure(result: CommandResult, lines: readonly string[]): ApplyError {
  const said =
    result.stderr
      .trim()
      .split("\n")
      .filter((l) => !l.startsWith("#"))
      .join("; ") || `status ${result.code}`;
  const at = failedLine(result.stderr);
  const line = at === undefined ? "" : (lines[at - 1] ?? "");
  const message = line === "" ? said : `${said} (${line})`;
  if (/permission denied|must be root|Operation not permitted/i.test(said)) {
    return new ApplyError(
      "UNUSABLE",
      `iptables may not be programmed from here: it takes root, or CAP_NET_ADMIN in this network namespace`,
    );
  }
  if (
    /Table does not exist|does not support|Protocol not supported|Address family not supported|No such file or directory.*modprobe/i.test(
      said,
    ) &&
    line === ""
  ) {
    return new ApplyError("UNUSABLE", `this kernel has no such iptables: ${said}`);
  }
  if (/xtables lock|Resource temporarily unavailable|Cannot allocate memory|No buffer space|Interrupted/i.test(said)) {
    return new ApplyError("UNAVAILABLE", message);
  }
  // taking away what is not there, or what others use; or a chain that was there is not
  const lacks = new RegExp(`(?:load target .|Chain ')${chainPrefix}`).test(said);
  if (lacks || /^-[XD] /.test(line)) return new ApplyError("DIVERGED", message);
  return new ApplyError("REFUSED", message, { owner: at === undefined ? undefined : chainAt(lines, at) });
}
