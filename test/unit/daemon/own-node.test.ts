import { expect, test } from "vitest";
import { withoutNode } from "../../../src/daemon/own-node.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";
import { makeNode, put } from "../../support/rules-objects.ts";

test.each([
  { nodes: [], want: "the API has no Node a (none is there): " },
  { nodes: ["a"], want: undefined },
  { nodes: ["b", "a"], want: undefined },
  { nodes: ["a.example"], want: "the API has no Node a (there is a.example): " },
  { nodes: ["b", "c", "d", "e"], want: "the API has no Node a (there is b, c, d, …): " },
])("a daemon for Node a, of $nodes", ({ nodes, want }) => {
  const store = new SnapshotStore();
  for (const name of nodes) put(store, "Node", makeNode(name, [], []));
  const told = withoutNode(store.current, "a");
  if (want === undefined) expect(told).toBeUndefined();
  else expect(told).toContain(want);
});
