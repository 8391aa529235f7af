import type { IpFamily } from "../../src/base/ip.ts";
import { chainPrefix } from "../iptables/names.ts";
import { type TableName, tableNames } from "../iptables/rule.ts";
import { familyName } from "../nftables/print.ts";
import { ApplyError } from "./errors.ts";
import type { RunNft } from "./text-applier.ts";

interface Listed {
  readonly chain?: { readonly name: string };
  readonly rule?: {
    readonly chain: string;
    readonly handle: number;
    readonly expr: readonly { readonly jump?: { readonly target: string } }[];
  };
}

/**
 * Removes our chains of the nft make of iptables, and the jumps to them, where its own programs are not installed. Whether there
 * were any. Throws ApplyError UNAVAILABLE; nothing of a table that fails is removed.
 */
export async function removeOwnNftChains(family: IpFamily, run: RunNft, signal: AbortSignal): Promise<boolean> {
  let found = false;
  for (const table of tableNames) {
    const listed = await run(["-j", "list", "table", familyName(family), table], "", signal);
    if (listed.code !== 0) continue;
    const text = printRemoval(family, table, JSON.parse(listed.stdout) as { readonly nftables: readonly Listed[] });
    if (text === "") continue;
    const done = await run(["-f", "-"], text, signal);
    if (done.code !== 0)
      throw new ApplyError("UNAVAILABLE", `our chains of iptables' table ${table} cannot be removed: ${done.stderr.trim()}`);
    found = true;
  }
  return found;
}

function printRemoval(family: IpFamily, table: TableName, { nftables }: { readonly nftables: readonly Listed[] }): string {
  const at = `${familyName(family)} ${table}`;
  const isOurs = (name: string): boolean => name.startsWith(chainPrefix);
  const chains = nftables.flatMap(({ chain }) => (chain !== undefined && isOurs(chain.name) ? [chain.name] : []));
  const jumps = nftables.flatMap(({ rule }) =>
    rule !== undefined && !isOurs(rule.chain) && rule.expr.some((e) => isOurs(e.jump?.target ?? "")) ? [rule] : [],
  );
  return [
    ...jumps.map((rule) => `delete rule ${at} ${rule.chain} handle ${rule.handle}`),
    ...chains.map((chain) => `flush chain ${at} ${chain}`),
    ...chains.map((chain) => `delete chain ${at} ${chain}`),
  ]
    .map((line) => `${line}\n`)
    .join("");
}
