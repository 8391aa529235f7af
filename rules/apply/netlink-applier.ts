import type { IpFamily } from "../../src/base/ip.ts";
import { NetlinkFault } from "../../src/kernel/netlink.ts";
import { isWritable } from "../../src/kernel/nft-expressions.ts";
import { BatchRefused, type ChainRun, type ElementRun, NftNetlink, type WrittenBatch } from "../../src/kernel/nft-netlink.ts";
import { skeletonSets } from "../nftables/skeleton.ts";
import { type Chain, type Element, elementId, type SetDefinition } from "../nftables/statement.ts";
import type { ChangeGroup, TableTransaction, Transaction } from "../nftables/transaction.ts";
import type { AppliedTable, ForeignChange, RuleApplier } from "./applier.ts";
import { ApplyError } from "./errors.ts";
import { createTextApplier, type RunNft } from "./text-applier.ts";

/**
 * A batch has at most about this many elements; a larger change (a cold start) is sent in several, group by group. Measured:
 * 80,000 elements take 0.15 s of kernel time in batches of 20,000 and ten times that in one, because the kernel's hash
 * tables grow in the background only.
 */
const largestBatch = 20_000;
/** Beyond this the notifications of our own change would be most of what the listener reads. */
const loudBatch = 2_000;
const pollInterval = 250;
/** So many elements of ours may wait beside what others did until it is time to look: the listener's buffer holds ten times as many. */
const unreadElements = 2_000;
const mayNot = "nf_tables may not be programmed from here: it takes root, or CAP_NET_ADMIN in this network namespace";

/**
 * Elements, and chains that a table gets later, go over netlink in this process (microseconds a change); a table with its sets and
 * first chains, which change with the configuration only, through the nft command. Throws where netlink cannot be used from here.
 */
export function createNetlinkApplier(runNft?: RunNft): RuleApplier {
  const text = createTextApplier(runNft);
  const nft = guarded(() => new NftNetlink());
  const definitions = new Map<IpFamily, ReadonlyMap<string, SetDefinition>>();
  for (const family of [4, 6] as const) definitions.set(family, new Map(skeletonSets(family).map((s) => [s.name, s])));

  const runsOf = (table: Pick<TableTransaction, "family" | "table">, groups: readonly ChangeGroup[]): readonly ElementRun[] => {
    const runs: ElementRun[] = [];
    for (const verb of ["delete", "add"] as const) {
      const bySet = new Map<string, Element[]>();
      for (const group of groups) sortInto(bySet, group[verb === "delete" ? "deletes" : "adds"]);
      for (const [name, elements] of bySet) {
        const set = definitions.get(table.family)?.get(name);
        if (set === undefined) throw new Error(`no set ${name}`);
        runs.push({ family: table.family, table: table.table, set, verb, elements });
      }
    }
    return runs;
  };

  /** `chains` come with the first elements. */
  const write = (
    transaction: Transaction,
    chains: readonly ChainRun[],
  ): readonly { readonly part: Transaction; readonly batch: WrittenBatch }[] =>
    split(transaction).map((part, i) => {
      const runs = part.flatMap((t) => runsOf(t, t.groups));
      return { part, batch: nft.write(runs, i === 0 ? chains : []) };
    });

  const commit = async (batches: ReturnType<typeof write>): Promise<void> => {
    for (const [i, { part, batch }] of batches.entries()) {
      if (i > 0) await new Promise((resolve) => setImmediate(resolve));
      try {
        if (batch.size > loudBatch) nft.deaf(1, () => nft.commit(batch));
        else nft.commit(batch);
      } catch (error) {
        throw translate(error, part);
      }
    }
  };

  let textCommits = 0;
  let commandRunning = false;
  const listeners = new Set<(change: ForeignChange) => void>();
  let timer: NodeJS.Timeout | undefined;
  let unread = 0;
  const tell = (): void => {
    if (commandRunning) return;
    unread = 0;
    let tables: ReadonlySet<string | undefined>;
    try {
      tables = nft.foreignTables();
    } catch (error) {
      // a listener that fails must not end the process: let the tables be compared instead
      if (!(error instanceof NetlinkFault)) throw error;
      tables = new Set([undefined]);
    }
    for (const table of tables) for (const listener of listeners) listener({ table });
  };

  /** Runs our own command: what it changes is not foreign; anything beyond its one transaction may be. */
  const command = async (run: () => Promise<void>): Promise<void> => {
    tell();
    const before = guarded(() => nft.generation());
    commandRunning = true;
    try {
      await run();
      textCommits++;
    } finally {
      commandRunning = false;
    }
    guarded(() => nft.foreignTables());
    if (guarded(() => nft.generation()) - before > 1) for (const listener of listeners) listener({ table: undefined });
  };

  return {
    async probe(signal) {
      await attempt(() => nft.hasTable(4, ""));
      // chains are made by the command
      await text.probe(signal);
    },
    read: (family, table) =>
      attempt(() => {
        if (!nft.hasTable(family, table)) return undefined;
        const elements: Element[] = [];
        let version: AppliedTable["version"];
        for (const set of definitions.get(family)?.values() ?? []) {
          if (set.dynamicSize !== undefined) continue;
          try {
            const found = nft.elements(family, table, set);
            for (const element of found) elements.push(element);
            const [mark] = set.name === "version" ? found : [];
            if (mark !== undefined) version = { skeleton: Number(mark.key[0]), fingerprint: Number(mark.value?.[0]) };
          } catch (error) {
            // a table of an older make lacks a set: it is not ours to adopt
            if (!(error instanceof NetlinkFault && error.code === "ENOENT")) throw error;
          }
        }
        return { version, fingerprint: nft.fingerprint(family, table), elements };
      }),
    fingerprint: (family, table) => attempt(() => nft.fingerprint(family, table)),
    async apply(transaction, signal) {
      const elements: TableTransaction[] = [];
      const whole: TableTransaction[] = [];
      const skeletons: TableTransaction[] = [];
      const chains: ChainRun[] = [];
      for (const table of transaction) {
        const standing = table.skeleton?.kind === "replace" && (await attempt(() => nft.hasTable(table.family, table.table)));
        // a table in use is replaced in one transaction with everything in it
        if (standing) whole.push(table);
        else {
          const { skeleton, groups, ...named } = table;
          const added = skeleton?.kind === "extend" && skeleton.table.chains.every(isAddable) ? skeleton.table : undefined;
          if (added !== undefined) chains.push({ ...named, chains: added.chains });
          else if (skeleton !== undefined) skeletons.push({ ...table, groups: [] });
          const ways: readonly ChangeGroup[] = added === undefined ? [] : [{ owner: "skeleton", deletes: [], adds: added.elements }];
          elements.push({ ...named, groups: [...ways, ...groups] });
        }
      }
      const made = whole.length + skeletons.length === 0 ? undefined : command(() => text.apply([...whole, ...skeletons], signal));
      made?.catch(() => undefined); // told below
      // a cold start's elements are written while the command makes their chains
      const batches = write(elements, chains);
      // a change of elements alone, as nearly all are, is in force before this call returns
      if (made !== undefined) await made;
      await commit(batches);
      for (const { batch } of batches) unread += batch.size;
      if (listeners.size > 0 && unread > unreadElements) tell();
    },
    foreignCommits: () => guarded(() => nft.generation() - nft.commits - textCommits),
    has: (family, table) => attempt(() => nft.hasTable(family, table)),
    remove: (family, table) =>
      attempt(() => {
        if (nft.hasTable(family, table)) nft.deleteTable(family, table);
      }),
    watch(listener) {
      listeners.add(listener);
      if (timer === undefined) {
        nft.listen();
        // netlink sockets are none of those Node can wait for; an empty read costs about a microsecond
        timer = setInterval(tell, pollInterval);
        timer.unref();
      }
      return () => {
        listeners.delete(listener);
        if (listeners.size > 0) return;
        clearInterval(timer);
        timer = undefined;
      };
    },
    close() {
      clearInterval(timer);
      nft.close();
      return Promise.resolve();
    },
  };
}

