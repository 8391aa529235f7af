import type { Frontend, FrontendKey } from "../plan/frontend.ts";
import { chains } from "./names.ts";
import { compileFrontends, compileSurroundings, emptyProgram, type IptablesProgram } from "./program.ts";
import { chainId, type Rule } from "./rule.ts";
import { diffChains, inverse, type TableChange, type Transaction } from "./transaction.ts";

/**
 * The rules of some frontends, for the kernel to say whether it takes them: in a chain of each table that nothing leads to, and
 * that is gone again at once, so that packets notice nothing.
 */
export function trialOf(frontends: Iterable<Frontend>, like: IptablesProgram): Transaction {
  const { family } = like;
  const none = withoutFrontends(like);
  const some = compileFrontends(new Map(Array.from(frontends, (after) => [after.key, { after }])), none).program;
  return diffChains(family, none.chains, some.chains).flatMap((change): TableChange[] => {
    const after = change.chains.flatMap((c) => c.after ?? []).map(leadingNowhere);
    if (after.length === 0) return [];
    const trial: TableChange = { ...change, chains: [{ name: chains.trial, before: undefined, after }] };
    return [trial, inverse(trial)];
  });
}

/** The frontends that have a part in what a transaction changes: one of those is refused where the transaction is. */
export function suspectsOf(transaction: Transaction, desired: IptablesProgram): ReadonlyMap<FrontendKey, Frontend> {
  const changed = new Set(transaction.flatMap(({ table, chains: of }) => of.map((c) => chainId(table, c.name))));
  const none = withoutFrontends(desired);
  const takesPart = (after: Frontend): boolean => {
    const { touched } = compileFrontends(new Map([[after.key, { after }]]), none);
    return [...touched].some((id) => changed.has(id));
  };
  return new Map([...desired.frontends].filter(([, frontend]) => takesPart(frontend)));
}

function withoutFrontends({ family, options, surroundings }: IptablesProgram): IptablesProgram {
  return compileSurroundings(surroundings, emptyProgram(family, options)).program;
}

/** The chains of a program are not there for a trial of some of it. */
function leadingNowhere(rule: Rule): Rule {
  return rule.target.kind === "jump" ? { ...rule, target: { kind: "return" } } : rule;
}
