import type { Ip } from "../../src/base/ip.ts";
import type { SetStep } from "../../src/kernel/ipset.ts";
import type { IpvsStep } from "../../src/kernel/ipvs.ts";
import { inverse, type Transaction as RuleTransaction } from "../iptables/transaction.ts";
import type { ChangeGroup, IpvsTransaction } from "../ipvs/transaction.ts";
import type { IpvsItem } from "../ipvs/values.ts";
import { setFailure } from "./address-sets.ts";
import type { Departures } from "./departures.ts";
import { ApplyError, isApplyError, joinRefusals } from "./errors.ts";
import type { IptablesApplier } from "./iptables-applier.ts";
import type { IpvsDoors } from "./ipvs-doors.ts";
import type { LinkAddresses } from "./link-addresses.ts";
import { serverFailures } from "./virtual-servers.ts";

/** What was begun is undone whoever waits. */
const untilDone = new AbortController().signal;

export interface IpvsAdditionsDeps extends Pick<IpvsDoors, "servers" | "sets"> {
  readonly addresses: LinkAddresses;
  readonly departures: Departures;
  readonly rules: IptablesApplier | undefined;
}

/**
 * What one transaction adds and changes, step by step, each with what takes it back: ipvs has no transactions of its own.
 * Throws ApplyError; then `undo` is to be called.
 */
export class IpvsAdditions {
  readonly #deps: IpvsAdditionsDeps;
  readonly #signal: AbortSignal;
  readonly #undo: (() => Promise<unknown>)[] = [];

  constructor(deps: IpvsAdditionsDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = signal;
  }

  /** Latest first. */
  async undo(): Promise<void> {
    for (const step of this.#undo.splice(0).reverse()) await step();
  }

  async addEntries(transaction: IpvsTransaction): Promise<void> {
    const steps: SetStep[] = transaction.createSets.map((set) => ({ verb: "create", set }));
    const owners: (string | undefined)[] = steps.map(() => undefined);
    const push = (owner: string, step: SetStep): void => {
      steps.push(step);
      owners.push(owner);
    };
    for (const { owner, changes, adds } of transaction.groups) {
      for (const { before, after } of changes) {
        if (before.kind !== "entry" || after.kind !== "entry") continue;
        push(owner, { verb: "delete", entry: before.entry });
        push(owner, { verb: "add", entry: after.entry });
      }
      for (const item of adds) if (item.kind === "entry") push(owner, { verb: "add", entry: item.entry });
    }
    const { done, refusal } = await this.#deps.sets.commit(steps, this.#signal);
    this.#undo.push(() => this.#deps.sets.commit([...done].reverse().map(inverseSetStep), untilDone));
    if (refusal !== undefined) throw setFailure(refusal, refusal.step === undefined ? undefined : owners[steps.indexOf(refusal.step)]);
  }

  async addServers(groups: readonly ChangeGroup[]): Promise<void> {
    const make = async (made: Making): Promise<void> => {
      if (made.steps.length === 0) return;
      const failures = await this.#deps.servers.commit(made.steps, this.#signal);
      const failed = new Set(failures.map((f) => f.step));
      this.#undo.push(() => {
        const back = made.steps.filter((s) => !failed.has(s)).flatMap((s) => made.backs.get(s) ?? []);
        return this.#deps.servers.commit(back.reverse(), untilDone);
      });
      const failure = serverFailures(failures, (step) => made.owners.get(step));
      if (failure !== undefined) throw failure;
    };
    // all services first: one that turns out to be there already gets no real servers yet
    const services = new Making();
    const reals = new Making();
    for (const { owner, changes, adds } of groups) {
      for (const { before, after } of changes) {
        (after.kind === "service" ? services : reals).push(owner, stepOf("change", after), stepOf("change", before));
      }
      for (const item of adds) {
        if (item.kind !== "service" && item.kind !== "real") continue;
        const made = item.kind === "service" ? services : reals;
        const leaving = this.#deps.departures.recall(item);
        if (leaving === undefined) made.push(owner, stepOf("add", item), stepOf("delete", item));
        else {
          this.#undo.push(async () => leaving.keep());
          made.push(owner, stepOf("change", item), stepOf("change", leaving.idle));
        }
      }
    }
    await make(services);
    await make(reals);
  }

  async changeRules(rules: RuleTransaction): Promise<void> {
    if (rules.length === 0) return;
    const applier = this.#deps.rules;
    if (applier === undefined) throw new Error("rules, but nobody to make them");
    await applier.apply(rules, this.#signal);
    this.#undo.push(() => applier.apply([...rules].reverse().map(inverse), untilDone));
  }

  async addAddresses(groups: readonly ChangeGroup[]): Promise<void> {
    const ips = groups.flatMap((g) => g.adds.flatMap((item) => (item.kind === "address" ? [item.ip] : [])));
    const fresh: Ip[] = [];
    for (const ip of ips) {
      const leaving = this.#deps.departures.recall({ kind: "address", ip });
      if (leaving === undefined) fresh.push(ip);
      else this.#undo.push(async () => leaving.keep());
    }
    if (fresh.length === 0) return;
    this.#undo.push(() => this.#deps.addresses.delete(fresh, untilDone));
    try {
      await this.#deps.addresses.add(fresh, this.#signal);
    } catch (error) {
      throw isApplyError(error) ? ofGroups(error, groups) : error;
    }
  }
}

/** The same of the groups that the addresses are of. */
function ofGroups(error: ApplyError, groups: readonly ChangeGroup[]): ApplyError {
  const group = (ip: string | undefined) => groups.find((g) => g.adds.some((item) => item.kind === "address" && item.ip === ip));
  const [first = error, ...others] = [error, ...error.others].map(
    (e) => new ApplyError(e.code, e.message, { owner: group(e.owner)?.owner, cause: e.cause }),
  );
  return joinRefusals(first, others);
}

/** Changes of the table of virtual servers, with what takes each back and whom it is for. */
class Making {
  readonly steps: IpvsStep[] = [];
  readonly backs = new Map<IpvsStep, IpvsStep>();
  readonly owners = new Map<IpvsStep, string>();

  /** What is no change of this table is passed over. */
  push(owner: string, step: IpvsStep | undefined, back: IpvsStep | undefined): void {
    if (step === undefined || back === undefined) return;
    this.steps.push(step);
    this.backs.set(step, back);
    this.owners.set(step, owner);
  }
}

function stepOf(verb: IpvsStep["verb"], item: IpvsItem): IpvsStep | undefined {
  if (item.kind === "service") return { verb, kind: "service", service: item.service };
  return item.kind === "real" ? { verb, kind: "real", match: item.match, real: item.real } : undefined;
}

function inverseSetStep(step: SetStep): SetStep {
  switch (step.verb) {
    case "create":
      return { verb: "destroy", set: step.set };
    case "destroy":
      return { verb: "create", set: step.set };
    case "add":
      return { verb: "delete", entry: step.entry };
    case "delete":
      return { verb: "add", entry: step.entry };
  }
}
