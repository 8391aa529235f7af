import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createIptablesApplier } from "../../rules/apply/iptables-applier.ts";
import { createNetlinkApplier } from "../../rules/apply/netlink-applier.ts";
import { compileOffline } from "../../rules/index.ts";
import { hooksOf } from "../../rules/iptables/program.ts";
import { diffChains } from "../../rules/iptables/transaction.ts";
import { diffFromNothing } from "../../rules/nftables/transaction.ts";
import { SnapshotStore } from "../../src/snapshot/snapshot-store.ts";
import { type ConfigName, configNames, configs, type PacketCase, packetObjects, packetTable } from "../contract/packets.ts";
import { inNetns } from "../support/in-netns.ts";
import { iptablesIn } from "../support/iptables-in.ts";
import { nftIn } from "../support/nft-in.ts";
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
type Backend = "nftables" | "iptables-legacy" | "iptables-nft";
const signal = (): AbortSignal => AbortSignal.timeout(120_000);

/** Makes the rules of a configuration in node `a`; returns how to take them away. */
async function program(backend: Backend, config: ConfigName): Promise<() => Promise<void>> {
  const namespace = lab.namespace("a");
  const options = { ...configs[config], nodeName: "a" };
  if (backend === "nftables") {
    const { program } = compileOffline(store.current, { ...options, backend });
    const applier = inNetns(namespace, () => createNetlinkApplier(nftIn(namespace)));
    await applier.apply(program.map(diffFromNothing), signal());
    return async () => {
      for (const family of [4, 6] as const) await applier.remove(family, "fairway", signal());
      await applier.close();
    };
  }
  // what the table says of unset node port addresses is said of nftables' primary ones
  const { iptables } = compileOffline(store.current, { nodePortAddresses: "primary", ...options, backend: "iptables" });
  const applier = createIptablesApplier(backend === "iptables-legacy" ? "legacy" : "nft", iptablesIn(namespace));
  await applier.apply(
    iptables.flatMap((p) => diffChains(p.family, new Map(), p.chains, p.chains.keys(), { unhook: [], hook: hooksOf(p) })),
    signal(),
  );
  return async () => {
    for (const family of [4, 6] as const) expect(await applier.remove(family, signal())).toBe(true);
  };
}

const backends: readonly Backend[] = ["nftables", "iptables-legacy", "iptables-nft"];
describe.each(backends.flatMap((backend) => configNames.map((config) => [backend, config] as const)))(
  "kernel, %s, %s",
  (backend, config) => {
    test("packets fare as the table says", async () => {
      const remove = await program(backend, config);
      // a source port that comes again would belong to a connection of other rules
      lab.run("a", "conntrack", ["-F"]);
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
        await remove();
      }
    });
  },
);
