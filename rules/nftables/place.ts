import { printCidr } from "../../src/base/cidr.ts";
import type { Frontend, Member, Pool } from "../plan/frontend.ts";
import { weighted } from "./shares.ts";
import { sizeClassOf } from "./size-class.ts";
import { fixedActions, hashAction, localSlotBase, type PoolKind, poolAction, type SlotHash, scratch } from "./skeleton.ts";
import type { Element, Field } from "./statement.ts";

/** A slot's endpoint, or a hole (affinity only: who was there is gone, and the others keep their slots). */
export type Slots = readonly (Member | undefined)[];

/** A frontend with its place in the tables: which endpoint has which slot. Depends on history, so it is in- and output of compile. */
export interface PlacedFrontend {
  readonly frontend: Frontend;
  readonly slots: Slots;
  readonly localSlots: Slots;
  /** Present with session affinity. */
  readonly affinity?: {
    /** 1 + position of the timeout in the skeleton's list. */
    readonly variant: number;
    /** Of the pool, shared by its frontends: a client keeps its endpoint over all addresses. */
    readonly id: number;
    readonly localId?: number;
  };
  /** Present where a hash chooses the slot: then every slot of its size is taken. */
  readonly hash?: SlotHash;
  readonly localHash?: SlotHash;
}

const noMembers: readonly Member[] = [];

/**
 * Gives members slots: who has one keeps it, new ones take the lowest holes. Without affinity slots are dense (the last
 * ones move into the holes that are left); with it, holes stay until the pool would be less than half full.
 */
export function placeSlots(before: Slots, pool: Pool | undefined, sticky: boolean): Slots {
  const members = pool === undefined ? noMembers : weighted(pool);
  if (before.length === 0 || before === members) return members;
  // a member is here as many times as its weight says
  const wanted = new Map<string, { readonly member: Member; times: number }>();
  for (const member of members) {
    const id = `${member.ip} ${member.port}`;
    const same = wanted.get(id);
    if (same === undefined) wanted.set(id, { member, times: 1 });
    else same.times++;
  }
  const slots: (Member | undefined)[] = before.map((old) => {
    const found = old === undefined ? undefined : wanted.get(`${old.ip} ${old.port}`);
    if (found === undefined || found.times === 0) return undefined;
    found.times--;
    return found.member;
  });
  let hole = 0;
  for (const { member, times } of wanted.values()) {
    for (let i = 0; i < times; i++) {
      while (hole < slots.length && slots[hole] !== undefined) hole++;
      slots[hole] = member;
    }
  }
  trim(slots);
  const sparse = slots.length > 1 && members.length * 2 < slots.length;
  if (!sticky || sparse) {
    for (let i = 0; i < slots.length; i++) {
      if (slots[i] !== undefined) continue;
      slots[i] = slots.pop();
      trim(slots);
    }
  }
  return slots;
}

function trim(slots: (Member | undefined)[]): void {
  while (slots.length > 0 && slots.at(-1) === undefined) slots.pop();
}

/** Every element that one frontend owns alone. Sets shared between frontends are in `sharedElements`. */
export function elementsOf(placed: PlacedFrontend): readonly Element[] {
  const { frontend, slots, localSlots, affinity, hash, localHash } = placed;
  const { action } = frontend;
  const atNodePort = frontend.ip === undefined;
  const key: readonly Field[] = atNodePort ? [frontend.protocol, frontend.port] : [frontend.ip, frontend.protocol, frontend.port];
  const elements: Element[] = [];
  const number = (set: string, action: number): void => {
    elements.push({ set, key, value: [scratch(action)] });
  };
  const endpoints = atNodePort ? "nodeport-endpoints" : "endpoints";
  const addSlots = (list: Slots, base: number): void => {
    for (const [i, member] of list.entries()) {
      if (member !== undefined) elements.push({ set: endpoints, key: [...key, scratch(base + i)], value: [member.ip, member.port] });
    }
  };
  addSlots(slots, 0);
  addSlots(localSlots, localSlotBase);
  const variant = affinity?.variant ?? 0;
  if (affinity !== undefined) {
    if (slots.length > 0) number(atNodePort ? "affinity-nodeport-ids" : "affinity-ids", affinity.id);
    if (localSlots.length > 0 && affinity.localId !== undefined)
      number(atNodePort ? "affinity-local-nodeport-ids" : "affinity-local-ids", affinity.localId);
  }
  const chain = (kind: PoolKind, list: Slots, by: SlotHash | undefined): number =>
    by === undefined ? poolAction(kind, sizeClassOf(list.length), variant) : hashAction(kind, by);
  let target: number;
  if (action.kind === "reject") target = fixedActions.reject;
  else if (action.kind === "drop") target = fixedActions.drop;
  else if (action.localPool !== undefined) {
    const [all, local] = atNodePort ? ["short-circuit-nodeports", "local-nodeports"] : ["short-circuit-ips", "local-ips"];
    if (slots.length > 0) number(all ?? "", chain(atNodePort ? "nodeport-balance" : "balance", slots, hash));
    if (localSlots.length > 0) number(local ?? "", chain(atNodePort ? "nodeport-balance-local" : "balance-local", localSlots, localHash));
    target = atNodePort ? fixedActions.nodePortLocal : fixedActions.externalLocal;
  } else target = chain(atNodePort ? "nodeport-masquerade" : frontend.scope === "clusterIP" ? "cluster-ip" : "masquerade", slots, hash);
  if (atNodePort) number("service-nodeports", target);
  else if (frontend.sources === undefined) number("service-ips", target);
  else {
    number("service-ips", fixedActions.firewall);
    number("firewalled-ips", target);
    for (const range of frontend.sources) elements.push({ set: "allowed-sources", key: [...key, printCidr(range)] });
  }
  return elements;
}

/** Elements that several frontends may ask for; present while one does. */
export function sharedElements(placed: PlacedFrontend): readonly Element[] {
  const { frontend } = placed;
  const elements: Element[] = [];
  if (frontend.scope === "clusterIP" && frontend.ip !== undefined) elements.push({ set: "cluster-ips", key: [frontend.ip] });
  if (frontend.action.kind === "balance") {
    for (const member of frontend.action.pool.members) {
      if (member.local) elements.push({ set: "hairpin-connections", key: [member.ip, member.ip, frontend.protocol, member.port] });
    }
    for (const member of frontend.action.localPool?.members ?? []) {
      // a pool narrowed by topology hints may leave out a local endpoint that the local pool has
      if (!frontend.action.pool.members.some((m) => m.ip === member.ip && m.port === member.port)) {
        elements.push({ set: "hairpin-connections", key: [member.ip, member.ip, frontend.protocol, member.port] });
      }
    }
  }
  return elements;
}
