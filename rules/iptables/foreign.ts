import type { IpFamily } from "../../src/base/ip.ts";
import type { Problem } from "../../src/snapshot/problem.ts";
import type { Found } from "./read.ts";
import { type Chains, chainId, nameOfChain, tableOfChain } from "./rule.ts";
import type { ChainChange, Transaction } from "./transaction.ts";

/** Chains that others' rules lead to cannot go: they are emptied, so that packets pass through them as if they were gone. */
export function keepJumpedTo(transaction: Transaction, { foreignJumps }: Pick<Found, "foreignJumps">): Transaction {
  if (foreignJumps.size === 0) return transaction;
  return transaction.flatMap((change) => {
    const chains = change.chains.flatMap((c): readonly ChainChange[] => {
      if (c.after !== undefined || !foreignJumps.has(chainId(change.table, c.name))) return [c];
      return c.before?.length === 0 ? [] : [{ ...c, after: [] }];
    });
    return chains.length + change.hook.length + change.unhook.length === 0 ? [] : [{ ...change, chains }];
  });
}

/** In words: the chains that stay, empty, for what others' chains say. */
export function keptChains(family: IpFamily, { chains, foreignJumps }: Found, wanted?: Pick<Chains, "has">): readonly string[] {
  return [...foreignJumps]
    .filter(([id]) => chains.has(id) && wanted?.has(id) !== true)
    .map(([id, from]) => {
      const by = [...from].sort().join(" and ");
      const where = `table ${tableOfChain(id)} of iptables (IPv${family})`;
      return `rules of ${by} in ${where} lead to fairway's chain ${nameOfChain(id)}, which therefore stays, with nothing in it: remove those rules`;
    });
}

/** The same as Problems of the node. */
export function keptChainProblems(nodeName: string, texts: readonly string[]): readonly Problem[] {
  return texts.map((message) => ({ object: { kind: "Node", name: nodeName }, field: "", reason: "ForeignJump", message }));
}
