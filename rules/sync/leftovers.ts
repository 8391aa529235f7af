import type { Clock } from "../../src/base/clock.ts";
import type { IpFamily } from "../../src/base/ip.ts";
import type { IptablesMake, RunIptables } from "../../src/kernel/iptables-command.ts";
import type { RuleApplier } from "../apply/applier.ts";
import { isApplyError } from "../apply/errors.ts";
import { createIptablesApplier, removeAllOf } from "../apply/iptables-applier.ts";
import type { IpvsDoors } from "../apply/ipvs-doors.ts";
import { removeKubeProxyRules } from "../apply/kube-proxy-rules.ts";
import { removeLeftServers } from "../apply/left-servers.ts";
import type { Backend } from "../model/backend.ts";
import type { ProxierDeps } from "./config.ts";
import { bothFamilies } from "./surroundings.ts";

/** What became of something that another backend, or kube-proxy, left: `draining` goes once its connections have ended. */
export type LeftoverState = "none" | "removed" | "draining";

export interface Leftover {
  /** `kube-proxy's nftables table`. */
  readonly what: string;
  /** Throws ApplyError. */
  remove(signal: AbortSignal): Promise<LeftoverState>;
}

/** How leftovers are reached. */
export interface LeftoverDoors {
  /** Opened for one look and closed after. Throws ApplyError UNUSABLE where nf_tables cannot be reached. */
  readonly tables: () => RuleApplier;
  readonly iptables: RunIptables;
  /** Whether a make of iptables may have rules of a family: nothing is run to find none. */
  readonly mayHaveRules: (make: IptablesMake, family: IpFamily) => boolean;
  /** Undefined where this kernel has no virtual servers. */
  readonly servers: () => (IpvsDoors & { close(): void }) | undefined;
}

const makes: readonly IptablesMake[] = ["nft", "legacy"];
const kubeProxyTable = "kube-proxy";
const iptablesTables = ["nat", "filter", "mangle", "raw"];

/** In the order they go: rules before the sets that they name. */
export function leftoversOf(backend: Backend, tableName: string, doors: LeftoverDoors): readonly Leftover[] {
  const ownChains = backend === "iptables" || backend === "ipvs";
  return [
    ...(backend === "nftables" ? [] : [tablesLeft("fairway's own nftables rules", tableName, doors)]),
    ...(ownChains ? [] : [chainsLeft("fairway's own iptables rules", doors, removeOwnChains)]),
    tablesLeft("kube-proxy's nftables rules", kubeProxyTable, doors),
    chainsLeft("kube-proxy's iptables rules", doors, (make, family, signal) => removeKubeProxyRules(make, family, doors.iptables, signal)),
    // an ipvs backend takes the virtual servers over
    ...(backend === "ipvs" ? [] : [serversLeft(doors)]),
  ];

  async function removeOwnChains(make: IptablesMake, family: IpFamily, signal: AbortSignal): Promise<boolean> {
    return removeAllOf(createIptablesApplier(make, doors.iptables), family, signal);
  }
}

function tablesLeft(what: string, name: string, doors: LeftoverDoors): Leftover {
  return {
    what,
    remove: (signal) =>
      withTables(doors, "none", async (tables) => {
        let state: LeftoverState = "none";
        for (const family of bothFamilies) {
          if (!(await tables.has(family, name, signal))) continue;
          await tables.remove(family, name, signal);
          state = "removed";
        }
        return state;
      }),
  };
}

function chainsLeft(
  what: string,
  doors: LeftoverDoors,
  remove: (make: IptablesMake, family: IpFamily, signal: AbortSignal) => Promise<boolean>,
): Leftover {
  const mayHave = async (make: IptablesMake, family: IpFamily, signal: AbortSignal): Promise<boolean> => {
    if (!doors.mayHaveRules(make, family)) return false;
    if (make === "legacy") return true;
    // the nft make's tables are nf_tables' own
    return withTables(doors, true, async (tables) => {
      for (const table of iptablesTables) if (await tables.has(family, table, signal)) return true;
      return false;
    });
  };
  return {
    what,
    async remove(signal) {
      let state: LeftoverState = "none";
      for (const make of makes) {
        for (const family of bothFamilies) {
          if ((await mayHave(make, family, signal)) && (await remove(make, family, signal))) state = "removed";
        }
      }
      return state;
    },
  };
}

