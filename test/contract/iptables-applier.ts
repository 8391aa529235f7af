import { expect, test } from "vitest";
import { isApplyError } from "../../rules/apply/errors.ts";
import type { IptablesApplier } from "../../rules/apply/iptables-applier.ts";
import { compileOffline } from "../../rules/index.ts";
import { chains } from "../../rules/iptables/names.ts";
import { hooksOf, type IptablesProgram } from "../../rules/iptables/program.ts";
import { adopt, diffHooks } from "../../rules/iptables/read.ts";
import type { Chain, TableName } from "../../rules/iptables/rule.ts";
import { diffChains, type Transaction } from "../../rules/iptables/transaction.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { fillStore, makeService, makeSlice, put } from "../support/rules-objects.ts";
import { packetObjects } from "./packets.ts";

const signal = (): AbortSignal => AbortSignal.timeout(120_000);

/** What no kernel takes: a source is rewritten on the way out only. */
const misplaced: Chain = [{ target: { kind: "masquerade", fullyRandom: true } }];
export const misplacedRule = `-A ${chains.offCluster} -j MASQUERADE --random-fully`;

/** What every door to iptables must do, whatever the make. `open` gives one onto tables without rules. */
export function iptablesApplierContract(
  open: () => { readonly applier: IptablesApplier; readonly flush: (table: TableName) => void },
): void {
  const store = new SnapshotStore();
  const compile = (): readonly IptablesProgram[] =>
    compileOffline(store.current, { nodeName: "a", backend: "iptables", localDnsIps: ["10.96.0.10"] }).iptables;
  const load = (program: IptablesProgram): Transaction =>
    diffChains(program.family, new Map(), program.chains, program.chains.keys(), { unhook: [], hook: hooksOf(program) });
  const left = async (applier: IptablesApplier, program: IptablesProgram): Promise<Transaction> => {
    const { family } = program;
    const found = await applier.read(family, signal());
    const adopted = adopt(family, found, program.chains);
    return diffChains(family, adopted, program.chains, undefined, diffHooks(found, hooksOf(program)));
  };
  const four = (programs: readonly IptablesProgram[]): IptablesProgram => {
    const [program] = programs;
    if (program === undefined) throw new Error("no program");
    return program;
  };
  const change = (table: TableName, name: string, before: Chain | undefined, after: Chain | undefined): Transaction[number] => ({
    family: 4,
    table,
    chains: [{ name, before, after }],
    unhook: [],
    hook: [],
  });

  test("what is applied is what is read, in both families; a change rewrites what it names", async () => {
    fillStore(store, packetObjects());
    const { applier } = open();
    await applier.probe([4, 6], signal());
    const programs = compile();
    await applier.apply(programs.flatMap(load), signal());
    for (const program of programs) expect(await left(applier, program)).toEqual([]);

    // as many as are drawn in two steps
    const many = Array.from({ length: 100 }, (_, i) => `10.244.1.${i + 1}`);
    put(store, "EndpointSlice", makeSlice("plain", many, { ports: [{ name: "t", protocol: "TCP", port: 8080 }] }), "2");
    store.apply("Service", "test/zones", undefined, "3");
    const ports = [{ port: 9, protocol: "SCTP", nodePort: 32009 }];
    const sessionAffinity = "ClientIP";
    put(store, "Service", makeService("sctp", { type: "NodePort", clusterIP: "10.96.3.9", ports, sessionAffinity }), "4");
    put(store, "EndpointSlice", makeSlice("sctp", ["10.244.1.9", "10.244.2.9"], { ports: [{ name: "", port: 9, protocol: "SCTP" }] }), "4");
    const next = compile();
    for (const [i, program] of next.entries()) {
      const step = diffChains(program.family, programs[i]?.chains ?? new Map(), program.chains);
      await applier.apply(step, signal());
      expect(await left(applier, program)).toEqual([]);
    }
  });

  test("a table that is refused takes back those before it, in every family", async () => {
    fillStore(store, packetObjects());
    const { applier } = open();
    const programs = compile();
    await applier.apply(programs.flatMap(load), signal());
    const program = four(programs);
    const drop: Chain = [{ target: { kind: "drop" } }];
    const rejects = program.chains.get(`filter ${chains.reject}`);
    const result = applier.apply(
      [
        { ...change("filter", chains.reject, rejects, drop), family: 6 },
        change("filter", "FAIRWAY-NEW", undefined, drop),
        change("filter", chains.reject, rejects, drop),
        change("nat", chains.offCluster, program.chains.get(`nat ${chains.offCluster}`), misplaced),
      ],
      signal(),
    );
    await expect(result).rejects.toSatisfy((e) => isApplyError(e) && e.code === "REFUSED");
    for (const p of programs) expect(await left(applier, p)).toEqual([]);
  });

  test("a jump to a chain that is not there: the tables are to be read again", async () => {
    const { applier } = open();
    await applier.apply(load(four(compile())), signal());
    const away: Chain = [{ target: { kind: "jump", chain: "FAIRWAY-NOWHERE" } }];
    const result = applier.apply([change("nat", "FAIRWAY-BAD", undefined, away)], signal());
    await expect(result).rejects.toSatisfy((e) => isApplyError(e) && e.code === "DIVERGED" && e.message.includes("FAIRWAY-NOWHERE"));
  });

  test("what is not there cannot be taken away: the tables are to be read again", async () => {
    const { applier } = open();
    await applier.apply(load(four(compile())), signal());
    const result = applier.apply(
      [{ family: 4, table: "nat", chains: [], unhook: [{ table: "nat", builtIn: "INPUT", chain: chains.services }], hook: [] }],
      signal(),
    );
    await expect(result).rejects.toSatisfy((e) => isApplyError(e) && e.code === "DIVERGED");
    expect(await left(applier, four(compile()))).toEqual([]);
  });

  test("removal takes all of ours, once", async () => {
    fillStore(store, packetObjects());
    const { applier } = open();
    await applier.apply(compile().flatMap(load), signal());
    for (const family of [4, 6] as const) {
      expect(await applier.remove(family, signal())).toBe(true);
      const found = await applier.read(family, signal());
      expect([...found.chains.keys()]).toEqual([]);
      expect([...found.builtIns.values()].flat()).toEqual([]);
      expect(await applier.remove(family, signal())).toBe(false);
    }
  });

  test.each(["nat", "filter"] as const)("a flush of table %s is seen by the canary", async (table) => {
    const { applier, flush } = open();
    await applier.apply(compile().flatMap(load), signal());
    expect(await applier.intact(4, signal())).toBe(true);
    flush(table);
    expect(await applier.intact(4, signal())).toBe(false);
    expect(await applier.intact(6, signal())).toBe(true);
  });
}
