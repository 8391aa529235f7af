// Programs the Service rules of its network namespace and changes them without pause, until it is killed.
import { startProxier } from "../../rules/index.ts";
import { systemClock } from "../../src/base/clock.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { fillStore, makeNode, makeService, makeSlice, put } from "./rules-objects.ts";

const store = new SnapshotStore();
const endpoints = (seed: number): readonly string[] =>
  Array.from({ length: 1 + (seed % 7) }, (_, i) => `10.244.2.${(seed * 13 + i) % 250}`);
fillStore(store, [
  makeNode("a", ["172.31.7.1", "fd31:7::1"], ["10.244.1.0/24", "fd44:1::/64"]),
  makeService("kept", { clusterIP: "10.96.0.20" }),
  makeSlice("kept", ["10.244.1.2"]),
  ...Array.from({ length: 100 }, (_, i) =>
    makeService(`s${i}`, { clusterIP: `10.96.2.${i}`, sessionAffinity: i % 3 === 0 ? "ClientIP" : "None" }),
  ),
]);
const proxier = startProxier({ store, nodeName: "a", backend: "nftables" }, { clock: systemClock, log: () => undefined });
await proxier.ready;
process.stdout.write("ready\n");
for (let n = 0; ; n++) {
  const i = (n * 17) % 100;
  if (n % 11 === 0) store.apply("Service", `test/s${i}`, undefined, String(n));
  else
    put(
      store,
      "Service",
      makeService(`s${i}`, { clusterIP: `10.96.2.${i}`, sessionAffinity: i % 3 === 0 ? "ClientIP" : "None" }),
      String(n),
    );
  put(store, "EndpointSlice", makeSlice(`s${i}`, endpoints(n)), String(n));
  if (n % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
}
