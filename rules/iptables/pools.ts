import { fnv1a } from "../../src/base/hash.ts";
import type { IpFamily } from "../../src/base/ip.ts";
import { printHostPort } from "../../src/base/ip.ts";
import { printServicePort, type ServicePortName } from "../model/service-port.ts";
import type { Member, Pool } from "../plan/frontend.ts";
import { type Commenting, comment, jump } from "./chains.ts";
import { poolChain, poolGroupChain, recentList } from "./names.ts";
import { wholeShare } from "./print.ts";
import type { Chain, Matches, Rule, Target } from "./rule.ts";

/** A pool as one Service's frontends use it. */
export interface UsedPool {
  readonly pool: Pool;
  readonly owner: ServicePortName;
  readonly affinitySeconds: number | undefined;
}

/** Pools of more endpoints draw a group first, so that a connection passes the square root of their number. */
const largestList = 64;

/** How many groups a pool has: none, or a power of two at or above the square root of its size. */
function groupCount(used: UsedPool): number {
  const size = used.pool.members.length;
  // a client is looked for at every endpoint anyway
  return size <= largestList || used.affinitySeconds !== undefined ? 0 : 2 ** Math.ceil(Math.log2(size) / 2);
}

/**
 * The chain of a pool, and those of its groups where it is large. Which group an endpoint is in is its own address's doing, so a
 * change of one endpoint rewrites one group and the list of groups.
 */
export function poolChains(used: UsedPool, family: IpFamily, commenting: Commenting): ReadonlyMap<string, Chain> {
  const { pool, owner } = used;
  const count = groupCount(used);
  if (count === 0) return new Map([[poolChain(pool.id), poolRules(used, family, commenting)]]);
  const groups = new Map<number, Member[]>();
  for (const member of pool.members) {
    const group = fnv1a(printHostPort(member.ip, member.port)) % count;
    const list = groups.get(group);
    if (list === undefined) groups.set(group, [member]);
    else list.push(member);
  }
  const sorted = [...groups].sort(([a], [b]) => a - b);
  const shares = sharesOf(sorted.map(([, members]) => members.reduce((sum, m) => sum + (m.weight ?? 1), 0)));
  const about = comment(owner, commenting);
  const made = new Map<string, Chain>();
  const list: Rule[] = [];
  for (const [i, [group, members]] of sorted.entries()) {
    const name = poolGroupChain(pool.id, count, group);
    list.push({ ...about, ...shares[i], target: jump(name) });
    made.set(name, poolRules({ ...used, pool: { ...pool, members } }, family, commenting));
  }
  return made.set(poolChain(pool.id), list);
}

/** Every chain that `poolChains` may make for a pool. */
export function poolChainNames(used: UsedPool): readonly string[] {
  const count = groupCount(used);
  const { id } = used.pool;
  return [poolChain(id), ...Array.from({ length: count }, (_, group) => poolGroupChain(id, count, group))];
}

/** Of each, by weight, what the ones before it left; the last takes the rest. */
function sharesOf(weights: readonly number[]): readonly { readonly share?: number }[] {
  let left = weights.reduce((sum, w) => sum + w, 0);
  return weights.map((weight, i) => {
    const share = Math.round((wholeShare * weight) / left);
    left -= weight;
    return i === weights.length - 1 ? {} : { share };
  });
}

/** Each endpoint gets its share. Known clients go first, where they were. */
function poolRules(used: UsedPool, family: IpFamily, commenting: Commenting): Chain {
  const { pool, owner, affinitySeconds } = used;
  const { members } = pool;
  const about: Matches = { protocol: owner.protocol, ...comment(owner, commenting) };
  const shares = sharesOf(members.map((m) => m.weight ?? 1));
  if (affinitySeconds === undefined) {
    return members.map(({ ip, port }, i) => ({ ...about, ...shares[i], target: { kind: "dnat", ip, port } }));
  }
  const servicePort = `${printServicePort(owner)}/${owner.protocol}`;
  const known: Rule[] = [];
  const drawn: Rule[] = [];
  for (const [i, { ip, port }] of members.entries()) {
    const list = recentList(servicePort, family, printHostPort(ip, port));
    const target: Target = { kind: "dnat", ip, port };
    known.push({ ...about, recent: { kind: "update", list, seconds: affinitySeconds }, target });
    drawn.push({ ...about, ...shares[i], recent: { kind: "set", list }, target });
  }
  return [...known, ...drawn];
}
