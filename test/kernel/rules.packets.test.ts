import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { configNames, configs, type PacketCase, packetObjects, packetTable } from "../contract/packets.ts";
import { applyRules, kernelBackends } from "../support/node-rules.ts";
import { disagreement, isSticky } from "../support/packet-check.ts";
import { lacking } from "../support/requires.ts";
import { RulesLab } from "../support/rules-lab.ts";
import { fillStore } from "../support/rules-objects.ts";

let lab: RulesLab;
const lack = lacking("ip", "nft", "conntrack", "iptables");
beforeAll(async () => {
  if (lack === undefined) lab = await RulesLab.start("packets");
});
afterAll(async () => {
  await lab?.close();
});
beforeEach((t) => t.skip(lack !== undefined, lack));

const store = new SnapshotStore();
fillStore(store, packetObjects());
describe.each(kernelBackends.flatMap((backend) => configNames.map((config) => [backend, config] as const)))(
  "kernel, %s, %s",
  (backend, config) => {
    test("packets fare as the table says", async () => {
      // what the table says of unset node port addresses is said of nftables' primary ones
      const options = { nodePortAddresses: "primary", ...configs[config], nodeName: "a" } as const;
      const rules = await applyRules(lab.namespace("a"), backend, store.current, options);
      try {
        const cases = packetTable.filter((c) => (c.config ?? "default") === config);
        const wrong: string[] = [];
        let checked = 0;
        for (const family of [4, 6] as const) {
          for (const protocol of ["tcp", "udp"] as const) {
            const check = async (c: PacketCase): Promise<void> => {
              const problem = await disagreement(lab, c, family, protocol);
              checked++;
              if (problem !== undefined) wrong.push(`IPv${family} ${protocol}, ${c.name}: ${problem}`);
            };
            // xt_recent's look and note are two steps: two first connections of a client at the same moment may part
            const parted = cases.filter((c) => backend !== "nftables" && isSticky(c));
            for (const c of parted) await check(c);
            await Promise.all(cases.filter((c) => !parted.includes(c)).map(check));
          }
        }
        expect(wrong).toEqual([]);
        expect(checked).toBe(cases.length * 4);
      } finally {
        await rules.remove();
      }
    });
  },
);
