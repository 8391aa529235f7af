import type { AppliedTable, ForeignChange, RuleApplier } from "../../rules/apply/applier.ts";
import { ApplyError } from "../../rules/apply/errors.ts";
import { type Element, elementId } from "../../rules/nftables/statement.ts";
import type { Transaction } from "../../rules/nftables/transaction.ts";
import type { IpFamily } from "../../src/base/ip.ts";

/** Tables in memory that refuse and fail on demand. */
export class MemoryApplier implements RuleApplier {
  readonly tables = new Map<IpFamily, Map<string, Element>>();
  /** Beside them, while the kernel is asked what it takes. */
  readonly trials = new Map<IpFamily, Map<string, Element>>();
  readonly transactions: Transaction[] = [];
  /** What the kernel would refuse. */
  refuses: (element: Element) => boolean = () => false;
  /** Thrown by the next calls of `apply`, first to last. */
  readonly failures: ApplyError[] = [];
  /** Changes that others made; undefined: nobody counts them. */
  foreign: number | undefined = undefined;
  readonly #listeners = new Set<(change: ForeignChange) => void>();

  probe(): Promise<void> {
    return Promise.resolve();
  }

  read(family: IpFamily): Promise<AppliedTable | undefined> {
    const table = this.tables.get(family);
    if (table === undefined) return Promise.resolve(undefined);
    const elements = [...table.values()];
    const mark = elements.find((e) => e.set === "version");
    const version = mark === undefined ? undefined : { skeleton: Number(mark.key[0]), fingerprint: Number(mark.value?.[0]) };
    return Promise.resolve({ version, fingerprint: 1, elements });
  }

  fingerprint(): Promise<number> {
    return Promise.resolve(1);
  }

  apply(transaction: Transaction): Promise<void> {
    const failure = this.failures.shift();
    if (failure !== undefined) return Promise.reject(failure);
    const copy = (of: MemoryApplier["tables"]) => new Map([...of].map(([family, table]) => [family, new Map(table)]));
    const [tables, trials] = [copy(this.tables), copy(this.trials)];
    for (const { family, table: name, skeleton, groups } of transaction) {
      const next = isTrial(name) ? trials : tables;
      const table = skeleton?.kind === "replace" ? new Map<string, Element>() : (next.get(family) ?? new Map<string, Element>());
      next.set(family, table);
      for (const element of skeleton?.table.elements ?? []) table.set(elementId(element), element);
      for (const group of groups) {
        for (const element of group.deletes) {
          if (!table.delete(elementId(element))) return Promise.reject(new ApplyError("DIVERGED", `no ${elementId(element)}`));
        }
      }
      for (const group of groups) {
        for (const element of group.adds) {
          if (this.refuses(element)) return Promise.reject(new ApplyError("REFUSED", `refused ${elementId(element)}`));
          if (table.has(elementId(element))) return Promise.reject(new ApplyError("DIVERGED", `${elementId(element)} is there`));
          table.set(elementId(element), element);
        }
      }
    }
    for (const [family, table] of tables) this.tables.set(family, table);
    for (const [family, table] of trials) this.trials.set(family, table);
    this.transactions.push(transaction);
    return Promise.resolve();
  }

  has(family: IpFamily, table: string): Promise<boolean> {
    return Promise.resolve((isTrial(table) ? this.trials : this.tables).has(family));
  }

  remove(family: IpFamily, table: string): Promise<void> {
    (isTrial(table) ? this.trials : this.tables).delete(family);
    return Promise.resolve();
  }

  foreignCommits(): number | undefined {
    return this.foreign;
  }

  watch(listener: (change: ForeignChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** As if somebody else had changed a table. */
  changedByOthers(table: string): void {
    for (const listener of this.#listeners) listener({ table });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function isTrial(table: string): boolean {
  return table.endsWith("-trial");
}
