import { readFileSync } from "node:fs";
import type { IpFamily } from "../../src/base/ip.ts";
import { openAccounting } from "../../src/kernel/accounting.ts";
import { hasIpv6, type IptablesMake } from "../../src/kernel/iptables-command.ts";
import { type ForeignEyes, openForeignEyes } from "../../src/kernel/iptables-watch.ts";
import { writeSysctl } from "../../src/kernel/sysctl.ts";
import { createIptablesApplier } from "../apply/iptables-applier.ts";
import { findIptablesMake } from "../apply/iptables-make.ts";
import type { ProxierConfig, ProxierDeps } from "./config.ts";
import { tcpIsLiberal } from "./conntrack-settings.ts";
import type { IptablesWorld } from "./iptables-target.ts";
import { bothFamilies } from "./surroundings.ts";

type Log = Pick<ProxierDeps, "log">;

/** The families that are asked for and that this kernel has. */
export function iptablesFamilies(config: Pick<ProxierConfig, "families">, deps: Log): readonly IpFamily[] {
  const families = config.families ?? bothFamilies;
  if (!families.includes(6) || hasIpv6()) return families;
  deps.log("info", "Service rules: for IPv4 only, because this kernel has no IPv6");
  return families.filter((f) => f !== 6);
}

/** iptables of this thread's network namespace. */
export function iptablesWorld(config: ProxierConfig, deps: Log): IptablesWorld {
  return {
    async open(signal) {
      const make = await chooseIptablesMake(config, deps, signal);
      const other = createIptablesApplier(make === "nft" ? "legacy" : "nft");
      const eyes = openEyes(make, iptablesFamilies(config, deps), deps);
      return { applier: createIptablesApplier(make), other, eyes, counters: openAccounting() };
    },
    tcpIsLiberal: () => tcpIsLiberal(),
    routeLocalnet: () => routeLocalnet(deps),
    noteAffinity: () => noteAffinity(deps),
    noteUncounted: (why) =>
      deps.log(
        "info",
        `packets that iptables drops as INVALID, or takes at localhost node ports, are not counted: xt_nfacct is missing (${why})`,
      ),
  };
}

export async function chooseIptablesMake(
  config: Pick<ProxierConfig, "families" | "iptablesFlavour">,
  deps: Log,
  signal: AbortSignal,
): Promise<IptablesMake> {
  const flavour = config.iptablesFlavour ?? "auto";
  const { make, why } =
    flavour === "auto" ? await findIptablesMake(iptablesFamilies(config, deps), signal) : { make: flavour, why: "it is configured" };
  deps.log("info", `Service rules: iptables of the ${make} make, because ${why}`);
  return make;
}

/** Undefined where nothing tells of others' changes. */
export function openEyes(make: IptablesMake, families: readonly IpFamily[], deps: Log): ForeignEyes | undefined {
  try {
    return openForeignEyes(make, families);
  } catch (error) {
    deps.log("info", `changes that others make to iptables are looked for every 10 s, because nothing tells of them: ${String(error)}`);
    return undefined;
  }
}

function routeLocalnet(deps: Log): void {
  try {
    writeSysctl("net.ipv4.conf.all.route_localnet", "1");
  } catch (error) {
    deps.log("warn", `node ports do not answer on 127.0.0.1, because net.ipv4.conf.all.route_localnet cannot be set: ${String(error)}`);
  }
}

/** The kernel's own limit, set where its module is loaded and not to be changed after. */
function noteAffinity(deps: Log): void {
  try {
    const limit = readFileSync("/sys/module/xt_recent/parameters/ip_list_tot", "utf8").trim();
    deps.log("info", `session affinity: the kernel remembers the last ${limit} clients of each endpoint (xt_recent's ip_list_tot)`);
  } catch {
    // the module is loaded with the first rule that needs it
    deps.log(
      "info",
      "session affinity: the kernel remembers the last 100 clients of each endpoint, unless xt_recent is loaded with another ip_list_tot",
    );
  }
}
