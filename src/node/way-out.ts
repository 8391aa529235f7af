import { type Cidr, printCidr } from "../base/cidr.ts";
import { type RunCommand, runOrThrow } from "../kernel/command.ts";
import { printSysctlScript } from "../kernel/sysctl.ts";
import { bridgeName, type MachineConfig } from "./machine-plan.ts";

/** What lets pods reach addresses outside the machine: a table of nf_tables, and links that forward which did not before. */
export interface WayOut {
  /** The table `ip NAME`. */
  readonly table: string;
  /** This machine's own links that did not forward; they are put back when the cluster ends. */
  readonly opened: readonly string[];
}

export function wayOutTable(cluster: string): string {
  return `${bridgeName(cluster)}-out`;
}

/**
 * The table as `nft -f` takes it, whole at any time. Packets of pods and nodes that leave for other addresses leave as this machine's. A
 * link that is made to forward for the answers lets nothing new in: whoever is behind it reached nothing through this machine before. IPv4
 * only: forwarding IPv6 would end this machine's own router advertisements.
 */
export function printWayOut(config: MachineConfig, opened: readonly string[]): string {
  const four = (ranges: readonly Cidr[]): string =>
    ranges
      .filter((r) => r.family === 4)
      .map(printCidr)
      .join(", ");
  const table = wayOutTable(config.name);
  const bridge = bridgeName(config.name);
  const inside = four([...config.podRanges, ...config.nodeRanges]);
  const closed = opened.map((link) => `"${link}"`).join(", ");
  return [
    `table ip ${table}`,
    `delete table ip ${table}`,
    `table ip ${table} {`,
    "  chain postrouting {",
    "    type nat hook postrouting priority srcnat; policy accept;",
    `    ip saddr { ${inside} } oifname != { "lo", "${bridge}" } masquerade`,
    "  }",
    "  chain forward {",
    "    type filter hook forward priority filter; policy accept;",
    // What somebody else translates (a published port of a container) is let through by that somebody.
    ...(opened.length === 0 ? [] : [`    iifname { ${closed} } ct state new ct status & dnat == 0 drop`]),
    "  }",
    "}",
    "",
  ].join("\n");
}

/** Links that lead to IPv4 default routes, and whether each forwards what it receives. */
export async function readUplinks(run: RunCommand, signal?: AbortSignal): Promise<ReadonlyMap<string, boolean>> {
  const { stdout } = await runOrThrow(run, ["ip", "-4", "-json", "route", "show", "default"], {}, signal);
  const routes = JSON.parse(stdout.trim() === "" ? "[]" : stdout) as readonly { readonly dev?: string }[];
  const names = [...new Set(routes.flatMap((r) => r.dev ?? []))];
  const forwards = await Promise.all(
    names.map(async (name) => (await run(["cat", `/proc/sys/${forwardingOf(name)}`], {}, signal)).stdout.trim() === "1"),
  );
  return new Map(names.map((name, i) => [name, forwards[i] === true]));
}

/** The table first: at no moment is more open than it says. */
export async function openWayOut(run: RunCommand, config: MachineConfig, way: WayOut, signal?: AbortSignal): Promise<void> {
  await runOrThrow(run, ["nft", "-f", "-"], { input: printWayOut(config, way.opened) }, signal);
  await setForwarding(run, [bridgeName(config.name), ...way.opened], "1", signal);
}

/** `keep`: links that other clusters still need. What is gone already is no error. */
export async function closeWayOut(run: RunCommand, way: WayOut, keep: ReadonlySet<string>): Promise<void> {
  await setForwarding(
    run,
    way.opened.filter((link) => !keep.has(link)),
    "0",
  );
  // Without the command there never was a table.
  await run(["nft", "-f", "-"], { input: `table ip ${way.table}\ndelete table ip ${way.table}\n` }).catch(() => undefined);
}

function forwardingOf(link: string): string {
  return `net/ipv4/conf/${link}/forwarding`;
}

async function setForwarding(run: RunCommand, links: readonly string[], value: "0" | "1", signal?: AbortSignal): Promise<void> {
  if (links.length === 0) return;
  await run(["sh", "-c", printSysctlScript(Object.fromEntries(links.map((link) => [forwardingOf(link), value])))], {}, signal);
}
