import { execFileSync } from "node:child_process";
import { createIptablesApplier } from "../../rules/apply/iptables-applier.ts";
import { createNetlinkApplier } from "../../rules/apply/netlink-applier.ts";
import { compileOffline, type OfflineOptions } from "../../rules/index.ts";
import { hooksOf } from "../../rules/iptables/program.ts";
import { diffChains } from "../../rules/iptables/transaction.ts";
import { diffFromNothing } from "../../rules/nftables/transaction.ts";
import type { Snapshot } from "../../src/snapshot/cluster-snapshot.ts";
import { inNetns } from "./in-netns.ts";
import { iptablesIn } from "./iptables-in.ts";
import { nftIn } from "./nft-in.ts";

export const kernelBackends = ["nftables", "iptables-legacy", "iptables-nft"] as const;
export type KernelBackend = (typeof kernelBackends)[number];

const signal = (): AbortSignal => AbortSignal.timeout(120_000);

/** Makes a node's rules in a namespace, and forgets its connections: a source port that comes again would belong to one of other rules. */
export async function applyRules(
  namespace: string,
  backend: KernelBackend,
  snapshot: Snapshot,
  options: Omit<OfflineOptions, "backend">,
): Promise<{ remove(): Promise<void> }> {
  const applied =
    backend === "nftables" ? await applyNftables(namespace, snapshot, options) : await applyIptables(namespace, backend, snapshot, options);
  execFileSync("ip", ["netns", "exec", namespace, "conntrack", "-F"], { stdio: "ignore" });
  return applied;
}

async function applyNftables(namespace: string, snapshot: Snapshot, options: Omit<OfflineOptions, "backend">) {
  const { program } = compileOffline(snapshot, { ...options, backend: "nftables" });
  const applier = inNetns(namespace, () => createNetlinkApplier(nftIn(namespace)));
  await applier.apply(program.map(diffFromNothing), signal());
  return {
    async remove() {
      for (const family of [4, 6] as const) await applier.remove(family, "fairway", signal());
      await applier.close();
    },
  };
}

async function applyIptables(
  namespace: string,
  backend: "iptables-legacy" | "iptables-nft",
  snapshot: Snapshot,
  options: Omit<OfflineOptions, "backend">,
) {
  const { iptables } = compileOffline(snapshot, { ...options, backend: "iptables" });
  const applier = createIptablesApplier(backend === "iptables-legacy" ? "legacy" : "nft", iptablesIn(namespace));
  await applier.apply(
    iptables.flatMap((p) => diffChains(p.family, new Map(), p.chains, p.chains.keys(), { unhook: [], hook: hooksOf(p) })),
    signal(),
  );
  return {
    async remove() {
      for (const family of [4, 6] as const) {
        if (!(await applier.remove(family, signal()))) throw new Error(`no rules of IPv${family} to remove`);
      }
    },
  };
}
