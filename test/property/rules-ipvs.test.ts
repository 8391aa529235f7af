import fc from "fast-check";
import { expect, test } from "vitest";
import { parseRule } from "../../rules/iptables/parse.ts";
import { printRule } from "../../rules/iptables/print.ts";
import { diffFromFound, diffPrograms } from "../../rules/ipvs/difference.ts";
import { compileFrontends, compileSurroundings, emptyIpvsProgram, type IpvsProgram, itemsOf } from "../../rules/ipvs/program.ts";
import { isEmptyTransaction, transactionSize } from "../../rules/ipvs/transaction.ts";
import { isOwnFwmark, itemId, matchKey } from "../../rules/ipvs/values.ts";
import { ProxyPlan } from "../../rules/plan/proxy-plan.ts";
import { defaultPlanOptions } from "../../rules/plan/service-plan.ts";
import type { Surroundings } from "../../rules/plan/surroundings.ts";
import { batchFromEmpty, SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { MemoryIpvsApplier } from "../support/memory-ipvs-applier.ts";
import { nodeIp, secondNodeIp, step, surroundings, take } from "../support/rules-world.ts";
import { runs } from "../support/runs.ts";

const options = { families: [4, 6], scheduler: "rr", masqueradeAll: false, masqueradeMark: 0x4000 } as const;
const fresh = (around: Surroundings): IpvsProgram => compileSurroundings(around, emptyIpvsProgram(options)).program;
const signal = AbortSignal.timeout(600_000);

/** Items by id. Numbers of marks depend on history only where two pools' hashes meet, which they do not here. */
const itemsIn = (program: IpvsProgram) =>
  new Map(
    [...program.held.values()]
      .flatMap(({ wanted }) => [...itemsOf(wanted)])
      .map((item) => [itemId(item), item] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
const sorted = <V>(map: ReadonlyMap<string, V>) => new Map([...map].sort(([a], [b]) => (a < b ? -1 : 1)));
const around: fc.Arbitrary<Surroundings> = fc
  .subarray([nodeIp(4), nodeIp(6), secondNodeIp(4), secondNodeIp(6)])
  .map((nodePortIps) => ({ ...surroundings, nodePortIps }));

test("after any changes the servers equal a fresh compilation's, every step is one that a kernel takes, and a new process has nothing to do", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.array(step, { minLength: 1, maxLength: 4 }), around), { minLength: 1, maxLength: 12 }),
      async (bursts) => {
        const store = new SnapshotStore();
        const cursor = store.cursor(() => undefined);
        const plan = new ProxyPlan("n", defaultPlanOptions);
        const kernel = new MemoryIpvsApplier();
        let program = fresh(surroundings);
        await kernel.apply(diffFromFound({ state: await kernel.read(), rules: new Map() }, program), signal);
        let last = surroundings;
        for (const [burst, next] of bursts) {
          for (const s of burst) take(store, s);
          const batch = cursor.take();
          if (batch === undefined) continue;
          const before = program;
          const touched = new Set<string>();
          for (const compiled of [
            (p: IpvsProgram) => compileSurroundings(next, p),
            (p: IpvsProgram) => compileFrontends(plan.apply(batch).frontends.changed, p),
          ]) {
            const { program: after, touched: ids } = compiled(program);
            program = after;
            for (const id of ids) touched.add(id);
          }
          last = next;
          const change = diffPrograms(before, program, touched);
          await kernel.apply(change, signal);
          // what changed is all that changed
          expect(transactionSize(diffPrograms(before, program, new Set([...before.held.keys(), ...program.held.keys()])))).toBe(
            transactionSize(change),
          );
        }
        const anew = new ProxyPlan("n", defaultPlanOptions).apply(batchFromEmpty(store.current));
        const whole = compileFrontends(anew.frontends.changed, fresh(last)).program;
        expect(itemsIn(program)).toEqual(itemsIn(whole));
        expect(sorted((await kernel.read()).items)).toEqual(itemsIn(whole));
        expect(program.marks.size).toBe(program.marked.size);
        expect(isEmptyTransaction(diffFromFound({ state: await kernel.read(), rules: new Map() }, whole))).toBe(true);
        for (const { wanted } of program.held.values()) {
          if (wanted.kind !== "virtual") continue;
          const { match } = wanted.service;
          // what is marked finds its service, and no mark is one of others
          if (match.kind === "fwmark") expect(isOwnFwmark(match.mark) && (match.mark & 0xc000) === 0, matchKey(match)).toBe(true);
        }
        // and everything goes where nothing is wanted
        await kernel.apply(diffFromFound({ state: await kernel.read(), rules: new Map() }, fresh(last)), signal);
        expect((await kernel.read()).items.size).toBe(0);
      },
    ),
    runs(60, 20263),
  );
});

test("side rules are read as they are printed", () => {
  fc.assert(
    fc.property(around, fc.boolean(), fc.constantFrom(undefined, "bridge", "prefix"), (next, masqueradeAll, kind) => {
      const localInterface = kind === undefined ? undefined : ({ kind, name: "cni" } as const);
      for (const { family, chains } of compileSurroundings(next, emptyIpvsProgram({ ...options, masqueradeAll, localInterface })).program
        .rules) {
        for (const id of chains.keys())
          for (const rule of chains.get(id) ?? []) expect(parseRule(family, printRule(family, rule))).toEqual(rule);
      }
    }),
    runs(20, 20264),
  );
});
