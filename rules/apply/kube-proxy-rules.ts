import type { IpFamily } from "../../src/base/ip.ts";
import { type IptablesMake, iptablesProgram, type RunIptables } from "../../src/kernel/iptables-command.ts";
import { kubeProxyRemoval } from "../iptables/kube-proxy.ts";
import { ApplyError } from "./errors.ts";

/** Seconds to wait for others who change legacy rules; a kubelet on the same machine may. */
const lockWait = "10";
/** The nft make's time grows with the square of the chains between two commits; legacy writes the whole table at each. */
const partOf: Readonly<Record<IptablesMake, number>> = { nft: 250, legacy: Number.MAX_SAFE_INTEGER };

/** Removes the chains that kube-proxy left in one make of iptables. Whether there were any; a make that is not here has none. */
export async function removeKubeProxyRules(make: IptablesMake, family: IpFamily, run: RunIptables, signal: AbortSignal): Promise<boolean> {
  const saved = await run(iptablesProgram(family, make, "save"), [], "", signal).catch((error: unknown) => {
    if (signal.aborted) throw error;
    return undefined;
  });
  if (saved === undefined || saved.code !== 0) return false;
  const text = kubeProxyRemoval(saved.stdout, partOf[make]);
  if (text === "") return false;
  const { code, stderr } = await run(iptablesProgram(family, make, "restore"), ["--noflush", "-w", lockWait], text, signal);
  if (code !== 0)
    throw new ApplyError("UNAVAILABLE", `kube-proxy's iptables rules cannot be removed: ${stderr.trim().split("\n")[0] ?? ""}`);
  return true;
}