/** A function of its own: a loop in a loop was optimized and given up again, some thirty times in a full load. */
function sortInto(bySet: Map<string, Element[]>, elements: readonly Element[]): void {
  for (const element of elements) {
    const list = bySet.get(element.set);
    if (list === undefined) bySet.set(element.set, [element]);
    else list.push(element);
  }
}

/** No hook, and nothing but what can be written here. */
function isAddable(chain: Chain): boolean {
  return chain.hook === undefined && chain.rules.every(isWritable);
}

function attempt<T>(work: () => T): Promise<T> {
  try {
    return Promise.resolve(guarded(work));
  } catch (error) {
    return Promise.reject(error as Error);
  }
}

function guarded<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw translate(error, []);
  }
}

function translate(error: unknown, transaction: Transaction): unknown {
  if (error instanceof BatchRefused) {
    const { element } = error;
    const owner = element === undefined ? undefined : ownerOf(transaction, element);
    if (["ENOENT", "EEXIST", "EBUSY"].includes(error.code)) return new ApplyError("DIVERGED", error.message, { owner, cause: error });
    if (["ENOMEM", "ENOBUFS", "EINTR", "ERESTART", "EAGAIN", "EMFILE", "ENFILE"].includes(error.code)) {
      return new ApplyError("UNAVAILABLE", error.message, { cause: error });
    }
    if (error.code === "EPERM") return new ApplyError("UNUSABLE", mayNot, { cause: error });
    return new ApplyError("REFUSED", error.message, { owner, cause: error });
  }
  if (error instanceof NetlinkFault) {
    if (error.code === "EPERM") return new ApplyError("UNUSABLE", mayNot, { cause: error });
    const lacking = ["EPROTONOSUPPORT", "EAFNOSUPPORT", "EOPNOTSUPP", "EINVAL"].includes(error.code);
    if (lacking) return new ApplyError("UNUSABLE", `this kernel has no nf_tables (${error.message})`, { cause: error });
    return new ApplyError("UNAVAILABLE", error.message, { cause: error });
  }
  return error;
}

function ownerOf(transaction: Transaction, element: Element): string | undefined {
  const id = elementId(element);
  for (const { groups } of transaction) {
    for (const group of groups) if ([...group.deletes, ...group.adds].some((e) => elementId(e) === id)) return group.owner;
  }
  return undefined;
}

/** Whole groups stay together, so that each frontend changes at once. */
function split(transaction: Transaction): readonly Transaction[] {
  const parts: TableTransaction[][] = [[]];
  let size = 0;
  for (const table of transaction) {
    let groups: ChangeGroup[] = [];
    for (const group of table.groups) {
      const count = group.deletes.length + group.adds.length;
      if (size > 0 && size + count > largestBatch) {
        parts.at(-1)?.push({ family: table.family, table: table.table, groups });
        parts.push([]);
        groups = [];
        size = 0;
      }
      groups.push(group);
      size += count;
    }
    if (groups.length > 0) parts.at(-1)?.push({ family: table.family, table: table.table, groups });
  }
  return parts;
}
