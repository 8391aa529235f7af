import { existsSync } from "node:fs";
import { runCommand } from "../../src/kernel/command.ts";
import { isApplyError } from "../apply/errors.ts";
import { createIptablesApplier } from "../apply/iptables-applier.ts";
import type { IpvsApplier } from "../apply/ipvs-applier.ts";
import { closeIpvsDoors, type IpvsDoors, openIpvsDoors } from "../apply/ipvs-doors.ts";
import { createIpvsApplier } from "../apply/kernel-ipvs-applier.ts";
import type { ProxierConfig, ProxierDeps } from "./config.ts";
import { chooseIptablesMake, iptablesFamilies, openEyes } from "./iptables-world.ts";
import type { IpvsWorld } from "./ipvs-target.ts";
import { ipvsSettingsOf, readMachineIps } from "./surroundings.ts";

/** Removes virtual servers, sets and the service link, whose rules must be gone. A kernel that never loaded ip_vs has none. */
export async function removeServers(signal: AbortSignal): Promise<void> {
  if (!existsSync("/proc/thread-self/net/ip_vs")) return;
  let servers: IpvsApplier | undefined;
  try {
    servers = createIpvsApplier({ through: "auto", strictArp: false });
    await servers.remove(signal);
  } catch (error) {
    // who may not use them has made none
    if (!isApplyError(error) || error.code !== "UNUSABLE") throw error;
  } finally {
    await servers?.close();
  }
}

/** To take away what an ipvs backend left. Undefined where this kernel has never loaded ip_vs, or they may not be used from here. */
export function openLeftServers(): (IpvsDoors & { close(): void }) | undefined {
  if (!existsSync("/proc/thread-self/net/ip_vs")) return undefined;
  try {
    const doors = openIpvsDoors("auto", runCommand);
    return { ...doors, close: () => closeIpvsDoors(doors) };
  } catch (error) {
    if (isApplyError(error) && error.code === "UNUSABLE") return undefined;
    throw error;
  }
}

/** Virtual servers, sets, the service link and iptables of this thread's network namespace. */
export function ipvsWorld(config: ProxierConfig, deps: Pick<ProxierDeps, "log">): IpvsWorld {
  return {
    async open(signal) {
      const make = await chooseIptablesMake(config, deps, signal);
      const rules = createIptablesApplier(make);
      const servers = createIpvsApplier({ ...ipvsSettingsOf(config), through: "auto", rules });
      const other = createIptablesApplier(make === "nft" ? "legacy" : "nft");
      return { servers, rules, other, eyes: openEyes(make, iptablesFamilies(config, deps), deps) };
    },
    // no Service is reached at an address that each link may have
    machineIps: () => readMachineIps().filter((ip) => !ip.startsWith("fe80:")),
  };
}
