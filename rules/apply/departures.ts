import type { Clock } from "../../src/base/clock.ts";
import { type Ip, ipFamily } from "../../src/base/ip.ts";
import type { IpvsStep } from "../../src/kernel/ipvs.ts";
import {
  hasConnections,
  type IpvsItem,
  itemId,
  matchKey,
  type RealServer,
  type ServiceMatch,
  type VirtualService,
} from "../ipvs/values.ts";
import type { LinkAddresses } from "./link-addresses.ts";
import { serverFailure, type VirtualServers } from "./virtual-servers.ts";

/** How often what is to go is asked for its connections. */
const interval = 1000;

export interface DeparturesDeps {
  readonly servers: VirtualServers;
  readonly addresses: LinkAddresses;
  readonly clock: Clock;
  /** Runs work when nothing else of the applier runs. */
  inTurn(work: () => Promise<void>): Promise<void>;
}

export interface Departing {
  readonly match: ServiceMatch;
  readonly real: RealServer;
}

/** What of a deletion can be made at once. */
export interface Gone {
  readonly steps: readonly IpvsStep[];
  readonly addresses: readonly Ip[];
}

/**
 * What is deleted and still has connections: its real servers get weight 0, which lets no new one in, and go when the last
 * has ended; then the virtual service that holds nothing else; then its addresses, without which no packet would find it.
 */
export class Departures {
  readonly #deps: DeparturesDeps;
  readonly #reals = new Map<string, Departing>();
  readonly #services = new Map<string, VirtualService>();
  /** Each with the keys of the services for which it stays. */
  readonly #addresses = new Map<Ip, Set<string>>();
  readonly #closed = new AbortController();
  #work: Promise<void> | undefined;

  constructor(deps: DeparturesDeps) {
    this.#deps = deps;
  }

  /** Real servers. */
  get size(): number {
    return this.#reals.size;
  }

  /** Whether the item is there for its connections only. One with another weight than 0 is not. */
  has(item: IpvsItem): boolean {
    switch (item.kind) {
      case "real":
        return item.real.weight === 0 && this.#reals.has(itemId(item));
      case "service":
        return this.#services.has(matchKey(item.service.match));
      case "address":
        return this.#addresses.has(item.ip);
      case "entry":
        return false;
    }
  }

