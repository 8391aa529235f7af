import { expect, test } from "vitest";
import { compileOffline } from "../../../rules/index.ts";
import type { Backend } from "../../../rules/model/backend.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { fillStore, makeNode, makeService, makeSlice } from "../../support/rules-objects.ts";

/** What is said of the choice among two endpoints, with this annotation. */
function choiceWords(backend: Backend, balance: string | undefined): readonly string[] {
  const store = new SnapshotStore();
  const annotations = balance === undefined ? undefined : { "fairway.dev/balance": balance };
  fillStore(store, [
    makeNode("a", ["192.0.2.1"], ["10.244.0.0/24"]),
    makeService("web", { clusterIP: "10.96.0.9" }, annotations === undefined ? {} : { metadata: { annotations } }),
    makeSlice("web", ["10.244.0.2", "10.244.1.2"]),
  ]);
  const { trace } = compileOffline(store.current, { nodeName: "a", backend });
  const { steps } = trace({ from: "10.244.0.7", to: "10.96.0.9", port: 80, protocol: "tcp" });
  return steps.map((s) => s.why).filter((why) => why.includes("endpoints is chosen"));
}

test.each([
  ["nftables", undefined, ["one of the endpoints is chosen"]],
  ["nftables", "random", ["one of the endpoints is chosen"]],
  ["nftables", "source-hash", ["one of the endpoints is chosen, by source-hash"]],
  ["nftables", "maglev", ["one of the endpoints is chosen, by maglev"]],
  ["nftables", "least-connections", ["one of the endpoints is chosen"]],
  ["iptables", "maglev", ["one of the endpoints is chosen"]],
  ["userspace", "least-connections", ["one of the endpoints is chosen, by least-connections"]],
] as const)("%s, balanced by %s: a trace says how the backend chooses", (backend, balance, want) => {
  expect(choiceWords(backend, balance)).toEqual(want);
});
