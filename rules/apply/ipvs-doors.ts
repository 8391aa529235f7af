import type { RunCommand } from "../../src/kernel/command.ts";
import { NetlinkFault } from "../../src/kernel/netlink.ts";
import { openCommandSets, openNetlinkSets, type Sets } from "./address-sets.ts";
import { ApplyError } from "./errors.ts";
import { openCommandLink, openNetlinkLink, type ServiceLink } from "./service-link.ts";
import { openCommandServers, openNetlinkServers, type VirtualServers } from "./virtual-servers.ts";

/** What an ipvs backend programs, but for its rules. */
export interface IpvsDoors {
  readonly servers: VirtualServers;
  readonly sets: Sets;
  readonly link: ServiceLink;
}

/** `netlink` throws where it cannot be used from here; `auto` falls back on the commands ipvsadm, ipset and ip. */
export type IpvsWay = "netlink" | "commands" | "auto";

const noServersAdvice = "load its module (modprobe ip_vs), run one that has it, or choose another backend";

/** Throws ApplyError UNUSABLE. */
export function openIpvsDoors(through: IpvsWay, run: RunCommand): IpvsDoors {
  const commands = () => ({ servers: openCommandServers(run), sets: openCommandSets(run), link: openCommandLink(run) });
  if (through === "commands") return commands();
  try {
    return { servers: openNetlinkServers(), sets: openNetlinkSets(), link: openNetlinkLink() };
  } catch (cause) {
    if (!(cause instanceof NetlinkFault)) {
      if (through === "auto") return commands();
      throw cause;
    }
    if (cause.code === "ENOENT") throw new ApplyError("UNUSABLE", `this kernel has no virtual servers: ${noServersAdvice}`, { cause });
    throw new ApplyError("UNUSABLE", `virtual servers may not be programmed from here: ${cause.message}`, { cause });
  }
}

export function closeIpvsDoors({ servers, sets, link }: IpvsDoors): void {
  for (const door of [servers, sets, link]) door.close();
}
