import type { Batch } from "../../src/snapshot/cluster-snapshot.ts";
import type { ProblemDelta } from "../../src/snapshot/derivation.ts";
import { batchFromEmpty } from "../../src/snapshot/snapshot-store.ts";
import { printServicePort } from "../model/service-port.ts";
import type { FrontendKey } from "../plan/frontend.ts";
import { compareFrontends, type Fate, fateOf, type SettingChange } from "../plan/frontend-change.ts";
import { ProxyPlan } from "../plan/proxy-plan.ts";
import type { RuleOptions } from "./config.ts";
import { planOptionsOf } from "./surroundings.ts";

/** One address and port that a batch would change on a node. */
export interface ComparedFrontend {
  readonly frontend: FrontendKey;
  readonly scope: string;
  /** Whose it is then; of a removed one, whose it was. */
  readonly owner: string;
  readonly change: "added" | "removed" | "changed";
  readonly gained: readonly string[];
  readonly lost: readonly string[];
  readonly settings: readonly SettingChange[];
  readonly fate?: Fate;
}

export interface ComparedRules {
  readonly changes: readonly ComparedFrontend[];
  readonly problems: ProblemDelta;
}

/** What a batch would do to a node's rules, for every backend alike. Pure. */
export function compareRules(batch: Batch, options: RuleOptions): ComparedRules {
  const plan = new ProxyPlan(options.nodeName, planOptionsOf(options));
  plan.apply(batchFromEmpty(batch.before));
  const { frontends, problems } = plan.apply(batch);
  const changes: ComparedFrontend[] = [];
  for (const [frontend, { before, after }] of frontends.changed) {
    const known = after ?? before;
    if (known === undefined) continue;
    const { kind, gained, lost, settings } = compareFrontends(before, after);
    const fate = after === undefined ? {} : { fate: fateOf(after.action) };
    changes.push({ frontend, scope: known.scope, owner: printServicePort(known.owner), change: kind, gained, lost, settings, ...fate });
  }
  return { changes, problems };
}
