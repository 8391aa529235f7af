import fc from "fast-check";
import { expect, test } from "vitest";
import { compileOffline, type Packet, type Verdict } from "../../rules/index.ts";
import { printRuleSet } from "../../rules/iptables/print.ts";
import { ruleSetOf } from "../../rules/iptables/program.ts";
import { adopt, parseSaved } from "../../rules/iptables/read.ts";
import type { Chain, ChainId } from "../../rules/iptables/rule.ts";
import { diffChains } from "../../rules/iptables/transaction.ts";
import { diffFromFound } from "../../rules/ipvs/difference.ts";
import { emptyIpvsProgram, itemsOf } from "../../rules/ipvs/program.ts";
import { itemId } from "../../rules/ipvs/values.ts";
import { adoptAllocations, adoptSkeleton } from "../../rules/nftables/adopt.ts";
import { compileFrontends, emptyRuleset, type Ruleset, tableOf } from "../../rules/nftables/ruleset.ts";
import { elementId } from "../../rules/nftables/statement.ts";
import { diffFromElements, diffFromNothing } from "../../rules/nftables/transaction.ts";
import { rulesetTracer } from "../../rules/trace/trace.ts";
import type { IpFamily } from "../../src/base/ip.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { MemoryApplier } from "../support/memory-applier.ts";
import { MemoryIpvsApplier } from "../support/memory-ipvs-applier.ts";
import { clusterIp, nodeIp, outerIp, podIp, type Step, secondNodeIp, step, strangerIp, take } from "../support/rules-world.ts";
import { runs } from "../support/runs.ts";

/** Rules of an older cluster are in the kernel, made by a process that is gone: what a new one makes of them for the cluster as it is now. */
const lives = fc.tuple(fc.array(step, { maxLength: 24 }), fc.array(step, { maxLength: 12 }));
const families: readonly IpFamily[] = [4, 6];
const signal = AbortSignal.timeout(600_000);

function worlds([before, since]: readonly [readonly Step[], readonly Step[]]) {
  const store = new SnapshotStore();
  take(store, { do: "node", zone: "east", pods: true });
  for (const s of before) take(store, s);
  const old = store.current;
  for (const s of since) take(store, s);
  return { old, now: store.current };
}

test("nftables: the tables hold what the program says, and packets fare as under a fresh one", async () => {
  await fc.assert(
    fc.asyncProperty(lives, async (life) => {
      const { old, now } = worlds(life);
      const kernel = new MemoryApplier();
      await kernel.apply(compileOffline(old, { nodeName: "n", backend: "nftables" }).program.map(diffFromNothing));
      const fresh = compileOffline(now, { nodeName: "n", backend: "nftables" });
      const started: Ruleset[] = [];
      for (const wanted of fresh.program) {
        const held = [...(kernel.tables.get(wanted.family)?.values() ?? [])];
        const skeleton = { ...wanted.skeleton, ...adoptSkeleton(held) };
        const adopted = emptyRuleset(wanted.family, wanted.table, skeleton, adoptAllocations(wanted.family, held));
        const changed = new Map([...wanted.frontends].map(([key, placed]) => [key, { after: placed.frontend }]));
        const ruleset = { ...compileFrontends(changed, adopted).plan, surroundings: wanted.surroundings };
        await kernel.apply([diffFromElements(held, ruleset)]);
        started.push(ruleset);
        const left = new Map([...(kernel.tables.get(wanted.family) ?? [])].map(([id, e]) => [id, e.value]));
        expect(left).toEqual(new Map(tableOf(ruleset).elements.map((e) => [elementId(e), e.value])));
      }
      const trace = rulesetTracer(
        started,
        families.flatMap((family) => [nodeIp(family), secondNodeIp(family)]),
      );
      for (const packet of packets) expect(fateIn(trace(packet))).toEqual(fateIn(fresh.trace(packet)));
    }),
    runs(40, 20280),
  );
});

test("iptables: the chains are those of a fresh program", () => {
  fc.assert(
    fc.property(lives, (life) => {
      const { old, now } = worlds(life);
      const before = compileOffline(old, { nodeName: "n", backend: "iptables" }).iptables;
      for (const wanted of compileOffline(now, { nodeName: "n", backend: "iptables" }).iptables) {
        const { family } = wanted;
        const program = before.find((p) => p.family === family) ?? expect.unreachable();
        const found = parseSaved(printRuleSet(ruleSetOf(program)));
        const chains = new Map<ChainId, Chain>(adopt(family, found, wanted.chains));
        for (const { table, chains: changed } of diffChains(family, chains, wanted.chains)) {
          for (const { name, before: had, after } of changed) {
            const id: ChainId = `${table} ${name}`;
            expect(chains.has(id)).toBe(had !== undefined);
            if (after === undefined) chains.delete(id);
            else chains.set(id, after);
          }
        }
        expect(new Map([...chains].sort(byId))).toEqual(new Map([...wanted.chains].sort(byId)));
      }
    }),
    runs(40, 20281),
  );
});

test("ipvs: servers, addresses and entries are those of a fresh program", async () => {
  await fc.assert(
    fc.asyncProperty(lives, async (life) => {
      const { old, now } = worlds(life);
      const kernel = new MemoryIpvsApplier();
      const program = (world: typeof now) =>
        compileOffline(world, { nodeName: "n", backend: "ipvs", nodePortAddresses: "primary" }).ipvs ??
        emptyIpvsProgram({ families, scheduler: "rr", masqueradeAll: false, masqueradeMark: 0x4000 });
      for (const wanted of [program(old), program(now)]) {
        await kernel.apply(diffFromFound({ state: await kernel.read(), rules: new Map() }, wanted), signal);
        const items = [...wanted.held.values()].flatMap(({ wanted: of }) => [...itemsOf(of)]).map((item) => [itemId(item), item] as const);
        expect(new Map([...(await kernel.read()).items].sort(byId))).toEqual(new Map(items.sort(byId)));
      }
    }),
    runs(40, 20282),
  );
});

const packets: readonly Packet[] = families.flatMap((family) =>
  [podIp(family, 1), nodeIp(family), strangerIp(family, 7)].flatMap((from) =>
    (
      [
        [clusterIp(family, 1), 80],
        [clusterIp(family, 2), 81],
        [outerIp(family, 1), 80],
        [nodeIp(family), 30_000],
      ] as const
    ).flatMap(([to, port]) => (["tcp", "udp"] as const).map((protocol): Packet => ({ from, to, port, protocol }))),
  ),
);

function byId([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}

function fateIn({ verdict, endpoints, masquerade, service, affinitySeconds }: Verdict) {
  return { verdict, endpoints, masquerade, service, affinitySeconds };
}
