import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { createTextApplier } from "../../rules/apply/text-applier.ts";
import { ProxierMetrics } from "../../rules/sync/metrics.ts";
import { NftablesTarget } from "../../rules/sync/nftables-target.ts";
import { runProxier } from "../../rules/sync/proxier.ts";
import { systemClock } from "../../src/base/clock.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { nftIn } from "../support/nft-in.ts";
import { lacking } from "../support/requires.ts";
import { labAddresses, labPodCidrs, RulesLab } from "../support/rules-lab.ts";
import { fillStore, makeNode, makeService, makeSlice, put } from "../support/rules-objects.ts";

let lab: RulesLab;
const lack = lacking("ip", "nft", "conntrack");
beforeAll(async () => {
  if (lack === undefined) lab = await RulesLab.start("live");
});
afterAll(async () => {
  await lab?.close();
});
beforeEach((t) => t.skip(lack !== undefined, lack));

test("a Service in the store is served by its pods, and follows them", async () => {
  const store = new SnapshotStore();
  const config = { store, nodeName: "a", backend: "nftables" as const };
  const target = new NftablesTarget({ families: [4, 6], tableName: "fairway", skeleton: {} }, createTextApplier(nftIn(lab.namespace("a"))));
  const applied: number[] = [];
  const proxier = runProxier(
    config,
    { clock: systemClock, log: () => undefined, onApplied: (info) => applied.push(info.elements) },
    { target, metrics: new ProxierMetrics() },
  );
  try {
    fillStore(store, [
      makeNode("a", [labAddresses.a[4], labAddresses.a[6]], labPodCidrs.a),
      makeService("web", {
        clusterIP: "10.96.0.10",
        clusterIPs: ["10.96.0.10", "fd96::10"],
        type: "NodePort",
        ports: [{ port: 80, nodePort: 30080 }],
      }),
      makeSlice("web", [labAddresses.a1[4], labAddresses.b1[4]]),
      makeSlice("web", [labAddresses.a1[6], labAddresses.b1[6]]),
    ]);
    await proxier.ready;
    const ask = async (host: string, port: number): Promise<readonly string[]> =>
      [...new Set(await lab.agents.a2.probe({ protocol: "tcp", host, port, count: 30 }))].sort();
    expect(await ask("10.96.0.10", 80)).toEqual([`a1 ${labAddresses.a2[4]}`, `b1 ${labAddresses.a2[4]}`]);
    expect(await ask("fd96::10", 80)).toEqual([`a1 ${labAddresses.a2[6]}`, `b1 ${labAddresses.a2[6]}`]);
    expect(await ask(labAddresses.a[4], 30080)).toEqual([`a1 ${labAddresses.a[4]}`, `b1 ${labAddresses.a[4]}`].sort());

    applied.length = 0;
    put(store, "EndpointSlice", makeSlice("web", [labAddresses.a1[4], labAddresses.b2[4]]));
    await expect.poll(() => applied.length).toBe(1);
    expect(await ask("10.96.0.10", 80)).toEqual([`a1 ${labAddresses.a2[4]}`, `b2 ${labAddresses.a2[4]}`]);
    expect(applied).toEqual([4]); // one slot of the cluster IP and one of the node port: delete and add

    store.apply("Service", "test/web", undefined, "2");
    await expect.poll(() => applied.length).toBe(2);
    expect(lab.run("a", "nft", ["list", "map", "ip", "fairway", "service-ips"])).not.toContain("10.96.0.10");
    expect(proxier.problems()).toEqual([]);
  } finally {
    await proxier.close();
  }
});
