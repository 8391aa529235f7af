import { fnv1a, mix32 } from "../../src/base/hash.ts";
import type { Ip } from "../../src/base/ip.ts";
import { unreachable } from "../../src/base/unreachable.ts";
import type { Member, Pool } from "../plan/frontend.ts";

/** A client with affinity keeps its endpoint while that one takes new connections and it comes back in time. */
export interface Affinity {
  readonly endpoint: Member;
  /** Milliseconds, monotonic. */
  readonly until: number;
}

/** What a choice depends on beside the pool. */
export interface Choosing {
  readonly source: Ip;
  readonly sourcePort: number;
  readonly remembered: Affinity | undefined;
  /** Milliseconds, monotonic. */
  readonly now: number;
  /** In [0, 1). */
  readonly random: number;
  /** How many connections this process has with a member now. */
  readonly active: (member: Member) => number;
}

/** Pure choice: the remembered endpoint where it still takes connections, else by the pool's policy and weights. Undefined: of nobody. */
export function chooseEndpoint({ members, balance = "random" }: Pool, by: Choosing): Member | undefined {
  const { remembered, now, random } = by;
  if (remembered !== undefined && remembered.until > now) {
    const { endpoint } = remembered;
    const same = members.find((m) => m.ip === endpoint.ip && m.port === endpoint.port);
    if (same !== undefined) return same;
  }
  switch (balance) {
    case "random":
      return drawn(members, random);
    case "least-connections": {
      const loads = members.map((m) => by.active(m) / weightOf(m));
      const least = Math.min(...loads);
      // of those that are equal any: or all clients of all nodes would go to the first
      return drawn(
        members.filter((_, i) => loads[i] === least),
        random,
      );
    }
    case "source-hash":
      return heaviest(members, by.source);
    case "maglev":
      return heaviest(members, `${by.source} ${by.sourcePort}`);
    default:
      return unreachable(balance);
  }
}

function weightOf({ weight = 1 }: Member): number {
  return weight;
}

function drawn(members: readonly Member[], random: number): Member | undefined {
  let rest = random * members.reduce((sum, m) => sum + weightOf(m), 0);
  for (const member of members) {
    rest -= weightOf(member);
    if (rest < 0) return member;
  }
  return members.at(-1);
}

/**
 * Rendezvous hashing: each member draws a lot for the client, the best one has it. A member that comes takes its share from all
 * others, one that goes leaves its own to all others; whoever else is asked stays.
 */
function heaviest(members: readonly Member[], client: string): Member | undefined {
  let best: Member | undefined;
  let most = Number.NEGATIVE_INFINITY;
  for (const member of members) {
    const lot = (mix32(fnv1a(`${client} ${member.ip} ${member.port}`)) + 0.5) / 2 ** 32;
    const score = -weightOf(member) / Math.log(lot);
    if (score <= most) continue;
    best = member;
    most = score;
  }
  return best;
}
