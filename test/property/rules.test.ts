import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { adoptAllocations, adoptSkeleton } from "../../rules/nftables/adopt.ts";
import { parseTable } from "../../rules/nftables/parse.ts";
import { placeSlots } from "../../rules/nftables/place.ts";
import { printTable } from "../../rules/nftables/print.ts";
import { compileFrontends, compileSurroundings, emptyRuleset, type Ruleset, tableOf } from "../../rules/nftables/ruleset.ts";
import { defaultSkeletonOptions } from "../../rules/nftables/skeleton.ts";
import { elementId } from "../../rules/nftables/statement.ts";
import { diffFromElements, diffFromNothing, diffRulesets } from "../../rules/nftables/transaction.ts";
import type { Frontend, Pool } from "../../rules/plan/frontend.ts";
import { ProxyPlan, serviceDerivation } from "../../rules/plan/proxy-plan.ts";
import { defaultPlanOptions } from "../../rules/plan/service-plan.ts";
import type { IpFamily } from "../../src/base/ip.ts";
import { batchFromEmpty, SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { MemoryApplier } from "../support/memory-applier.ts";
import { makeService, makeSlice, put } from "../support/rules-objects.ts";
import { step, surroundings, take } from "../support/rules-world.ts";
import { runs } from "../support/runs.ts";

const families: readonly IpFamily[] = [4, 6];
const fresh = (family: IpFamily): Ruleset => compileSurroundings(surroundings, emptyRuleset(family, "t", defaultSkeletonOptions));

/** A plan without what depends on how it came to be. */
const planOf = (plan: ProxyPlan) => ({
  frontends: new Map([...plan.frontends].sort(([a], [b]) => (a < b ? -1 : 1))),
  problems: [...plan.problems()].map((p) => JSON.stringify(p)).sort(),
  services: new Map([...plan.services].sort(([a], [b]) => (a < b ? -1 : 1))),
});

/** Every endpoint has slots by its weight (by a hash: nearly), and without affinity there is no hole. */
function checkSlots(ruleset: Ruleset): void {
  // a client is remembered by id and slot: one id is one list of slots, wherever it is used
  const sticky = new Map<number, string>();
  for (const { affinity, slots, localSlots } of ruleset.frontends.values()) {
    for (const [id, list] of [
      [affinity?.id, slots],
      [affinity?.localId, localSlots],
    ] as const) {
      if (id === undefined) continue;
      const text = JSON.stringify(list);
      expect(sticky.get(id) ?? text).toBe(text);
      sticky.set(id, text);
    }
  }
  for (const placed of ruleset.frontends.values()) {
    const { action } = placed.frontend;
    const pools =
      action.kind === "balance"
        ? ([
            [placed.slots, action.pool],
            [placed.localSlots, action.localPool],
          ] as const)
        : ([
            [placed.slots, undefined],
            [placed.localSlots, undefined],
          ] as const);
    for (const [slots, pool] of pools) {
      const taken = slots.flatMap((m) => (m === undefined ? [] : `${m.ip} ${m.port}`));
      const counts = new Map<string, number>();
      for (const id of taken) counts.set(id, (counts.get(id) ?? 0) + 1);
      const weights = new Map((pool?.members ?? []).map((m) => [`${m.ip} ${m.port}`, m.weight ?? 1]));
      expect([...counts.keys()].sort()).toEqual([...weights.keys()].sort());
      const total = [...weights.values()].reduce((sum, w) => sum + w, 0);
      for (const [id, count] of counts) {
        const fair = ((weights.get(id) ?? 0) / total) * taken.length;
        if (placed.hash === undefined) expect(count).toBeCloseTo(fair, 6);
        else expect(Math.abs(count - fair)).toBeLessThanOrEqual(2);
      }
      if (placed.affinity === undefined) expect(taken.length).toBe(slots.length);
      else expect(taken.length * 2).toBeGreaterThanOrEqual(slots.length);
    }
  }
}

const some = runs(60, 20260);

test("after any changes the plan equals a fresh one, and the tables hold exactly what the program says", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 12 }), async (bursts) => {
      const store = new SnapshotStore();
      const cursor = store.cursor(() => undefined);
      const plan = new ProxyPlan("n", defaultPlanOptions);
      const applier = new MemoryApplier();
      let rulesets = families.map(fresh);
      await applier.apply(rulesets.map(diffFromNothing));
      for (const burst of bursts) {
        for (const s of burst) take(store, s);
        const batch = cursor.take();
        if (batch === undefined) continue;
        const { frontends } = plan.apply(batch);
        const next = rulesets.map((r) => compileFrontends(frontends.changed, r).plan);
        await applier.apply(next.map((r, i) => diffRulesets(rulesets[i] ?? r, r, frontends.changed.keys())));
        rulesets = next;
        rulesets.forEach(checkSlots);
      }
      const anew = new ProxyPlan("n", defaultPlanOptions);
      anew.apply(batchFromEmpty(store.current));
      expect(planOf(plan)).toEqual(planOf(anew));
      for (const ruleset of rulesets) {
        const held = [...(applier.tables.get(ruleset.family)?.values() ?? [])];
        expect(new Map(held.map((e) => [elementId(e), e.value]))).toEqual(
          new Map(tableOf(ruleset).elements.map((e) => [elementId(e), e.value])),
        );
        // a new process that reads the tables has nothing to change
        const skeleton = { ...ruleset.skeleton, ...adoptSkeleton(held) };
        const adopted = emptyRuleset(ruleset.family, "t", skeleton, adoptAllocations(ruleset.family, held));
        const changed = new Map([...plan.frontends].map(([key, after]) => [key, { after }]));
        const again = compileSurroundings(surroundings, compileFrontends(changed, adopted).plan);
        expect(diffFromElements(held, again).groups).toEqual([]);
      }
    }),
    some,
  );
});

