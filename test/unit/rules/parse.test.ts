import { describe, expect, test } from "vitest";
import { compileOffline } from "../../../rules/index.ts";
import { ParseError, parseTable } from "../../../rules/nftables/parse.ts";
import { printTable } from "../../../rules/nftables/print.ts";
import { tableOf } from "../../../rules/nftables/ruleset.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { configs, packetObjects } from "../../contract/packets.ts";
import { fillStore } from "../../support/rules-objects.ts";

const store = new SnapshotStore();
fillStore(store, packetObjects());

describe.each(Object.entries(configs))("%s", (_, config) => {
  test("what is printed is parsed to what it was", () => {
    const { program } = compileOffline(store.current, {
      ...config,
      nodeName: "a",
      backend: "nftables",
      localDnsIps: ["10.96.0.10", "fd96::a"],
    });
    for (const ruleset of program) {
      const table = tableOf(ruleset);
      expect(parseTable(printTable(table))).toEqual(table);
    }
  });
});

test.each([
  ["", "nothing"],
  ["add table ip t\ndelete table ip t\ntable ip t {\n chain c {\n  accept\n }\n}\n", "a statement that fairway does not make"],
  ["add table ip t\ndelete table ip t\ntable ip t {\n chain c {", "a block without end"],
  ["add table ip t\ndelete table ip t\ntable ip t {\n}\nadd element ip t s { 1 }\n", "an element of an unknown set"],
])("refuses %j: %s", (text) => {
  expect(() => parseTable(text)).toThrow(ParseError);
});
