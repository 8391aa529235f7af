import fc from "fast-check";
import { expect, test } from "vitest";
import type { Packet, Verdict } from "../../rules/index.ts";
import { defaultIptablesOptions } from "../../rules/iptables/chains.ts";
import { parseRule } from "../../rules/iptables/parse.ts";
import { printRule, printRuleSet } from "../../rules/iptables/print.ts";
import { compileFrontends, compileSurroundings, emptyProgram, type IptablesProgram, ruleSetOf } from "../../rules/iptables/program.ts";
import { adopt, diffHooks, parseSaved } from "../../rules/iptables/read.ts";
import { type Chain, type ChainId, nameOfChain } from "../../rules/iptables/rule.ts";
import { diffChains, inParts, inverse, type Transaction } from "../../rules/iptables/transaction.ts";
import {
  compileFrontends as compileNftables,
  emptyRuleset,
  compileSurroundings as surroundNftables,
} from "../../rules/nftables/ruleset.ts";
import { defaultSkeletonOptions } from "../../rules/nftables/skeleton.ts";
import { ProxyPlan } from "../../rules/plan/proxy-plan.ts";
import { defaultPlanOptions } from "../../rules/plan/service-plan.ts";
import { traceIptables } from "../../rules/trace/iptables-trace.ts";
import { traceRulesets } from "../../rules/trace/trace.ts";
import type { IpFamily } from "../../src/base/ip.ts";
import { batchFromEmpty, SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import {
  address,
  clusterIp,
  nodeIp,
  outerIp,
  podIp,
  serviceNames,
  serviceShape,
  step,
  surroundings,
  take,
} from "../support/rules-world.ts";
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

test("iptables and nftables give every packet the same fate", () => {
  const sources = (f: IpFamily): readonly string[] => [podIp(f, 1), podIp(f, 5), nodeIp(f), address(f, "203.0.113.", "fd77::", 7)];
  const fate = ({ steps: _, ...verdict }: Verdict): Omit<Verdict, "steps"> => verdict;
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(
      fc.array(serviceShape, { minLength: 4, maxLength: 4 }),
      fc.array(step, { maxLength: 16 }),
      fc.constantFrom<IpFamily>(4, 6),
      fc.boolean(),
      (shapes, steps, family, masqueradeAll) => {
        const store = new SnapshotStore();
        for (const [i, shape] of shapes.entries()) take(store, { do: "service", name: serviceNames[i] ?? "s0", shape });
        for (const s of steps) take(store, s);
        const plan = new ProxyPlan("n", { ...defaultPlanOptions, masqueradeAll });
        const { frontends } = plan.apply(batchFromEmpty(store.current));
        const skeleton = { ...defaultSkeletonOptions, masqueradeAll };
        const nftables = [compileNftables(frontends.changed, surroundNftables(surroundings, emptyRuleset(family, "t", skeleton))).plan];
        const around = compileSurroundings(surroundings, emptyProgram(family, { ...options, masqueradeAll })).program;
        const iptables = [compileFrontends(frontends.changed, around).program];
        const own = [nodeIp(4), nodeIp(6)];
        for (const from of sources(family)) {
          for (const [to, port] of [
            [clusterIp(family, 1), 80],
            [clusterIp(family, 2), 81],
            [outerIp(family, 1), 80],
            [outerIp(family, 9), 80],
            [nodeIp(family), 30000],
            [clusterIp(family, 250), 80],
            [outerIp(family, 200), 80],
          ] as const) {
            const packet: Packet = { from, to, port, protocol: "tcp" };
            const verdict = traceIptables(iptables, packet, own);
            seen.set(verdict.verdict, (seen.get(verdict.verdict) ?? 0) + 1);
            expect({ packet, ...fate(verdict) }).toEqual({ packet, ...fate(traceRulesets(nftables, packet, own)) });
          }
        }
      },
    ),
    runs(60, 20272),
  );
  for (const verdict of ["deliver", "reject", "drop", "pass"]) expect(seen.get(verdict) ?? 0).toBeGreaterThan(5);
});
