import { killRules, type RulesKillOptions } from "../support/rules-kills.ts";
import { RulesLab, type Traffic } from "../support/rules-lab.ts";
import type { SoakOptions, SoakResult } from "./part.ts";

export const run = (o: SoakOptions): Promise<SoakResult> => soakRules(o, { way: "netlink" });

/** Kills of the process that programs the rules of a node, under traffic. */
export async function soakRules(o: SoakOptions, how: Omit<RulesKillOptions, keyof SoakOptions>): Promise<SoakResult> {
  const { way } = how;
  const lab = await RulesLab.start(`soak-${way}`);
  try {
    const done = await killRules(lab, {
      ...o,
      ...how,
      progress: (kills, faults) => o.progress(`${kills} kills, ${faults} faults`),
    });
    const traffic = (["tcp", "udp", "fresh", "sticky"] as const).map((name) => `${name} ${told(done[name])}`).join(", ");
    return {
      summary: `${done.kills} kills by ${way}, ${done.early} of them before the rules were in force; answers: ${traffic}`,
      faults: done.faults,
    };
  } finally {
    await lab.close();
  }
}

function told({ answers, slowestMs }: Traffic): string {
  return `${answers} (slowest ${slowestMs.toFixed(0)} ms)`;
}
