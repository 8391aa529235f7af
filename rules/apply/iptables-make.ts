import type { IpFamily } from "../../src/base/ip.ts";
import { type IptablesMake, iptablesProgram, type RunIptables, runIptables } from "../../src/kernel/iptables-command.ts";
import { chainPrefix } from "../iptables/names.ts";
import { ApplyError } from "./errors.ts";

const makes: readonly IptablesMake[] = ["nft", "legacy"];
/** Chains of the kubelet, which it makes for others to see which make it uses. */
const kubeletHint = /^:KUBE-(IPTABLES-HINT|KUBELET-CANARY) /m;

/** The make that everybody else on this machine uses: rules of different makes do not see each other. */
export async function findIptablesMake(
  families: readonly IpFamily[],
  signal: AbortSignal,
  run: RunIptables = runIptables,
): Promise<{ readonly make: IptablesMake; readonly why: string }> {
  const said = async (program: string, args: readonly string[]): Promise<string | undefined> => {
    try {
      const result = await run(program, args, "", signal);
      return result.code === 0 ? result.stdout : undefined;
    } catch (error) {
      if (signal.aborted) throw error;
      return undefined;
    }
  };
  const saved = new Map<IptablesMake, string>();
  for (const make of makes) {
    const texts = await Promise.all(families.map((family) => said(iptablesProgram(family, make, "save"), [])));
    if (texts.some((text) => text !== undefined)) saved.set(make, texts.join(""));
  }
  if (saved.size === 0) throw new ApplyError("UNUSABLE", "the iptables programs cannot be run: install the package iptables, and be root");
  for (const [make, text] of saved) if (kubeletHint.test(text)) return { make, why: "the kubelet uses it" };
  const count = (make: IptablesMake): number =>
    (saved.get(make) ?? "").split("\n").filter((l) => l.startsWith("-A ") && !l.includes(chainPrefix)).length;
  const [nft, legacy] = [count("nft"), count("legacy")];
  if (saved.has("nft") && nft > legacy) return { make: "nft", why: "others have rules in it" };
  if (saved.has("legacy") && legacy > nft) return { make: "legacy", why: "others have rules in it" };
  const version = (await said("iptables", ["--version"])) ?? "";
  const own: IptablesMake = version.includes("legacy") ? "legacy" : "nft";
  const make = saved.has(own) ? own : own === "nft" ? "legacy" : "nft";
  return { make, why: make === own ? "this machine's iptables is of that make" : `the other make cannot be used` };
}