  /** What is wanted again, as it is in the kernel now; undefined: it was not leaving. `keep` puts it back. */
  recall(item: IpvsItem): { readonly idle: IpvsItem; keep(): void } | undefined {
    if (item.kind === "real") {
      const id = itemId(item);
      const found = this.#reals.get(id);
      if (found === undefined) return undefined;
      this.#reals.delete(id);
      return { idle: { kind: "real", match: found.match, real: { ...found.real, weight: 0 } }, keep: () => this.#stay(found) };
    }
    if (item.kind === "service") {
      const key = matchKey(item.service.match);
      const service = this.#services.get(key);
      if (service === undefined) return undefined;
      this.#services.delete(key);
      return { idle: { kind: "service", service }, keep: () => void this.#services.set(key, service) };
    }
    if (item.kind === "address") {
      const holders = this.#addresses.get(item.ip);
      if (holders === undefined) return undefined;
      this.#addresses.delete(item.ip);
      return { idle: item, keep: () => void this.#addresses.set(item.ip, holders) };
    }
    return undefined;
  }

  /** Forgets what the kernel does not have. */
  confirm(found: ReadonlySet<string>): void {
    for (const id of this.#reals.keys()) if (!found.has(id)) this.#reals.delete(id);
    for (const [key, service] of this.#services) {
      if (!found.has(itemId({ kind: "service", service }))) this.#services.delete(key);
    }
    for (const [ip, holders] of this.#addresses) {
      for (const key of holders) if (!this.#services.has(key)) holders.delete(key);
      if (!found.has(itemId({ kind: "address", ip }))) this.#addresses.delete(ip);
    }
  }

  forget(): void {
    this.#reals.clear();
    this.#services.clear();
    this.#addresses.clear();
  }

  /** Lets no new connection in at real servers of services that stay; those without connections can go. */
  async leaveReals(leaving: readonly Departing[], signal: AbortSignal): Promise<readonly IpvsStep[]> {
    const { servers } = this.#deps;
    const idle = leaving.filter(({ match }) => !hasConnections(match));
    const connected = leaving.filter(({ match }) => hasConnections(match));
    const stopped = connected.map(({ match, real }): IpvsStep => ({ verb: "change", kind: "real", match, real: { ...real, weight: 0 } }));
    const [failure] = stopped.length === 0 ? [] : await servers.commit(stopped, signal);
    if (failure !== undefined) throw serverFailure(failure, undefined);
    for (const [match, of] of byMatch(connected)) {
      const uses = await servers.use(match, signal);
      for (const departing of of) {
        const use = uses.find((u) => isSame(u, departing.real));
        if (use === undefined || use.active + use.inactive === 0) idle.push(departing);
        else this.#stay(departing);
      }
    }
    return idle.map(deletion);
  }

  /**
   * Services with all their real servers, and addresses. `stays` tells of a service whether it may wait: an earlier process
   * must be able to tell it from others' (a node port is at an address of this machine, and ours by its entries only).
   */
  async leaveServices(
    services: readonly VirtualService[],
    addresses: readonly Ip[],
    stays: (match: ServiceMatch) => boolean,
    signal: AbortSignal,
  ): Promise<Gone> {
    const { servers } = this.#deps;
    const steps: IpvsStep[] = [];
    for (const service of services) {
      const { match } = service;
      const uses = hasConnections(match) && stays(match) ? await servers.use(match, signal) : [];
      const connected = uses.filter((u) => u.active + u.inactive > 0);
      if (connected.length === 0) {
        steps.push({ verb: "delete", kind: "service", service });
        this.#forgetReals(match);
        continue;
      }
      for (const { ip, port, weight } of uses) {
        const departing = { match, real: { ip, port, weight: 0 } };
        if (!connected.some((u) => isSame(u, departing.real))) steps.push(deletion(departing));
        else {
          if (weight !== 0) steps.push({ verb: "change", kind: "real", ...departing });
          this.#stay(departing);
        }
      }
      this.#services.set(matchKey(match), service);
    }
    const gone: Ip[] = [];
    for (const ip of addresses) {
      // packets behind a mark came to some address, and the mark does not say to which
      const holds = ({ match }: VirtualService): boolean => (match.kind === "fwmark" ? match.family === ipFamily(ip) : match.ip === ip);
      const holders = [...this.#services].flatMap(([key, service]) => (holds(service) ? [key] : []));
      if (holders.length === 0) gone.push(ip);
      else this.#addresses.set(ip, new Set(holders));
    }
    return { steps, addresses: gone };
  }

  /** Services that may not wait any longer. */
  cut(goes: (match: ServiceMatch) => boolean): readonly IpvsStep[] {
    const cut = [...this.#services].filter(([, { match }]) => goes(match));
    for (const [key, { match }] of cut) {
      this.#services.delete(key);
      this.#forgetReals(match);
    }
    return cut.map(([, service]): IpvsStep => ({ verb: "delete", kind: "service", service }));
  }

  /** What is leaving stays at weight 0 until somebody removes it. */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.#work;
  }

  #stay(departing: Departing): void {
    this.#reals.set(itemId({ kind: "real", ...departing }), departing);
    this.#work ??= this.#watch();
  }

  #forgetReals(match: ServiceMatch): void {
    for (const [id, departing] of this.#reals) if (matchKey(departing.match) === matchKey(match)) this.#reals.delete(id);
  }

  async #watch(): Promise<void> {
    const { signal } = this.#closed;
    while (this.#reals.size + this.#services.size + this.#addresses.size > 0 && !signal.aborted) {
      await this.#deps.clock.sleep(interval, signal).catch(() => undefined);
      if (signal.aborted) return;
      // what cannot be asked or removed now is tried again after the next interval
      await this.#deps.inTurn(() => this.#removeIdle(signal)).catch(() => undefined);
    }
    this.#work = undefined;
  }

  async #removeIdle(signal: AbortSignal): Promise<void> {
    const { servers, addresses } = this.#deps;
    const leaving: Departing[] = [];
    for (const [match, of] of byMatch([...this.#reals.values()])) {
      const uses = await servers.use(match, signal);
      leaving.push(...of.filter(({ real }) => !uses.some((u) => isSame(u, real) && u.active > 0)));
    }
    const idle = new Set(leaving.map((departing) => itemId({ kind: "real", ...departing })));
    const busy = new Set([...this.#reals].flatMap(([id, { match }]) => (idle.has(id) ? [] : [matchKey(match)])));
    const empty = [...this.#services].filter(([key]) => !busy.has(key));
    const ends = empty.map(([, service]): IpvsStep => ({ verb: "delete", kind: "service", service }));
    await servers.commit([...leaving.map(deletion), ...ends], signal);
    for (const id of idle) this.#reals.delete(id);
    for (const [key] of empty) this.#services.delete(key);
    const free = [...this.#addresses].flatMap(([ip, holders]) => ([...holders].some((key) => this.#services.has(key)) ? [] : [ip]));
    if (free.length > 0) await addresses.delete(free, signal);
    for (const ip of free) this.#addresses.delete(ip);
  }
}

function deletion({ match, real }: Departing): IpvsStep {
  return { verb: "delete", kind: "real", match, real };
}

function isSame(a: Pick<RealServer, "ip" | "port">, b: Pick<RealServer, "ip" | "port">): boolean {
  return a.ip === b.ip && a.port === b.port;
}

function byMatch(departing: readonly Departing[]): readonly (readonly [ServiceMatch, readonly Departing[]])[] {
  return [...Map.groupBy(departing, ({ match }) => matchKey(match)).values()].flatMap((of) =>
    of[0] === undefined ? [] : [[of[0].match, of] as const],
  );
}
