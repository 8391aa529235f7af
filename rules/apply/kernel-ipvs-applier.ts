import { release } from "node:os";
import { type Cidr, cidrContains } from "../../src/base/cidr.ts";
import { type Clock, systemClock } from "../../src/base/clock.ts";
import type { Ip } from "../../src/base/ip.ts";
import { type RunCommand, runCommand } from "../../src/kernel/command.ts";
import type { SetStep } from "../../src/kernel/ipset.ts";
import type { IpvsTimeouts } from "../../src/kernel/ipvs.ts";
import { NetlinkFault } from "../../src/kernel/netlink.ts";
import { ipvsSysctls, printSysctlScript } from "../../src/kernel/sysctl.ts";
import type { IpvsState, IpvsTransaction } from "../ipvs/transaction.ts";
import { type IpvsItem, itemId, matchKey, type RealServer, type ServiceMatch } from "../ipvs/values.ts";
import { setFailure } from "./address-sets.ts";
import { Departures } from "./departures.ts";
import { ApplyError } from "./errors.ts";
import type { IptablesApplier } from "./iptables-applier.ts";
import { IpvsAdditions } from "./ipvs-additions.ts";
import type { IpvsApplier } from "./ipvs-applier.ts";
import { closeIpvsDoors, type IpvsDoors, type IpvsWay, openIpvsDoors } from "./ipvs-doors.ts";
import { LinkAddresses } from "./link-addresses.ts";
import { entryPlace, kubeNodePortServers, kubeProxyServers, kubeSetPrefix, ownServers, placeOf } from "./server-owners.ts";
import { serverFailure, type VirtualServers } from "./virtual-servers.ts";

export interface IpvsApplierDeps extends IpvsDoors {
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
  readonly through: IpvsWay;
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

export class KernelIpvsApplier implements IpvsApplier {
  readonly #deps: IpvsApplierDeps;
  readonly #departures: Departures;
  readonly #addresses: LinkAddresses;
  /** The last of the calls, which run one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(deps: IpvsApplierDeps) {
    this.#deps = deps;
    this.#addresses = new LinkAddresses(deps.link);
    this.#departures = new Departures({ ...deps, addresses: this.#addresses, inTurn: (work) => this.#inTurn(work) });
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
      const addresses = await this.#addresses.read(signal);
      const { sets, entries } = await this.#deps.sets.read(signal);
      const isOwn = ownServers(addresses, entries);
      const there: IpvsItem[] = addresses.filter((ip) => !this.#isExcluded(ip)).map((ip) => ({ kind: "address", ip }));
      for (const { service, reals } of await this.#services((match) => isOwn(match) || wanted(match), signal)) {
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
      const additions = new IpvsAdditions({ ...this.#deps, addresses: this.#addresses, departures: this.#departures }, signal);
      try {
        await additions.addEntries(transaction);
        await additions.addServers(transaction.groups);
        const { guards, rules = [], groups } = transaction;
        if (guards !== undefined) {
          await additions.changeRules(guards);
          await additions.addAddresses(groups);
        }
        await additions.changeRules(rules);
        if (guards === undefined) await additions.addAddresses(groups);
      } catch (error) {
        await additions.undo();
        throw error;
      }
      await this.#remove(transaction, signal);
    });
  }

  remove(signal: AbortSignal): Promise<void> {
    return this.#inTurn(async () => {
      const addresses = await this.#addresses.read(signal);
      const { sets, entries } = await this.#deps.sets.read(signal);
      const isOwn = ownServers(addresses, entries);
      // of a kube-proxy that came back, and took the servers over
      const theirs = kubeProxyServers((await this.#deps.sets.read(signal, kubeSetPrefix)).entries);
      const own = await this.#services((match) => isOwn(match) && !theirs.has(match), signal);
      const leaving = addresses.filter((ip) => !theirs.at.has(ip));
      if (leaving.length === addresses.length) await this.#addresses.remove(signal);
      else await this.#addresses.delete(leaving, signal);
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
    });
  }

  removeKubeProxy(wanted: (match: ServiceMatch) => boolean, signal: AbortSignal): Promise<boolean> {
    return this.#inTurn(async () => {
      const { sets, entries } = await this.#deps.sets.read(signal, kubeSetPrefix);
      const gone = new Set<string>();
      // one by one, for one that is in use keeps those after it
      for (const set of sets) {
        const { refusal } = await this.#deps.sets.commit([{ verb: "destroy", set }], signal);
        if (refusal === undefined) gone.add(set.name);
      }
      const isTheirs = kubeNodePortServers(entries.filter(({ set }) => gone.has(set)));
      const isOwn = (match: ServiceMatch): boolean => wanted(match) || (match.kind === "address" && this.#addresses.has(match.ip));
      const theirs = await this.#services((match) => isTheirs(match) && !isOwn(match), signal);
      await this.#deps.servers.commit(
        theirs.map(({ service }) => ({ verb: "delete", kind: "service", service })),
        signal,
      );
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
    closeIpvsDoors(this.#deps);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#last.then(work, work).catch((error: unknown) => {
      throw error instanceof NetlinkFault ? netlinkFailure(error) : error;
    });
    this.#last = next.catch(() => undefined);
    return next;
  }

  /** But for those at addresses that are somebody else's. */
  async #services(which: (match: ServiceMatch) => boolean, signal: AbortSignal): ReturnType<VirtualServers["services"]> {
    const services = await this.#deps.servers.services(signal);
    return services.filter(({ service: { match } }) => which(match) && (match.kind === "fwmark" || !this.#isExcluded(match.ip)));
  }

  #isExcluded(ip: Ip): boolean {
    return this.#deps.settings.excludedCidrs?.some((cidr) => cidrContains(cidr, ip)) ?? false;
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
    const loses = (match: ServiceMatch): boolean =>
      match.kind === "address" && !this.#addresses.has(match.ip) && unsaid.has(placeOf(match));
    const cut = this.#departures.cut(loses);
    const left = await this.#departures.leaveServices(services, ips, (match) => !loses(match), signal);
    if (left.addresses.length > 0) await this.#addresses.delete(left.addresses, signal);
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

function netlinkFailure(fault: NetlinkFault): ApplyError {
  const code = fault.code === "EPERM" ? "UNUSABLE" : "UNAVAILABLE";
  return new ApplyError(code, `virtual servers cannot be programmed now: ${fault.message}`, { cause: fault });
}
