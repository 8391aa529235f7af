import { expect, test } from "vitest";
import { nameChanges } from "../../../src/cli/plan/differences.ts";
import { SnapshotStore } from "../../../src/snapshot/snapshot-store.ts";

test("of a name with many records, those that differ are told", () => {
  const store = new SnapshotStore();
  const cursor = store.cursor(() => {});
  const slice = (endpoints: number): void => {
    const metadata = { namespace: "a", name: "big-1", labels: { "kubernetes.io/service-name": "big" } };
    const all = Array.from({ length: endpoints }, (_, i) => ({ addresses: [`10.0.0.${i}`] }));
    store.apply("EndpointSlice", "a/big-1", { metadata, addressType: "IPv4", endpoints: all, ports: [] }, "");
  };
  store.apply("Service", "a/big", { metadata: { namespace: "a", name: "big" }, spec: { clusterIP: "None" } }, "");
  slice(200);
  cursor.take();
  slice(199);
  const batch = cursor.take();
  if (batch === undefined) throw new Error("no change");
  const { changes } = nameChanges(batch, undefined);
  expect(changes.map(({ name, change }) => [name, change])).toEqual([
    ["10-0-0-199.big.a.svc.cluster.local.", "removed"],
    ["199.0.0.10.in-addr.arpa.", "removed"],
    ["big.a.svc.cluster.local.", "changed"],
  ]);
  expect(changes[2]).toMatchObject({ gained: [], lost: [expect.stringContaining("10.0.0.199")] });
});
