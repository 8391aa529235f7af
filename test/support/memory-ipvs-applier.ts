import { ApplyError } from "../../rules/apply/errors.ts";
import type { IptablesApplier } from "../../rules/apply/iptables-applier.ts";
import type { IpvsApplier } from "../../rules/apply/ipvs-applier.ts";
import type { IpvsState, IpvsTransaction } from "../../rules/ipvs/transaction.ts";
import { type IpvsItem, itemId, matchKey, type SetDefinition } from "../../rules/ipvs/values.ts";

/** Virtual servers in memory that refuse and fail on demand. */
export class MemoryIpvsApplier implements IpvsApplier {
  readonly #rules: IptablesApplier | undefined;
  items: ReadonlyMap<string, IpvsItem> = new Map();
  sets: ReadonlyMap<string, SetDefinition> = new Map();
  readonly transactions: IpvsTransaction[] = [];
  /** What the kernel would refuse. */
  refuses: (item: IpvsItem) => boolean = (item) => item.kind === "service" && item.service.scheduler === "none-such";
  /** Thrown by the next calls of `apply`, first to last. */
  readonly failures: ApplyError[] = [];

  /** `rules` makes those beside the virtual servers; without, they are left out. */
  constructor(rules?: IptablesApplier) {
    this.#rules = rules;
  }

  probe(): Promise<void> {
    return Promise.resolve();
  }

  prepare(): Promise<void> {
    return Promise.resolve();
  }

  read(): Promise<IpvsState> {
    return Promise.resolve({ sets: this.sets, items: this.items });
  }

  async apply(transaction: IpvsTransaction, signal: AbortSignal): Promise<void> {
    const [items, sets] = [this.items, this.sets];
    this.#apply(transaction);
    try {
      await this.#rules?.apply(transaction.guards ?? [], signal);
      await this.#rules?.apply(transaction.rules ?? [], signal);
    } catch (error) {
      [this.items, this.sets] = [items, sets];
      throw error;
    }
  }

  remove(): Promise<void> {
    this.items = new Map();
    this.sets = new Map();
    return Promise.resolve();
  }

  removeKubeProxy(): Promise<boolean> {
    return Promise.resolve(true);
  }

  activeConnections(): Promise<number> {
    return Promise.resolve(0);
  }

  draining(): number {
    return 0;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #apply(transaction: IpvsTransaction): void {
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    const items = new Map(this.items);
    const sets = new Map(this.sets);
    const diverged = (id: string): ApplyError => new ApplyError("DIVERGED", `not as thought: ${id}`);
    const serviceOf = (item: IpvsItem): string | undefined => (item.kind === "real" ? `service ${matchKey(item.match)}` : undefined);
    for (const set of transaction.createSets) {
      if (sets.has(set.name)) throw diverged(set.name);
      sets.set(set.name, set);
    }
    const order: readonly IpvsItem["kind"][] = ["entry", "service", "real", "address"];
    for (const kind of order) {
      for (const { owner, adds, changes } of transaction.groups) {
        for (const item of [...changes.map((c) => c.after), ...adds]) {
          if (item.kind !== kind) continue;
          if (this.refuses(item)) throw new ApplyError("REFUSED", itemId(item), { owner });
          const service = serviceOf(item);
          if (items.has(itemId(item)) === adds.includes(item)) throw diverged(itemId(item));
          if (service !== undefined && !items.has(service)) throw diverged(service);
          if (item.kind === "entry" && !sets.has(item.entry.set)) throw diverged(item.entry.set);
          items.set(itemId(item), item);
        }
      }
    }
    for (const item of transaction.groups.flatMap((g) => g.deletes)) {
      // an address that is gone already is as it should be
      if (!items.delete(itemId(item)) && item.kind !== "address" && item.kind !== "real") throw diverged(itemId(item));
      if (item.kind !== "service") continue;
      for (const [id, other] of items) if (serviceOf(other) === itemId(item)) items.delete(id);
    }
    for (const set of transaction.destroySets) {
      if (!sets.delete(set.name)) throw diverged(set.name);
      for (const [id, item] of items) if (item.kind === "entry" && item.entry.set === set.name) items.delete(id);
    }
    this.items = items;
    this.sets = sets;
    this.transactions.push(transaction);
  }
}
