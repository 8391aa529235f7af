import { type Transaction as RuleTransaction, transactionSize as ruleTransactionSize } from "../iptables/transaction.ts";
import type { FrontendKey } from "../plan/frontend.ts";
import type { IpvsItem, SetDefinition } from "./values.ts";

/**
 * Items that change together; a refused group can be left out without harm to the others. An item is in one group of a
 * transaction, and in one of its lists.
 */
export interface ChangeGroup {
  /** A frontend, or `shared` or `surroundings`. */
  readonly owner: FrontendKey;
  /** By id; what goes with a service (its real servers) is not listed. A real server that still has connections takes no new ones and goes when they end. */
  readonly deletes: readonly IpvsItem[];
  /** Services and real servers that stay, with other settings. */
  readonly changes: readonly { readonly before: IpvsItem; readonly after: IpvsItem }[];
  readonly adds: readonly IpvsItem[];
}

/**
 * What turns one state into another. ipvs knows no transactions: what is there when one fails is read again. Whatever
 * the order of groups and items: new sets come first, then entries, services and real servers, then the rules, then
 * addresses; then what is deleted goes the other way.
 */
export interface IpvsTransaction {
  readonly createSets: readonly SetDefinition[];
  /** Rules beside the virtual servers: what marks, allows, refuses and masquerades their packets. They may name the sets. */
  readonly rules?: RuleTransaction;
  /**
   * Where rules that change still translate what comes to the addresses, these come before `rules`, or nothing would be served in
   * between. Before both come the rules that keep senders out: virtual servers at an address that is there serve everybody.
   */
  readonly guards?: RuleTransaction;
  readonly groups: readonly ChangeGroup[];
  readonly destroySets: readonly SetDefinition[];
}

export function transactionSize(tx: IpvsTransaction): number {
  const others = tx.createSets.length + tx.destroySets.length + ruleTransactionSize(tx.guards ?? []) + ruleTransactionSize(tx.rules ?? []);
  return tx.groups.reduce((n, g) => n + g.deletes.length + g.changes.length + g.adds.length, others);
}

export function isEmptyTransaction(tx: IpvsTransaction): boolean {
  return transactionSize(tx) === 0;
}

/** What the kernel has of ours. Real servers that are only waiting for their connections to end are not in it. */
export interface IpvsState {
  readonly sets: ReadonlyMap<string, SetDefinition>;
  /** By id; services and real servers, addresses and entries. */
  readonly items: ReadonlyMap<string, IpvsItem>;
}
