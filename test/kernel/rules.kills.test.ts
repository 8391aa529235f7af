import { expect, test } from "vitest";
import { lacking } from "../support/requires.ts";
import { killRules } from "../support/rules-kills.ts";
import { RulesLab } from "../support/rules-lab.ts";

const lack = lacking("ip", "nft", "conntrack", "iptables");

// A thousand of them: npm run soak.
test.skipIf(lack !== undefined).each([
  { way: "netlink", kills: 20 },
  { way: "command", kills: 3 },
  { way: "iptables-legacy", kills: 20 },
  { way: "iptables-nft", kills: 20 },
] as const)(
  "$kills kills at random moments, by $way: the next start makes the kernel equal to the plan, and no traffic notices",
  {
    timeout: 600_000,
  },
  async ({ way, kills }) => {
    const lab = await RulesLab.start(`kills-${way}`);
    try {
      const done = await killRules(lab, { kills, way, seed: 20_260_101 });
      expect(done.faults).toEqual([]);
      expect(done.kills).toBe(kills);
      // both before and after the rules were in force
      expect(kills < 20 || (done.early > 0 && done.early < kills)).toBe(true);
      for (const { answers } of [done.tcp, done.udp, done.fresh, done.sticky]) expect(answers).toBeGreaterThan(20);
    } finally {
      await lab.close();
    }
  },
);
