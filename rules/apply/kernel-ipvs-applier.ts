import { release } from "node:os";
import { type Cidr, cidrContains } from "../../src/base/cidr.ts";
import { type Clock, systemClock } from "../../src/base/clock.ts";
import type { Ip } from "../../src/base/ip.ts";
import { type RunCommand, runCommand } from "../../src/kernel/command.ts";
import type { SetStep } from "../../src/kernel/ipset.ts";
import type { IpvsStep, IpvsTimeouts } from "../../src/kernel/ipvs.ts";
import { NetlinkFault } from "../../src/kernel/netlink.ts";
import { ipvsSysctls, printSysctlScript } from "../../src/kernel/sysctl.ts";
import { inverse, type Transaction as RuleTransaction } from "../iptables/transaction.ts";
import type { ChangeGroup, IpvsState, IpvsTransaction } from "../ipvs/transaction.ts";
import {
  type IpvsItem,
  isOwnFwmark,
  itemId,
  matchKey,
  printField,
  type RealServer,
  type ServiceMatch,
  type SetEntry,
  type SetField,
} from "../ipvs/values.ts";
import { openCommandSets, openNetlinkSets, type SetOutcome, type Sets } from "./address-sets.ts";
import { Departures } from "./departures.ts";
import { ApplyError } from "./errors.ts";
import type { IptablesApplier } from "./iptables-applier.ts";
import type { IpvsApplier } from "./ipvs-applier.ts";
import { openCommandLink, openNetlinkLink, type ServiceLink } from "./service-link.ts";
import { openCommandServers, openNetlinkServers, serverFailure, type VirtualServers } from "./virtual-servers.ts";

/** What was begun is undone whoever waits. */
const untilDone = new AbortController().signal;

export interface IpvsApplierDeps {
  readonly servers: VirtualServers;
  readonly sets: Sets;
  readonly link: ServiceLink;
  readonly rules: IptablesApplier | undefined;
  readonly run: RunCommand;
  readonly clock: Clock;
  readonly settings: IpvsSettings;
}

export interface IpvsSettings {
  readonly strictArp: boolean;
  /** Virtual servers at these addresses are somebody else's, whatever else they look like. */
  readonly excludedCidrs?: readonly Cidr[];
  readonly timeouts?: IpvsTimeouts;
}

export interface IpvsApplierConfig extends IpvsSettings {
  /** `netlink` throws where it cannot be used from here; `auto` falls back on the commands ipvsadm, ipset and ip. */
  readonly through: "netlink" | "commands" | "auto";
  /** Makes the rules beside the virtual servers; without it a transaction may have none. */
  readonly rules?: IptablesApplier;
}

/**
 * Of the network namespace of the calling thread, which must be that in which `run` runs its commands. Throws ApplyError
 * UNUSABLE where virtual servers cannot be programmed.
 */
export function createIpvsApplier(config: IpvsApplierConfig, run: RunCommand = runCommand, clock: Clock = systemClock): IpvsApplier {
  return new KernelIpvsApplier({ ...openIpvsDoors(config.through, run), rules: config.rules, run, clock, settings: config });
}

/** Throws ApplyError UNUSABLE. */
export function openIpvsDoors(through: IpvsApplierConfig["through"], run: RunCommand): Pick<IpvsApplierDeps, "servers" | "sets" | "link"> {
  const commands = () => ({ servers: openCommandServers(run), sets: openCommandSets(run), link: openCommandLink(run) });
  if (through === "commands") return commands();
  try {
    return { servers: openNetlinkServers(), sets: openNetlinkSets(), link: openNetlinkLink() };
  } catch (cause) {
    if (!(cause instanceof NetlinkFault)) {
      if (through === "auto") return commands();
      throw cause;
    }
    if (cause.code === "ENOENT") throw new ApplyError("UNUSABLE", `this kernel has no virtual servers: ${noServersAdvice}`, { cause });
    throw new ApplyError("UNUSABLE", `virtual servers may not be programmed from here: ${cause.message}`, { cause });
  }
}

/** How the names of kube-proxy's sets start. */
const kubeProxySets = "KUBE-";
const noServersAdvice = "load its module (modprobe ip_vs), run one that has it, or choose another backend";

/** What makes a service ours. */
interface Ownership {
  readonly addresses: readonly Ip[];
  readonly entries: readonly SetEntry[];
  wanted(match: ServiceMatch): boolean;
}

