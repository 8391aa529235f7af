import type { IpFamily } from "../../src/base/ip.ts";
import type { Element } from "../nftables/statement.ts";
import type { Transaction } from "../nftables/transaction.ts";

/** A table as the kernel has it. */
export interface AppliedTable {
  /** The skeleton it was made from; undefined when it does not say. */
  readonly version: number | undefined;
  readonly elements: readonly Element[];
}

/** Something else than this applier changed a table it was asked to watch. */
export interface ForeignChange {
  readonly family: IpFamily;
  readonly table: string;
}

/** The door to nf_tables. Several implementations, one contract suite. */
export interface RuleApplier {
  /** Undefined when there is no such table. Elements that packets added are not reported. */
  read(family: IpFamily, table: string, signal: AbortSignal): Promise<AppliedTable | undefined>;
  /** All or nothing, but for a transaction so large that it is sent in several batches. Throws ApplyError. */
  apply(transaction: Transaction, signal: AbortSignal): Promise<void>;
  /** Removes the table; no error when there is none. */
  remove(family: IpFamily, table: string, signal: AbortSignal): Promise<void>;
  /** Calls back for changes others make, where the implementation can see them. Returns how to stop. */
  watch(listener: (change: ForeignChange) => void): () => void;
  close(): Promise<void>;
}
