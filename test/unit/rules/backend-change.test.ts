import { expect, test } from "vitest";
import { ApplyError } from "../../../rules/apply/errors.ts";
import type { IptablesApplier } from "../../../rules/apply/iptables-applier.ts";
import { KernelIpvsApplier } from "../../../rules/apply/kernel-ipvs-applier.ts";
import { compileOffline } from "../../../rules/index.ts";
import { chainId, tableNames } from "../../../rules/iptables/rule.ts";
import { type TableChange, translationsFirst } from "../../../rules/iptables/transaction.ts";
import { diffFromFound } from "../../../rules/ipvs/difference.ts";
import type { IpvsTransaction } from "../../../rules/ipvs/transaction.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { MemoryIpvsKernel } from "../../support/memory-ipvs-kernel.ts";
import { fillStore, makeNode, makeService, makeSlice } from "../../support/rules-objects.ts";

const store = new SnapshotStore();
fillStore(store, [
  makeNode("n", ["192.0.2.1"], ["10.244.0.0/24"]),
  makeService("web", { clusterIP: "10.96.0.1" }),
  makeSlice("web", ["10.244.0.1"]),
]);

const program = compileOffline(store.current, { nodeName: "n", backend: "ipvs" }).ipvs;
if (program === undefined) throw new Error("no program");
const own = program.rules.flatMap((r) => [...r.chains.keys()]).map((id) => id.replace(/^\S+ /, ""));
const pools = [...(compileOffline(store.current, { nodeName: "n", backend: "iptables" }).iptables[0]?.chains.keys() ?? [])].map((id) =>
  id.replace(/^\S+ /, ""),
);
/** To ipvs, from a node with these chains of nat. */
const from = (names: readonly string[]): IpvsTransaction => {
  const chains = new Map(names.map((id) => [chainId("nat", id), []] as const));
  return diffFromFound(
    {
      state: { sets: new Map(), items: new Map() },
      rules: new Map([[4 as const, { chains, builtIns: new Map(), foreignJumps: new Map() }]]),
    },
    program,
  );
};

test("from iptables to ipvs: addresses come before the rules that translate are gone; else the rules come first", () => {
  expect(pools.some((name) => name.startsWith("FAIRWAY-P-"))).toBe(true);
  expect(from(pools).guards).toBeDefined();
  expect(from([]).guards).toBeUndefined();
  expect(from(own).guards).toBeUndefined();
});

test("what keeps senders out comes before the addresses, and what marks them after: all of it is there in the end", () => {
  const { guards = [], rules = [] } = from(pools);
  const mangle = rules.find((c) => c.table === "mangle");
  const [guard] = guards;
  expect(guards.map((c) => [c.table, c.hook.map((h) => h.builtIn)])).toEqual([["mangle", ["PREROUTING", "OUTPUT"]]]);
  const kinds = (change: TableChange | undefined) => change?.chains.map((c) => [...new Set(c.after?.map((rule) => rule.target.kind))]);
  expect(kinds(guard)).toEqual([["return", "drop"]]);
  expect(kinds(mangle)).toEqual([["return", "drop", "mark-of-entry"]]);
  expect(mangle?.chains.map((c) => c.before)).toEqual(guard?.chains.map((c) => c.after));
  expect(mangle?.hook).toEqual([]);
  expect(rules.map((c) => c.table)).toEqual(["mangle", "filter", "nat"]);
});

test("the applier keeps that order, and takes all of it back", async () => {
  const signal = AbortSignal.timeout(60_000);
  const kernel = new MemoryIpvsKernel();
  const fails = { at: "" };
  const rules: IptablesApplier = {
    make: "nft",
    tally: () => 0,
    probe: () => Promise.resolve(),
    read: () => Promise.resolve({ chains: new Map(), builtIns: new Map(), foreignJumps: new Map() }),
    apply(transaction) {
      const tables = transaction.map((c) => c.table).join("+");
      if (tables === fails.at) return Promise.reject(new ApplyError("REFUSED", "no"));
      kernel.log.push(`rules ${tables}`);
      return Promise.resolve();
    },
    remove: () => Promise.resolve(false),
    intact: () => Promise.resolve(true),
  };
  const run = () => Promise.resolve({ code: 0, stdout: "", stderr: "" });
  const deps = { ...kernel.doors(), rules, run, clock: new FakeClock(), settings: { strictArp: false } };
  const told = () => kernel.log.splice(0).filter((line) => /^(rules|address)/.test(line));

  fails.at = "mangle+filter+nat";
  const applier = new KernelIpvsApplier(deps);
  await applier.prepare(signal);
  await expect(applier.apply(from(pools), signal)).rejects.toMatchObject({ code: "REFUSED" });
  expect(told()).toEqual(["rules mangle", "address add 10.96.0.1", "address delete 10.96.0.1", "rules mangle"]);
  fails.at = "";
  await applier.apply(from(pools), signal);
  expect(told()).toEqual(["rules mangle", "address add 10.96.0.1", "rules mangle+filter+nat"]);
  await applier.remove(signal);
  told();
  await applier.prepare(signal);
  await applier.apply(from([]), signal);
  expect(told()).toEqual(["rules mangle+filter+nat", "address add 10.96.0.1"]);
  await applier.close();
});

test("where something else served until now, nothing is refused before it is translated", () => {
  const change = (table: TableChange["table"]): TableChange => ({ family: 4, table, chains: [], unhook: [], hook: [] });
  const order = translationsFirst((["filter", "nat", "raw", "mangle"] as const).map(change)).map((c) => c.table);
  expect(order).toEqual(tableNames);
  expect(order.indexOf("nat")).toBeLessThan(order.indexOf("filter"));
});
