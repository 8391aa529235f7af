import type { Ruleset } from "./ruleset.ts";
import { diffFromNothing, type TableTransaction } from "./transaction.ts";

/** The table in which the kernel is asked what of `table` it takes. */
export function trialTable(table: string): string {
  return `${table}-trial`;
}

/** All that is desired of one table, in another beside it whose chains no packet meets. */
export function trialOf(desired: Ruleset): TableTransaction {
  const { skeleton, ...rest } = diffFromNothing({ ...desired, table: trialTable(desired.table) });
  if (skeleton === undefined) return rest;
  const chains = skeleton.table.chains.map(({ name, rules }) => ({ name, rules }));
  return { ...rest, skeleton: { ...skeleton, table: { ...skeleton.table, chains } } };
}