function serversLeft(doors: LeftoverDoors): Leftover {
  return {
    what: "virtual servers of an ipvs backend",
    async remove(signal) {
      const left = doors.servers();
      if (left === undefined) return "none";
      try {
        return await removeLeftServers(left, signal);
      } finally {
        left.close();
      }
    },
  };
}

/** `otherwise` where nf_tables cannot be reached from here. */
async function withTables<T>(doors: LeftoverDoors, otherwise: T, work: (tables: RuleApplier) => Promise<T>): Promise<T> {
  let tables: RuleApplier | undefined;
  try {
    tables = doors.tables();
    return await work(tables);
  } catch (error) {
    if (isApplyError(error) && error.code === "UNUSABLE") return otherwise;
    throw error;
  } finally {
    await tables?.close();
  }
}

/** While connections of what is left go on. Milliseconds. */
const drainInterval = 2000;
/** For what could not be removed, and once more after all is gone: a kube-proxy that runs has put its rules back by then. */
const lookAgain = 60_000;
/** For rules that come back. */
const lookRarely = 600_000;

export interface RemovalDeps extends Pick<ProxierDeps, "log"> {
  readonly clock: Clock;
  /** Something could not be removed. */
  readonly onFailure?: () => void;
}

/** Removes leftovers once rules are in force in their place, and again while some are draining. */
export class LeftoverRemoval {
  readonly #leftovers: (backend: Backend) => readonly Leftover[];
  readonly #deps: RemovalDeps;
  #due: number | undefined;
  #looks = 0;
  readonly #removed = new Set<string>();
  readonly #told = new Set<string>();

  constructor(leftovers: (backend: Backend) => readonly Leftover[], deps: RemovalDeps) {
    this.#leftovers = leftovers;
    this.#deps = deps;
  }

  /** When to look next, as the monotonic clock has it; undefined: never. */
  due(): number | undefined {
    return this.#looks === 0 ? Number.NEGATIVE_INFINITY : this.#due;
  }

  async look(backend: Backend, signal: AbortSignal): Promise<void> {
    const first = this.#looks++ === 0;
    const leftovers = this.#leftovers(backend);
    let next = first && leftovers.length > 0 ? lookAgain : undefined;
    for (const { what, remove } of leftovers) {
      const wait = await this.#one(what, remove, signal);
      if (wait !== undefined) next = Math.min(next ?? wait, wait);
    }
    this.#due = next === undefined ? undefined : this.#deps.clock.monotonic() + next;
  }

  /** How long until it is to be looked for again; undefined: it is gone. */
  async #one(what: string, remove: Leftover["remove"], signal: AbortSignal): Promise<number | undefined> {
    try {
      const state = await remove(signal);
      if (state === "draining") {
        this.#tell("info", `${what} stay until their connections have ended: new ones take the Service rules that are in force now`);
        return drainInterval;
      }
      if (state === "none") return undefined;
      this.#tell("info", `${what} are removed: fairway's rules are in force in their place`);
      const cameBack = this.#removed.has(what);
      this.#removed.add(what);
      if (!cameBack) return lookAgain;
      this.#tell("warn", `${what} came back: does a kube-proxy run on this node? Stop it; they are removed again every ten minutes`);
      return lookRarely;
    } catch (error) {
      if (signal.aborted) throw error;
      this.#deps.onFailure?.();
      this.#tell("warn", `${what} are still there: ${error instanceof Error ? error.message : String(error)}`);
      return lookAgain;
    }
  }

  #tell(level: "info" | "warn", message: string): void {
    if (this.#told.has(message)) return;
    this.#told.add(message);
    this.#deps.log(level, message);
  }
}
