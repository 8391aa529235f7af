import { expect, test } from "vitest";
import { compileOffline } from "../../../rules/index.ts";
import { chainId, tableNames } from "../../../rules/iptables/rule.ts";
import { type TableChange, translationsFirst } from "../../../rules/iptables/transaction.ts";
import { diffFromFound } from "../../../rules/ipvs/difference.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { fillStore, makeNode, makeService, makeSlice } from "../../support/rules-objects.ts";

const store = new SnapshotStore();
fillStore(store, [
  makeNode("n", ["192.0.2.1"], ["10.244.0.0/24"]),
  makeService("web", { clusterIP: "10.96.0.1" }),
  makeSlice("web", ["10.244.0.1"]),
]);

test("from iptables to ipvs: addresses come before the rules that translate are gone; else the rules come first", () => {
  const { ipvs } = compileOffline(store.current, { nodeName: "n", backend: "ipvs" });
  if (ipvs === undefined) throw new Error("no program");
  const [pools] = compileOffline(store.current, { nodeName: "n", backend: "iptables" }).iptables;
  const state = { sets: new Map(), items: new Map() };
  const from = (names: Iterable<string>) => {
    const chains = new Map([...names].map((id) => [chainId("nat", id), []] as const));
    return diffFromFound({ state, rules: new Map([[4 as const, { chains, builtIns: new Map() }]]) }, ipvs).addressesFirst ?? false;
  };
  const named = [...(pools?.chains.keys() ?? [])].map((id) => id.replace(/^\S+ /, ""));
  expect(named.some((name) => name.startsWith("FAIRWAY-P-"))).toBe(true);
  expect(from(named)).toBe(true);
  expect(from([])).toBe(false);
  expect(from([...ipvs.rules.flatMap((r) => [...r.chains.keys()])].map((id) => id.replace(/^\S+ /, "")))).toBe(false);
});

test("where something else served until now, nothing is refused before it is translated", () => {
  const change = (table: TableChange["table"]): TableChange => ({ family: 4, table, chains: [], unhook: [], hook: [] });
  const order = translationsFirst((["filter", "nat", "raw", "mangle"] as const).map(change)).map((c) => c.table);
  expect(order).toEqual(tableNames);
  expect(order.indexOf("nat")).toBeLessThan(order.indexOf("filter"));
});
