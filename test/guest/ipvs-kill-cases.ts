import assert from "node:assert/strict";
import type { GuestCase } from "../support/guest-case.ts";
import { killRules, killsInGuest } from "../support/rules-kills.ts";
import { sharedLab } from "./lab.ts";
import { withServersIn } from "./servers.ts";

// twenty more over a kernel in memory: test/unit/rules/ipvs-target.test.ts; a thousand here: npm run soak -- rules-ipvs
const kills = 3;

export const ipvsKillCases: readonly GuestCase[] = [
  {
    name: "ipvs kills: at random moments; the next start makes the kernel equal to the plan, and no traffic notices",
    async run(signal) {
      const lab = await sharedLab();
      // what is in force at the end goes with them
      await withServersIn(lab.namespace("a"), "nft", signal, async () => {
        const done = await killRules(lab, { ...killsInGuest, kills, seed: 20_260_101 });
        assert.deepEqual(done.faults, []);
        assert.equal(done.kills, kills);
        for (const { answers } of [done.tcp, done.udp, done.fresh, done.sticky]) assert.ok(answers > 20, JSON.stringify(done));
      });
    },
  },
];
