import { printCidr } from "../base/cidr.ts";
import { type RunCommand, runOrThrow } from "../kernel/command.ts";
import { printSysctlScript } from "../kernel/sysctl.ts";
import { bridgeName, type MachineConfig } from "./machine-plan.ts";

/** What lets pods reach addresses outside the machine: a table of nf_tables a family, and links that forward which did not before. */
export interface WayOut {
  /** The name of the tables. */
  readonly table: string;
  /** This machine's own links that did not forward IPv4; they are put back when the cluster ends. */
  readonly opened: readonly string[];
  /** The same for IPv6; absent: there is no such way. */
  readonly opened6?: readonly string[];
}

type Family = 4 | 6;

export function wayOutTable(cluster: string): string {
  return `${bridgeName(cluster)}-out`;
}

/**
 * The tables as `nft -f` takes them, whole at any time. Packets of pods and nodes that leave for other addresses leave as this machine's.
 * A link that is made to forward for the answers lets nothing new in: whoever is behind it reached nothing through this machine before.
 */
export function printWayOut(config: MachineConfig, way: WayOut): string {
  return [...printFamily(config, 4, way.opened), ...(way.opened6 === undefined ? [] : printFamily(config, 6, way.opened6)), ""].join("\n");
}

function printFamily(config: MachineConfig, family: Family, opened: readonly string[]): readonly string[] {
  const ranges = [...config.podRanges, ...config.nodeRanges].filter((r) => r.family === family);
  const ip = family === 4 ? "ip" : "ip6";
  const table = wayOutTable(config.name);
  const closed = opened.map((link) => `"${link}"`).join(", ");
  return [
    `table ${ip} ${table}`,
    `delete table ${ip} ${table}`,
    `table ${ip} ${table} {`,
    "  chain postrouting {",
    "    type nat hook postrouting priority srcnat; policy accept;",
    `    ${ip} saddr { ${ranges.map(printCidr).join(", ")} } oifname != { "lo", "${bridgeName(config.name)}" } masquerade`,
    "  }",
    "  chain forward {",
    "    type filter hook forward priority filter; policy accept;",
    // What somebody else translates (a published port of a container) is let through by that somebody.
    ...(opened.length === 0 ? [] : [`    iifname { ${closed} } ct state new ct status & dnat == 0 drop`]),
    "  }",
    "}",
  ];
}

/**
 * Links that lead to default routes, and whether each forwards what it receives. No link where the kernel cannot forward for single ones
 * (IPv6 before Linux 6.17): forwarding for all would end this machine's own router advertisements.
 */
export async function readUplinks(run: RunCommand, family: Family, signal?: AbortSignal): Promise<ReadonlyMap<string, boolean>> {
  const { code, stdout } = await run(["ip", `-${family}`, "-json", "route", "show", "default"], {}, signal);
  const routes = JSON.parse(code !== 0 || stdout.trim() === "" ? "[]" : stdout) as readonly { readonly dev?: string }[];
  const names = [...new Set(routes.flatMap((r) => r.dev ?? []))];
  const read = async (setting: string): Promise<string> => (await run(["cat", `/proc/sys/${setting}`], {}, signal)).stdout.trim();
  const all = family === 6 && (await read("net/ipv6/conf/all/forwarding")) === "1";
  const found = await Promise.all(names.map(async (name) => [name, all ? "1" : await read(forwardingOf(name, family))] as const));
  return new Map(found.filter(([, value]) => value !== "").map(([name, value]) => [name, value === "1"]));
}

/** The tables first: at no moment is more open than they say. */
export async function openWayOut(run: RunCommand, config: MachineConfig, way: WayOut, signal?: AbortSignal): Promise<void> {
  await runOrThrow(run, ["nft", "-f", "-"], { input: printWayOut(config, way) }, signal);
  const bridge = bridgeName(config.name);
  await setForwarding(run, 4, [bridge, ...way.opened], "1", signal);
  if (way.opened6 !== undefined) await setForwarding(run, 6, [bridge, ...way.opened6], "1", signal);
}

/** `keep`: links that other clusters still need, by family. What is gone already is no error. */
export async function closeWayOut(run: RunCommand, way: WayOut, keep: Pick<WayOut, "opened" | "opened6">): Promise<void> {
  for (const [family, opened, kept] of [
    [4, way.opened, keep.opened],
    [6, way.opened6 ?? [], keep.opened6 ?? []],
  ] as const) {
    await setForwarding(
      run,
      family,
      opened.filter((link) => !kept.includes(link)),
      "0",
    );
    const table = `table ${family === 4 ? "ip" : "ip6"} ${way.table}`;
    // Without the command there never was a table.
    await run(["nft", "-f", "-"], { input: `${table}\ndelete ${table}\n` }).catch(() => undefined);
  }
}

function forwardingOf(link: string, family: Family): string {
  return family === 4 ? `net/ipv4/conf/${link}/forwarding` : `net/ipv6/conf/${link}/force_forwarding`;
}

async function setForwarding(
  run: RunCommand,
  family: Family,
  links: readonly string[],
  value: "0" | "1",
  signal?: AbortSignal,
): Promise<void> {
  if (links.length === 0) return;
  await run(["sh", "-c", printSysctlScript(Object.fromEntries(links.map((link) => [forwardingOf(link, family), value])))], {}, signal);
}