export class KernelIpvsApplier implements IpvsApplier {
  readonly #deps: IpvsApplierDeps;
  readonly #departures: Departures;
  /** Addresses of the service link, as far as this process knows. */
  #onLink = new Set<Ip>();
  /** The last reading found no link. One that goes away after it means that all its addresses are gone: DIVERGED. */
  #linkGone = false;
  /** The last of the calls, which run one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(deps: IpvsApplierDeps) {
    this.#deps = deps;
    this.#departures = new Departures({ ...deps, inTurn: (work) => this.#inTurn(work) });
  }

  probe(signal: AbortSignal): Promise<void> {
    return this.#inTurn(async () => {
      await this.#deps.servers.services(signal);
      await this.#deps.sets.read(signal);
    });
  }

  prepare(signal: AbortSignal): Promise<void> {
    const { settings } = this.#deps;
    return this.#inTurn(async () => {
      await this.#deps.link.make(signal);
      await this.#deps.run(["sh", "-c", printSysctlScript(ipvsSysctls(release(), settings.strictArp))], {}, signal);
      if (settings.timeouts !== undefined) await this.#deps.servers.setTimeouts(settings.timeouts, signal);
    });
  }

  read(signal: AbortSignal, wanted: (match: ServiceMatch) => boolean = () => false): Promise<IpvsState> {
    return this.#inTurn(async () => {
      const found = await this.#deps.link.read(signal);
      this.#linkGone = found === undefined;
      const addresses = found ?? [];
      this.#onLink = new Set(addresses);
      const { sets, entries } = await this.#deps.sets.read(signal);
      const there: IpvsItem[] = addresses.filter((ip) => !this.#isExcluded(ip)).map((ip) => ({ kind: "address", ip }));
      for (const { service, reals } of await this.#ownServices({ addresses, entries, wanted }, signal)) {
        there.push({ kind: "service", service });
        for (const { ip, port, weight } of reals) there.push({ kind: "real", match: service.match, real: { ip, port, weight } });
      }
      this.#departures.confirm(new Set(there.map(itemId)));
      const items = new Map<string, IpvsItem>();
      const put = (item: IpvsItem): unknown => items.set(itemId(item), item);
      for (const item of there) if (!this.#departures.has(item)) put(item);
      for (const entry of entries) put({ kind: "entry", entry });
      return { sets: new Map(sets.map((s) => [s.name, s])), items };
    });
  }

  apply(transaction: IpvsTransaction, signal: AbortSignal): Promise<void> {
    return this.#inTurn(async () => {
      const undo: (() => Promise<unknown>)[] = [];
      try {
        await this.#addEntries(transaction, undo, signal);
        await this.#addServers(transaction.groups, undo, signal);
        if (transaction.addressesFirst === true) await this.#addAddresses(transaction.groups, undo, signal);
        await this.#changeRules(transaction.rules ?? [], undo, signal);
        if (transaction.addressesFirst !== true) await this.#addAddresses(transaction.groups, undo, signal);
      } catch (error) {
        for (const step of undo.reverse()) await step();
        throw error;
      }
      await this.#remove(transaction, signal);
    });
  }

  remove(signal: AbortSignal): Promise<void> {
    return this.#inTurn(async () => {
      const addresses = (await this.#deps.link.read(signal)) ?? [];
      const { sets, entries } = await this.#deps.sets.read(signal);
      const own = await this.#ownServices({ addresses, entries, wanted: () => false }, signal);
      await this.#deps.link.remove(signal);
      this.#linkGone = true;
      // they name the sets
      for (const family of [4, 6] as const) await this.#deps.rules?.remove(family, signal);
      await this.#deps.servers.commit(
        own.map(({ service }) => ({ verb: "delete", kind: "service", service })),
        signal,
      );
      const { refusal } = await this.#deps.sets.commit(
        sets.map((set) => ({ verb: "destroy", set })),
        signal,
      );
      if (refusal !== undefined) throw setFailure(refusal);
      this.#departures.forget();
      this.#onLink.clear();
    });
  }

  removeKubeProxy(wanted: (match: ServiceMatch) => boolean, signal: AbortSignal): Promise<boolean> {
    return this.#inTurn(async () => {
      const { sets, entries } = await this.#deps.sets.read(signal, kubeProxySets);
      const gone = new Set<string>();
      // one by one, for one that is in use keeps those after it
      for (const set of sets) {
        const { refusal } = await this.#deps.sets.commit([{ verb: "destroy", set }], signal);
        if (refusal === undefined) gone.add(set.name);
      }
      const places = new Set(entries.flatMap(({ set, fields }) => (gone.has(set) ? nodePortOf(set, fields) : [])));
      if (places.size > 0) {
        const services = (await this.#deps.servers.services(signal)).map(({ service }) => service);
        const theirs = services.filter(
          ({ match }) =>
            match.kind === "address" &&
            places.has(`${match.protocol}:${match.port}`) &&
            !this.#onLink.has(match.ip) &&
            !this.#isExcluded(match.ip) &&
            !wanted(match),
        );
        await this.#deps.servers.commit(
          theirs.map((service) => ({ verb: "delete", kind: "service", service })),
          signal,
        );
      }
      return gone.size === sets.length;
    });
  }

  async activeConnections(match: ServiceMatch, real: Pick<RealServer, "ip" | "port">, signal: AbortSignal): Promise<number> {
    return (await this.#deps.servers.use(match, signal)).find((r) => r.ip === real.ip && r.port === real.port)?.active ?? 0;
  }

  draining(): number {
    return this.#departures.size;
  }

  async close(): Promise<void> {
    await this.#departures.close();
    await this.#last.catch(() => undefined);
    this.#deps.servers.close();
    this.#deps.sets.close();
    this.#deps.link.close();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#last.then(work, work).catch((error: unknown) => {
      throw error instanceof NetlinkFault ? netlinkFailure(error) : error;
    });
    this.#last = next.catch(() => undefined);
    return next;
  }

  /** Those of node ports are at addresses of this machine; what is ours there has an entry. */
  async #ownServices(by: Ownership, signal: AbortSignal) {
    const own = new Set(by.addresses);
    const entered = new Set(by.entries.map(({ fields }) => fields.map(printField).join(",")));
    return (await this.#deps.servers.services(signal)).filter(({ service: { match } }) =>
      match.kind === "fwmark"
        ? isOwnFwmark(match.mark)
        : (own.has(match.ip) || entered.has(placeOf(match)) || by.wanted(match)) && !this.#isExcluded(match.ip),
    );
  }

  #isExcluded(ip: Ip): boolean {
    return this.#deps.settings.excludedCidrs?.some((cidr) => cidrContains(cidr, ip)) ?? false;
  }

  async #addEntries(transaction: IpvsTransaction, undo: (() => Promise<unknown>)[], signal: AbortSignal): Promise<void> {
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
    const { done, refusal } = await this.#deps.sets.commit(steps, signal);
    undo.push(() => this.#deps.sets.commit([...done].reverse().map(inverseSetStep), untilDone));
    if (refusal !== undefined) throw setFailure(refusal, refusal.step === undefined ? undefined : owners[steps.indexOf(refusal.step)]);
  }

  async #addServers(groups: readonly ChangeGroup[], undo: (() => Promise<unknown>)[], signal: AbortSignal): Promise<void> {
    const make = async (made: Making): Promise<void> => {
      if (made.steps.length === 0) return;
      const failures = await this.#deps.servers.commit(made.steps, signal);
      const failed = new Set(failures.map((f) => f.step));
      undo.push(() => {
        const back = made.steps.filter((s) => !failed.has(s)).flatMap((s) => made.backs.get(s) ?? []);
        return this.#deps.servers.commit(back.reverse(), untilDone);
      });
      const [first] = failures;
      if (first !== undefined) throw serverFailure(first, made.owners.get(first.step));
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
        const leaving = this.#departures.recall(item);
        if (leaving === undefined) made.push(owner, stepOf("add", item), stepOf("delete", item));
        else {
          undo.push(async () => leaving.keep());
          made.push(owner, stepOf("change", item), stepOf("change", leaving.idle));
        }
      }
    }
    await make(services);
    await make(reals);
  }

  async #changeRules(rules: RuleTransaction, undo: (() => Promise<unknown>)[], signal: AbortSignal): Promise<void> {
    if (rules.length === 0) return;
    const applier = this.#deps.rules;
    if (applier === undefined) throw new Error("rules, but nobody to make them");
    await applier.apply(rules, signal);
    undo.push(() => applier.apply([...rules].reverse().map(inverse), untilDone));
  }

  async #addAddresses(groups: readonly ChangeGroup[], undo: (() => Promise<unknown>)[], signal: AbortSignal): Promise<void> {
    const ips = groups.flatMap((g) => g.adds.flatMap((item) => (item.kind === "address" ? [item.ip] : [])));
    const fresh: Ip[] = [];
    for (const ip of ips) {
      const leaving = this.#departures.recall({ kind: "address", ip });
      if (leaving === undefined) fresh.push(ip);
      else undo.push(async () => leaving.keep());
    }
    if (fresh.length === 0) return;
    undo.push(() => this.#deps.link.delete(fresh, untilDone));
    if (this.#linkGone) await this.#deps.link.make(signal);
    this.#linkGone = false;
    await this.#deps.link.add(fresh, signal);
    for (const ip of fresh) this.#onLink.add(ip);
  }

  async #remove(transaction: IpvsTransaction, signal: AbortSignal): Promise<void> {
    const deletes = transaction.groups.flatMap((g) => g.deletes);
    const ips = deletes.flatMap((item) => (item.kind === "address" ? [item.ip] : []));
    const services = deletes.flatMap((item) => (item.kind === "service" ? [item.service] : []));
    const gone = new Set(services.map((s) => matchKey(s.match)));
    const reals = deletes.flatMap((item) => (item.kind === "real" && !gone.has(matchKey(item.match)) ? [item] : []));

    // at an address of this machine nothing but an entry says that a service is ours
    const kept = new Set(transaction.groups.flatMap((g) => g.adds.flatMap(entryPlace)));
    const unsaid = new Set(deletes.flatMap(entryPlace).filter((place) => !kept.has(place)));
    const loses = (match: ServiceMatch): boolean => match.kind === "address" && !this.#onLink.has(match.ip) && unsaid.has(placeOf(match));
    const cut = this.#departures.cut(loses);
    const left = await this.#departures.leaveServices(services, ips, (match) => !loses(match), signal);
    if (left.addresses.length > 0) await this.#deps.link.delete(left.addresses, signal);
    for (const ip of left.addresses) this.#onLink.delete(ip);
    const steps = [...(await this.#departures.leaveReals(reals, signal)), ...left.steps, ...cut];
    const [failure] = await this.#deps.servers.commit(steps, signal);
    if (failure !== undefined) throw serverFailure(failure, undefined);

    const setSteps: SetStep[] = deletes.flatMap((item): SetStep[] =>
      item.kind === "entry" ? [{ verb: "delete", entry: item.entry }] : [],
    );
    for (const set of transaction.destroySets) setSteps.push({ verb: "destroy", set });
    const { refusal } = await this.#deps.sets.commit(setSteps, signal);
    if (refusal !== undefined) throw setFailure(refusal);
  }
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

function netlinkFailure(fault: NetlinkFault): ApplyError {
  const code = fault.code === "EPERM" ? "UNUSABLE" : "UNAVAILABLE";
  return new ApplyError(code, `virtual servers cannot be programmed now: ${fault.message}`, { cause: fault });
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

/** A node port of kube-proxy's, by its sets' names: `KUBE-NODE-PORT-LOCAL-TCP` of ports, `KUBE-NODE-PORT-SCTP-HASH` of addresses and ports. */
function nodePortOf(set: string, fields: readonly SetField[]): readonly string[] {
  const protocol = /^KUBE-(?:6-)?NODE-PORT-(?:LOCAL-)?(TCP|UDP|SCTP)/.exec(set)?.[1]?.toLowerCase();
  const port = fields.find((field) => typeof field !== "string" && "port" in field);
  return protocol === undefined || port === undefined ? [] : [`${protocol}:${port.port}`];
}

/** Where a virtual service may be, as an entry says it. */
function entryPlace(item: IpvsItem): readonly string[] {
  return item.kind === "entry" ? [item.entry.fields.slice(0, 2).map(printField).join(",")] : [];
}

function placeOf(match: ServiceMatch & { readonly kind: "address" }): string {
  return `${match.ip},${match.protocol}:${match.port}`;
}

function setFailure({ code, text }: NonNullable<SetOutcome["refusal"]>, owner?: string): ApplyError {
  return new ApplyError(code, text, { owner });
}
