import assert from "node:assert/strict";
import { createIptablesApplier } from "../../rules/apply/iptables-applier.ts";
import { createIpvsApplier } from "../../rules/apply/kernel-ipvs-applier.ts";
import { compileOffline } from "../../rules/index.ts";
import { diffFromFound } from "../../rules/ipvs/difference.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { type ConfigName, configs, packetObjects, packetTable } from "../contract/packets.ts";
import type { GuestCase } from "../support/guest-case.ts";
import { commandsIn, inNetns } from "../support/in-netns.ts";
import { iptablesIn } from "../support/iptables-in.ts";
import { disagreement, type Effort } from "../support/packet-check.ts";
import { fillStore } from "../support/rules-objects.ts";
import { sharedLab } from "./lab.ts";

/** Endpoints take turns: few tries show all of them, if nobody else asks at the same time. */
const effort: Effort = { tries: [2, 4, 8], silenceMs: 1500 };
const configNames: readonly ConfigName[] = ["default", "masqueradeAll", "allNodePortAddresses", "noDetector", "twoNodePortAddresses"];

/** The packet table, by virtual servers in node `a`. */
export const ipvsPacketCases: readonly GuestCase[] = configNames.map((config) => ({
  name: `ipvs, ${config}: packets fare as the table says`,
  async run(signal) {
    const lab = await sharedLab();
    const namespace = lab.namespace("a");
    const run = commandsIn(namespace);
    const store = new SnapshotStore();
    fillStore(store, packetObjects());
    const { ipvs } = compileOffline(store.current, { nodePortAddresses: "primary", ...configs[config], nodeName: "a", backend: "ipvs" });
    const rules = createIptablesApplier(configNames.indexOf(config) % 2 === 0 ? "nft" : "legacy", iptablesIn(namespace));
    const applier = inNetns(namespace, () => createIpvsApplier({ through: "netlink", strictArp: false, rules }, run));
    try {
      await applier.prepare(signal);
      const found = {
        state: await applier.read(signal),
        rules: new Map([
          [4, await rules.read(4, signal)],
          [6, await rules.read(6, signal)],
        ]),
      };
      await applier.apply(diffFromFound(found, ipvs ?? assert.fail("a program of virtual servers")), signal);
      const cases = packetTable.filter((c) => (c.config ?? "default") === config);
      const wrong: string[] = [];
      let checked = 0;
      for (const family of [4, 6] as const) {
        for (const protocol of ["tcp", "udp"] as const) {
          // silence is waited for all at once; the others one after the other, for endpoints take turns
          const silent = cases.filter((c) => c.want.verdict === "drop" || c.want.verdict === "pass");
          const check = async (c: (typeof cases)[number]): Promise<void> => {
            const problem = await disagreement(lab, c, family, protocol, effort);
            checked++;
            if (problem !== undefined) wrong.push(`IPv${family} ${protocol}, ${c.name}: ${problem}`);
          };
          await Promise.all([
            ...silent.map(check),
            (async () => {
              for (const c of cases) if (!silent.includes(c)) await check(c);
            })(),
          ]);
        }
      }
      assert.deepEqual(wrong, []);
      assert.equal(checked, cases.length * 4);
    } finally {
      await applier.remove(signal);
      await applier.close();
    }
  },
}));