test("what is printed is parsed to what it was", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const store = new SnapshotStore();
      for (const s of steps) take(store, s);
      const plan = new ProxyPlan("n", defaultPlanOptions);
      const { frontends } = plan.apply(batchFromEmpty(store.current));
      for (const family of families) {
        const table = tableOf(compileFrontends(frontends.changed, fresh(family)).plan);
        expect(parseTable(printTable(table))).toEqual(table);
      }
    }),
    runs(8, 20261),
  );
});

describe("cost", () => {
  test("one changed slice computes one Service, once", () => {
    const store = new SnapshotStore();
    const cursor = store.cursor(() => undefined);
    for (let i = 0; i < 50; i++) {
      put(store, "Service", makeService(`s${i}`, { clusterIP: `10.96.1.${i + 1}` }));
      put(store, "EndpointSlice", makeSlice(`s${i}`, ["10.244.1.1", "10.244.1.2"]));
    }
    let computed: string[] = [];
    const derivation = serviceDerivation("n", defaultPlanOptions);
    const counted = {
      ...derivation,
      compute: (...args: Parameters<typeof derivation.compute>) => {
        computed.push(args[1]);
        return derivation.compute(...args);
      },
    };
    const plan = new ProxyPlan("n", defaultPlanOptions, counted);
    const first = cursor.take();
    if (first !== undefined) plan.apply(first);
    expect(computed.length).toBe(50);
    computed = [];
    put(store, "EndpointSlice", makeSlice("s7", ["10.244.1.1", "10.244.1.3"]), "2");
    const second = cursor.take();
    const delta = second === undefined ? undefined : plan.apply(second);
    expect(computed).toEqual(["test/s7"]);
    expect([...(delta?.frontends.changed.keys() ?? [])]).toEqual(["10.96.1.8:80/tcp"]);
    // the same again changes nothing
    put(store, "EndpointSlice", makeSlice("s7", ["10.244.1.3", "10.244.1.1"]), "3");
    const third = cursor.take();
    expect(third === undefined ? undefined : plan.apply(third).frontends.changed.size).toBe(0);
  });

  test("a pool of n changed by one is a handful of elements", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.nat(), fc.constantFrom("swap", "grow", "shrink"), (size, pick, how) => {
        const pool = (list: readonly number[]): Pool => ({
          id: "p",
          members: list.map((n) => ({ ip: `10.0.${n >> 8}.${n & 255}`, port: 80, local: false })),
        });
        const all = Array.from({ length: size }, (_, i) => i);
        const gone = pick % size;
        const after =
          how === "grow" ? [...all, 999] : how === "swap" ? all.map((n) => (n === gone ? 999 : n)) : all.filter((n) => n !== gone);
        const frontend = (p: Pool): Frontend => ({
          key: "10.96.0.1:80/tcp",
          scope: "clusterIP",
          family: 4,
          ip: "10.96.0.1",
          port: 80,
          protocol: "tcp",
          action: p.members.length === 0 ? { kind: "reject" } : { kind: "balance", pool: p },
          masquerade: "off-cluster",
          owner: { namespace: "test", name: "s", port: "", protocol: "tcp" },
        });
        const changed = (f: Frontend) => new Map([[f.key, { after: f }]]);
        const one = compileFrontends(
          changed(frontend(pool(all))),
          emptyRuleset(4, "t", { ...defaultSkeletonOptions, largestClass: 1024 }),
        ).plan;
        const two = compileFrontends(changed(frontend(pool(after))), one).plan;
        const [group] = diffRulesets(one, two).groups;
        expect((group?.deletes.length ?? 0) + (group?.adds.length ?? 0)).toBeLessThanOrEqual(how === "swap" ? 2 : 5);
        expect(placeSlots(two.frontends.get("10.96.0.1:80/tcp")?.slots ?? [], pool(after), false).length).toBe(after.length);
      }),
      runs(100, 20263),
    );
  });
});
