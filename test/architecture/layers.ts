/**
 * The architecture as a table: a room may import rooms of a lower rank, and itself. The longest matching prefix decides.
 * Rooms of equal rank may not meet. Change it only with a reason in docs/decisions/.
 */
export const ranks: readonly (readonly [prefix: string, rank: number])[] = [
  ["src/base", 0],

  ["src/api", 10],
  ["dns/wire", 10],

  ["src/snapshot", 20],
  ["src/store/store.ts", 20],

  // pure compilers
  ["rules/model", 30],
  ["rules/config", 31],
  ["rules/plan", 31],
  ["rules/nftables", 32],
  ["rules/iptables", 32],
  ["rules/userspace", 32],
  // what ipvs cannot say itself (masquerade, source ranges, refusal) it says in iptables' rules
  ["rules/ipvs", 33],
  ["rules/trace", 34],
  ["dns/config", 25],
  ["dns/zone", 30],
  ["dns/cache", 30],
  ["dns/answer", 31],
  ["dns/corefile", 32],
  ["ingress/upstream/wire", 29],
  ["ingress/http2", 30],
  ["ingress/route", 30],
  ["ingress/filter", 31],
  ["ingress/balance", 30],
  ["ingress/translate", 32],

  ["src/observe", 40],

  ["src/kernel", 50],
  ["src/store", 50],
  ["src/client", 50],

  // effects of the dataplanes, and the control plane
  ["rules/apply", 60],
  ["rules/sync", 61],
  ["dns/forward", 60],
  ["dns/handler", 61],
  ["dns/server", 62],
  ["ingress/upstream", 60],
  ["ingress/proxy", 61],
  ["src/node", 60],
  ["src/controllers", 60],
  ["src/scheduler", 60],
  ["src/apiserver", 60],

  // the public surface of each root folder
  ["rules/index.ts", 70],
  ["dns/index.ts", 70],
  ["ingress/index.ts", 70],

  ["src/daemon", 80],
  ["src/cli", 90],
];

export function rankOf(file: string): readonly [prefix: string, rank: number] | undefined {
  let best: readonly [string, number] | undefined;
  for (const entry of ranks) {
    const inside = file === entry[0] || file.startsWith(`${entry[0]}/`);
    if (inside && (best === undefined || entry[0].length > best[0].length)) best = entry;
  }
  return best;
}
