// Programs the Service rules of its network namespace and changes them without pause, until it is killed.
// Arguments: a seed; how nftables is reached (netlink or command), the make of iptables (iptables-legacy or iptables-nft), or ipvs;
// how many Services come and go.
import { startProxier } from "../../rules/index.ts";
import { systemClock } from "../../src/base/clock.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { seededRandom } from "./random.ts";
import { churned, churnService, churnSlice, keptObjects, nodePortAddresses } from "./rules-churn.ts";
import { fillStore, put } from "./rules-objects.ts";

const random = seededRandom(Number(process.argv[2] ?? 1));
const way = process.argv[3] ?? "netlink";
const configs = {
  netlink: { backend: "nftables", nftables: "netlink" },
  command: { backend: "nftables", nftables: "command" },
  "iptables-legacy": { backend: "iptables", iptablesFlavour: "legacy" },
  "iptables-nft": { backend: "iptables", iptablesFlavour: "nft" },
  ipvs: { backend: "ipvs", iptablesFlavour: "nft" },
} as const;
const config = Object.entries(configs).find(([name]) => name === way)?.[1];
if (config === undefined) throw new Error(`no such way: ${way}`);
const services = Number(process.argv[4] ?? churned);
const all = Array.from({ length: services }, (_, i) => i).filter(() => random.below(2) === 0);
const store = new SnapshotStore();
fillStore(store, [...keptObjects(), ...all.flatMap((i) => [churnService(i, random), churnSlice(i, random)])]);
const proxier = startProxier({ store, nodeName: "a", nodePortAddresses, ...config }, { clock: systemClock, log: () => undefined });
await proxier.ready;
process.stdout.write("ready\n");
for (let n = 1; ; n++) {
  const i = random.below(services);
  if (random.below(10) === 0) store.apply("Service", `test/s${i}`, undefined, String(n));
  else if (random.below(4) === 0) put(store, "Service", churnService(i, random), String(n));
  put(store, "EndpointSlice", churnSlice(i, random), String(n));
  if (random.below(5) === 0) await new Promise((resolve) => setImmediate(resolve));
}
