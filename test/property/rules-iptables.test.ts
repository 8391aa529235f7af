import fc from "fast-check";
import { expect, test } from "vitest";
import { defaultIptablesOptions } from "../../rules/iptables/chains.ts";
import { parseRule } from "../../rules/iptables/parse.ts";
import { printRule, printRuleSet } from "../../rules/iptables/print.ts";
import { compileFrontends, compileSurroundings, emptyProgram, type IptablesProgram, ruleSetOf } from "../../rules/iptables/program.ts";
import { adopt, diffHooks, parseSaved } from "../../rules/iptables/read.ts";
import { type Chain, type ChainId, nameOfChain } from "../../rules/iptables/rule.ts";
import { diffChains, inParts, inverse, type Transaction } from "../../rules/iptables/transaction.ts";
import { ProxyPlan } from "../../rules/plan/proxy-plan.ts";
import { defaultPlanOptions } from "../../rules/plan/service-plan.ts";
import type { IpFamily } from "../../src/base/ip.ts";
import { batchFromEmpty, SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { step, surroundings, take } from "../support/rules-world.ts";
import { runs } from "../support/runs.ts";

const families: readonly IpFamily[] = [4, 6];
const options = { ...defaultIptablesOptions, nodePorts: "listed", localhostNodePorts: false } as const;
const fresh = (family: IpFamily): IptablesProgram => compileSurroundings(surroundings, emptyProgram(family, options)).program;

const texts = (family: IpFamily, chains: { keys(): Iterable<ChainId>; get(id: ChainId): Chain | undefined }) =>
  new Map([...chains.keys()].sort().map((id) => [id, (chains.get(id) ?? []).map((rule) => printRule(family, rule))]));

/** Chains in memory, as a kernel keeps them. Throws where the kernel would refuse. */
class Tables {
  readonly chains = new Map<ChainId, Chain>();

  apply(transaction: Transaction): void {
    for (const { table, chains } of transaction) {
      for (const { name, before, after } of chains) {
        const id: ChainId = `${table} ${name}`;
        if (this.chains.has(id) !== (before !== undefined)) throw new Error(`${id} is not as thought`);
        if (after === undefined) this.chains.delete(id);
        else this.chains.set(id, after);
      }
      for (const [id, rules] of this.chains) {
        for (const { target } of rules) {
          if (target.kind === "jump" && id.startsWith(`${table} `) && !this.chains.has(`${table} ${target.chain}`)) {
            throw new Error(`${id} leads to ${target.chain}, which is not there`);
          }
        }
      }
    }
  }
}

test("after any changes the chains equal a fresh compilation's, every jump leads somewhere, and a new process has nothing to do", () => {
  fc.assert(
    fc.property(fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 12 }), (bursts) => {
      const store = new SnapshotStore();
      const cursor = store.cursor(() => undefined);
      const plan = new ProxyPlan("n", defaultPlanOptions);
      const kernel = families.map(() => new Tables());
      let programs = families.map(fresh);
      for (const [i, p] of programs.entries()) kernel[i]?.apply(diffChains(p.family, new Map(), p.chains));
      for (const burst of bursts) {
        for (const s of burst) take(store, s);
        const batch = cursor.take();
        if (batch === undefined) continue;
        const { frontends } = plan.apply(batch);
        programs = programs.map((before, i) => {
          const { program, touched } = compileFrontends(frontends.changed, before);
          const change = diffChains(before.family, before.chains, program.chains, touched);
          // in parts, and taken back in parts, as the doors do
          const parts = change.flatMap((c) => inParts(c, 2));
          for (const part of parts) kernel[i]?.apply([part]);
          for (const part of [...parts].reverse()) kernel[i]?.apply([inverse(part)]);
          expect(texts(before.family, kernel[i]?.chains ?? new Map())).toEqual(texts(before.family, before.chains));
          kernel[i]?.apply(change);
          return program;
        });
      }
      const anew = new ProxyPlan("n", defaultPlanOptions).apply(batchFromEmpty(store.current));
      for (const [i, program] of programs.entries()) {
        const { family } = program;
        const whole = compileFrontends(anew.frontends.changed, fresh(family)).program;
        expect(texts(family, program.chains)).toEqual(texts(family, whole.chains));
        expect(texts(family, kernel[i]?.chains ?? new Map())).toEqual(texts(family, whole.chains));
        // what a loader is given is what a reader finds
        const found = parseSaved(printRuleSet(ruleSetOf(program)));
        expect(diffChains(family, adopt(family, found, whole.chains), whole.chains)).toEqual([]);
        expect(diffHooks(found, []).unhook).toEqual([]);
      }
    }),
    runs(60, 20270),
  );
});

test("what is printed is parsed to what it was", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const store = new SnapshotStore();
      for (const s of steps) take(store, s);
      const { frontends } = new ProxyPlan("n", defaultPlanOptions).apply(batchFromEmpty(store.current));
      for (const family of families) {
        const { chains } = compileFrontends(frontends.changed, fresh(family)).program;
        for (const [id, rules] of chains) {
          expect(nameOfChain(id).length).toBeLessThanOrEqual(28);
          for (const rule of rules) expect(parseRule(family, printRule(family, rule))).toEqual(rule);
        }
      }
    }),
    runs(20, 20271),
  );
});
