import type { Ip, IpFamily } from "../../src/base/ip.ts";
import type { Protocol } from "../model/service-port.ts";
import { type FrontendKey, frontendKey, type Member, nodePortKey } from "../plan/frontend.ts";
import type { Adopted } from "./ruleset.ts";
import { hashSizes } from "./size-class.ts";
import { localSlotBase, type SlotHash, scratchBase, withHash } from "./skeleton.ts";
import type { Element } from "./statement.ts";

/** The allocations that the elements of a table stand for, so that a restarted agent goes on with the same slots and ids. */
export function adoptAllocations(family: IpFamily, elements: readonly Element[]): ReadonlyMap<FrontendKey, Adopted> {
  const found = new Map<
    FrontendKey,
    { slots: (Member | undefined)[]; localSlots: (Member | undefined)[]; affinityId?: number; affinityLocalId?: number }
  >();
  const at = (key: FrontendKey): NonNullable<ReturnType<typeof found.get>> => {
    let entry = found.get(key);
    if (entry === undefined) {
      entry = { slots: [], localSlots: [] };
      found.set(key, entry);
    }
    return entry;
  };
  const addSlot = (key: FrontendKey, index: number, value: Element["value"]): void => {
    const member: Member = { ip: String(value?.[0]) as Ip, port: Number(value?.[1]), local: false };
    const slot = index - scratchBase;
    if (slot >= localSlotBase) at(key).localSlots[slot - localSlotBase] = member;
    else at(key).slots[slot] = member;
  };
  for (const { set, key, value } of elements) {
    const address = (): FrontendKey => frontendKey(String(key[0]) as Ip, Number(key[2]), key[1] as Protocol);
    const nodePort = (): FrontendKey => nodePortKey(family, Number(key[1]), key[0] as Protocol);
    const id = Number(value?.[0]) - scratchBase;
    if (set === "endpoints") addSlot(address(), Number(key[3]), value);
    else if (set === "nodeport-endpoints") addSlot(nodePort(), Number(key[2]), value);
    else if (set === "affinity-ids") at(address()).affinityId = id;
    else if (set === "affinity-local-ids") at(address()).affinityLocalId = id;
    else if (set === "affinity-nodeport-ids") at(nodePort()).affinityId = id;
    else if (set === "affinity-local-nodeport-ids") at(nodePort()).affinityLocalId = id;
  }
  for (const entry of found.values()) {
    entry.slots = Array.from(entry.slots);
    entry.localSlots = Array.from(entry.localSlots);
  }
  return found;
}

/** The affinity timeouts of a skeleton in their order, and its largest size class, from its own verdict elements. */
export function adoptSkeleton(elements: readonly Element[]): {
  readonly affinityTimeouts: readonly number[];
  readonly largestClass: number;
  readonly hashes: readonly SlotHash[];
} {
  const timeouts: number[] = [];
  let hashes: readonly SlotHash[] = [];
  let largestClass = 1;
  for (const { set, key, value } of elements) {
    if (set !== "pools") continue;
    const chain = String(value?.[0]);
    const affinity = /^affinity-([0-9]+)s-balance-1$/.exec(chain);
    if (affinity !== null) timeouts[((Number(key[0]) - scratchBase) >> 8) - 2] = Number(affinity[1]);
    const plain = /^balance-([0-9]+)$/.exec(chain);
    if (plain !== null) largestClass = Math.max(largestClass, Number(plain[1]));
    const hash = /^hash-(source|flow)-([0-9]+)-balance$/.exec(chain);
    const size = hashSizes.find((s) => s === Number(hash?.[2]));
    if (hash !== null && size !== undefined) hashes = withHash(hashes, { of: hash[1] === "flow" ? "flow" : "source", size });
  }
  return { affinityTimeouts: timeouts.filter((t) => t !== undefined), largestClass, hashes };
}
