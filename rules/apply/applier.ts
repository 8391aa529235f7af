import type { IpFamily } from "../../src/base/ip.ts";
import type { Element } from "../nftables/statement.ts";
import type { Transaction } from "../nftables/transaction.ts";

/** A table as the kernel has it. */
export interface AppliedTable {
  /** The skeleton it was made from, and the fingerprint it had then; undefined when it does not say (it was not finished). */
  readonly version: { readonly skeleton: number; readonly fingerprint: number } | undefined;
  /** What its chains and rules are now. */
  readonly fingerprint: number;
  readonly elements: readonly Element[];
}

/** Something else than this applier changed a table, or may have. */
export interface ForeignChange {
  /** Undefined: notifications were lost. */
  readonly table: string | undefined;
}

/** The door to nf_tables. Several implementations, one contract suite. */
export interface RuleApplier {
  /** Throws ApplyError UNUSABLE, with what to do, where rules cannot be programmed from here. */
  probe(signal: AbortSignal): Promise<void>;
  /** Undefined when there is no such table. Elements that packets added are not reported. */
  read(family: IpFamily, table: string, signal: AbortSignal): Promise<AppliedTable | undefined>;
  /**
   * A number that changes when a chain or rule of the table does; the same for the same rules under the same kernel and the same
   * applier. Netlink sees the kernel's expressions and the command what nft makes of them, and neither form can be had from the other:
   * where netlink came or went between two starts, the table is made anew, once and in one transaction, so that no packet misses a rule.
   */
  fingerprint(family: IpFamily, table: string, signal: AbortSignal): Promise<number>;
  /**
   * All or nothing; but a table made anew where none was, or one that is only extended by chains, may get its chains
   * before its elements. Throws ApplyError.
   */
  apply(transaction: Transaction, signal: AbortSignal): Promise<void>;
  /** Whether there is such a table, ours or not. */
  has(family: IpFamily, table: string, signal: AbortSignal): Promise<boolean>;
  /** Removes a table, ours or not, and its rules before all else; no error when there is none. */
  remove(family: IpFamily, table: string, signal: AbortSignal): Promise<void>;
  /** A number that changes when anybody else commits anything; undefined where that cannot be known. Costs microseconds. */
  foreignCommits(): number | undefined;
  /** Calls back for changes others make, where the implementation can see them. Returns how to stop. */
  watch(listener: (change: ForeignChange) => void): () => void;
  close(): Promise<void>;
}
