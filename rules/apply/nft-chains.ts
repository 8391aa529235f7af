import type { IpFamily } from "../../src/base/ip.ts";
import { chainPrefix } from "../iptables/names.ts";
import { type TableName, tableNames } from "../iptables/rule.ts";
import { familyName } from "../nftables/print.ts";
import { ApplyError } from "./errors.ts";
import type { RunNft } from "./text-applier.ts";

interface Listed {
  readonly chain?: { readonly name: string; readonly hook?: string };
  readonly rule?: {
    readonly chain: string;
    readonly handle: number;
    readonly expr: readonly {
      readonly jump?: { readonly target: string };
      readonly goto?: { readonly target: string };
      readonly counter?: unknown;
    }[];
  };
}

/**
 * Removes our chains of the nft make of iptables, and our jumps to them, where its own programs are not installed; one that others'
 * rules lead to is emptied. Whether there were any. Throws ApplyError UNAVAILABLE; nothing of a table that fails is removed.
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
  const hooks = new Set(nftables.flatMap(({ chain }) => (chain?.hook === undefined ? [] : [chain.name])));
  const leading = nftables.flatMap(({ rule }) => {
    if (rule === undefined || isOurs(rule.chain)) return [];
    const to = rule.expr.map((e) => e.jump?.target ?? e.goto?.target ?? "").find(isOurs);
    return to === undefined ? [] : [{ rule, to }];
  });
  // a built-in chain's, without any condition
  const isJumpOfOurs = ({ chain, expr }: (typeof leading)[number]["rule"]): boolean =>
    hooks.has(chain) && expr.every((e) => e.jump !== undefined || "counter" in e);
  const jumps = leading.filter(({ rule }) => isJumpOfOurs(rule)).map(({ rule }) => rule);
  const kept = new Set(leading.flatMap(({ rule, to }) => (isJumpOfOurs(rule) ? [] : [to])));
  return [
    ...jumps.map((rule) => `delete rule ${at} ${rule.chain} handle ${rule.handle}`),
    ...chains.map((chain) => `flush chain ${at} ${chain}`),
    ...chains.filter((chain) => !kept.has(chain)).map((chain) => `delete chain ${at} ${chain}`),
  ]
    .map((line) => `${line}\n`)
    .join("");
}
