import type { TableName } from "./rule.ts";

/** Chains that kube-proxy makes, in both its modes that use iptables. The kubelet has chains that start with KUBE- too. */
const kubeProxyChains: Readonly<
  Record<"nat" | "filter" | "mangle", { readonly names: readonly string[]; readonly prefixes: readonly string[] }>
> = {
  nat: {
    names: [
      ...["KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-NODE-PORT", "KUBE-LOAD-BALANCER"],
      ...["KUBE-POSTROUTING", "KUBE-MARK-MASQ", "KUBE-PROXY-CANARY"],
    ],
    prefixes: ["KUBE-SVC-", "KUBE-SVL-", "KUBE-SEP-", "KUBE-FW-", "KUBE-EXT-", "KUBE-XLB-"],
  },
  filter: {
    names: [
      ...["KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-NODE-PORT", "KUBE-FORWARD", "KUBE-PROXY-FIREWALL"],
      ...["KUBE-SOURCE-RANGES-FIREWALL", "KUBE-IPVS-FILTER", "KUBE-IPVS-OUT-FILTER", "KUBE-PROXY-CANARY"],
    ],
    prefixes: [],
  },
  mangle: { names: ["KUBE-PROXY-CANARY"], prefixes: [] },
};

/** Marks what others may ask for too, and what does as the mark says. */
const markChain = "KUBE-MARK-MASQ";
const maskingChain = "KUBE-POSTROUTING";

interface SavedTable {
  readonly name: TableName;
  readonly chains: ReadonlyMap<string, { readonly builtIn: boolean; readonly rules: string[] }>;
}

/**
 * What `iptables-restore --noflush` takes to remove kube-proxy's chains and the jumps to them, from what `iptables-save` printed;
 * empty where there are none. A chain that somebody else's chain leads to stays. `part`: so many chains between two commits.
 */
export function kubeProxyRemoval(saved: string, part: number): string {
  return readTables(saved)
    .flatMap((table) => removalFrom(table, part))
    .map((line) => `${line}\n`)
    .join("");
}

function removalFrom({ name, chains }: SavedTable, part: number): readonly string[] {
  const gone = goingFrom(name, chains);
  if (gone.size === 0) return [];
  const unhook = [...chains].flatMap(([chain, { rules }]) =>
    gone.has(chain) ? [] : rules.filter((rule) => gone.has(targetOf(rule))).map((rule) => `-D ${chain} ${rule}`),
  );
  const names = [...gone];
  const parts = Array.from({ length: Math.ceil(names.length / part) }, (_, i) => names.slice(i * part, (i + 1) * part));
  // nothing leads there any more when they are emptied, and none leads to another when they are removed
  const steps = [
    unhook,
    ...parts.map((some) => some.map((chain) => `:${chain} - [0:0]`)),
    ...parts.map((some) => some.map((chain) => `-X ${chain}`)),
  ];
  return steps.flatMap((lines) => (lines.length === 0 ? [] : [`*${name}`, ...lines, "COMMIT"]));
}

function goingFrom(table: TableName, chains: SavedTable["chains"]): ReadonlySet<string> {
  if (table === "raw") return new Set();
  const { names, prefixes } = kubeProxyChains[table];
  const theirs = (chain: string): boolean => names.includes(chain) || prefixes.some((p) => chain.startsWith(p));
  const gone = new Set([...chains.keys()].filter(theirs));
  const leave = (chain: string): void => {
    if (!gone.delete(chain)) return;
    for (const rule of chains.get(chain)?.rules ?? []) leave(targetOf(rule));
    // marks that nobody masquerades by would lead nowhere
    if (chain === markChain) leave(maskingChain);
  };
  for (const [chain, { builtIn, rules }] of chains) {
    if (!builtIn && !theirs(chain)) for (const rule of rules) leave(targetOf(rule));
  }
  return gone;
}

function targetOf(rule: string): string {
  return /(?:^| )-[jg] (\S+)/.exec(rule)?.[1] ?? "";
}

function readTables(saved: string): readonly SavedTable[] {
  const tables: SavedTable[] = [];
  let chains = new Map<string, { builtIn: boolean; rules: string[] }>();
  for (const line of saved.split("\n")) {
    const [, name] = /^\*(nat|filter|mangle|raw)$/.exec(line) ?? [];
    if (name !== undefined) {
      chains = new Map();
      tables.push({ name: name as TableName, chains });
    } else if (line.startsWith("*")) chains = new Map();
    else if (line.startsWith(":")) {
      const [chain = "", policy] = line.slice(1).split(" ");
      chains.set(chain, { builtIn: policy !== "-", rules: [] });
    } else if (line.startsWith("-A ")) {
      const end = line.indexOf(" ", 3);
      chains.get(line.slice(3, end))?.rules.push(line.slice(end + 1));
    }
  }
  return tables;
}
