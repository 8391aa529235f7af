import assert from "node:assert/strict";
import { createIptablesApplier } from "../../rules/apply/iptables-applier.ts";
import { createIpvsApplier } from "../../rules/apply/kernel-ipvs-applier.ts";
import { compileOffline, type RuleOptions } from "../../rules/index.ts";
import { diffFromFound } from "../../rules/ipvs/difference.ts";
import type { IptablesMake } from "../../src/kernel/iptables-command.ts";
import type { Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import { commandsIn, inNetns } from "../support/in-netns.ts";
import { iptablesIn } from "../support/iptables-in.ts";

/** Makes the virtual servers of a namespace what objects ask for, as often as `become` is called, until the work is done. */
export async function withServersIn(
  namespace: string,
  make: IptablesMake,
  signal: AbortSignal,
  work: (become: (snapshot: Snapshot, options: RuleOptions) => Promise<void>) => Promise<void>,
): Promise<void> {
  const rules = createIptablesApplier(make, iptablesIn(namespace));
  const applier = inNetns(namespace, () => createIpvsApplier({ through: "netlink", strictArp: false, rules }, commandsIn(namespace)));
  try {
    await applier.prepare(signal);
    await work(async (snapshot, options) => {
      const { ipvs } = compileOffline(snapshot, { ...options, backend: "ipvs" });
      const found = {
        state: await applier.read(signal),
        rules: new Map([
          [4, await rules.read(4, signal)],
          [6, await rules.read(6, signal)],
        ]),
      };
      await applier.apply(diffFromFound(found, ipvs ?? assert.fail("a program of virtual servers")), signal);
    });
  } finally {
    await applier.remove(signal);
    await applier.close();
  }
}
