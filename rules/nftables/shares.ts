import { fnv1a, mix32 } from "../../src/base/hash.ts";
import type { Member, Pool } from "../plan/frontend.ts";
import { hashSizeFor, largestPool } from "./size-class.ts";
import type { SlotHash } from "./skeleton.ts";

/** Weights that would take more slots than this (or than four a member) are rounded. */
const slotBudget = 1024;

/** The pool's members, each as many times as its weight says against the others'. */
export function weighted(pool: Pool): readonly Member[] {
  const { members } = pool;
  if (members.every((m) => m.weight === undefined)) return members;
  const weights = shares(members.map((m) => m.weight ?? 1));
  return members.flatMap((member, i) => new Array<Member>(weights[i] ?? 1).fill(member));
}

/** Small whole numbers in the same proportion, as near as the budget allows; none is 0. */
function shares(weights: readonly number[]): readonly number[] {
  const divisor = weights.reduce(greatestDivisor, 0);
  const budget = Math.min(Math.max(slotBudget, 4 * weights.length), largestPool);
  const total = weights.reduce((sum, w) => sum + w, 0) / divisor;
  if (total <= budget) return weights.map((w) => w / divisor);
  return weights.map((w) => Math.max(1, Math.floor((w / divisor) * ((budget - weights.length) / total))));
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}

/** How a pool's slots are chosen, where its policy is a hash. */
export function hashOf(pool: Pool): SlotHash | undefined {
  if (pool.balance !== "maglev" && pool.balance !== "source-hash") return undefined;
  let lightest = Number.POSITIVE_INFINITY;
  let total = 0;
  for (const { weight = 1 } of pool.members) {
    lightest = Math.min(lightest, weight);
    total += weight;
  }
  // where weights differ, the lightest member still gets a few slots
  const size = hashSizeFor(Math.max(pool.members.length, Math.ceil((4 * total) / lightest / 25)));
  return { of: pool.balance === "maglev" ? "flow" : "source", size };
}

/**
 * Maglev's table: each member has its own order of the slots and takes the first free one of it in turn, a lighter one not
 * in every round. A slot's owner depends on the members alone, so nodes agree, and few slots move when a member comes or goes.
 */
export function hashSlots(members: readonly Member[], size: number): readonly Member[] {
  if (members.length === 0) return members;
  const heaviest = members.reduce((most, m) => Math.max(most, m.weight ?? 1), 0);
  const seats = members.map((member) => {
    const id = `${member.ip} ${member.port}`;
    const share = (member.weight ?? 1) / heaviest;
    // everybody takes one in the first round
    return { member, next: mix32(fnv1a(id)) % size, step: 1 + (mix32(fnv1a(`${id} step`)) % (size - 1)), share, credit: 1 - share };
  });
  const slots = new Array<Member | undefined>(size).fill(undefined);
  for (let taken = 0; taken < size; ) {
    for (const seat of seats) {
      seat.credit += seat.share;
      if (seat.credit < 1 - 1e-9) continue;
      seat.credit -= 1;
      while (slots[seat.next] !== undefined) seat.next = (seat.next + seat.step) % size;
      slots[seat.next] = seat.member;
      if (++taken === size) break;
    }
  }
  return slots.filter((m) => m !== undefined);
}
