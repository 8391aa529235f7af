import { Map as PersistentMap } from "immutable";
import { type Cidr, cidrContains } from "../../src/base/cidr.ts";
import { type Ip, type IpFamily, ipFamily } from "../../src/base/ip.ts";
import type { ObjectKey } from "../../src/snapshot/cluster-snapshot.ts";
import type { Delta } from "../../src/snapshot/derivation.ts";
import type { Problem } from "../../src/snapshot/problem.ts";
import { isLoopback } from "../iptables/execute.ts";
import type { RuleSet } from "../iptables/rule.ts";
import { balanceProblem } from "../plan/balance.ts";
import { type Frontend, type FrontendKey, frontendKey, nodePortKey, type Pool } from "../plan/frontend.ts";
import type { ServicePlan } from "../plan/service-plan.ts";
import type { Surroundings } from "../plan/surroundings.ts";
import { markOf } from "./marks.ts";
import { type Placement, place, policiesOf, type VirtualServer, type Wanted } from "./place.ts";
import { type SideRuleOptions, sameSideRules, sideRules } from "./rules.ts";
import { setName, setsOf } from "./sets.ts";
import { type IpvsItem, itemId, matchKey, type RealServer, type Scheduler, type SetDefinition } from "./values.ts";

/** What the program depends on besides the plan; fixed while a process lives. */
export interface IpvsProgramOptions extends SideRuleOptions {
  readonly families: readonly IpFamily[];
  readonly scheduler: Scheduler;
  /** Schedulers that this kernel does not have; default none. */
  readonly lacking?: ReadonlySet<Scheduler> | undefined;
  /** Virtual servers there are somebody else's: Services have none. */
  readonly excludeCidrs?: readonly Cidr[] | undefined;
}

export interface Held {
  readonly wanted: Wanted;
  /** How often it is asked for. */
  readonly users: number;
  /** The frontend that asked last; what a refusal of the kernel is told of. */
  readonly owner: FrontendKey;
}

interface Placed {
  readonly frontend: Frontend;
  /** What it asked for then: given back when it changes. */
  readonly wanted: readonly Wanted[];
}

/** The plan compiled for ipvs, both families. Immutable. */
export interface IpvsProgram {
  readonly options: IpvsProgramOptions;
  /** Node port addresses as they are, none of them unspecified. */
  readonly surroundings: Surroundings;
  readonly frontends: PersistentMap<FrontendKey, Placed>;
  /** By `wantedId`. */
  readonly held: PersistentMap<string, Held>;
  /** Of pools that short-circuited senders use, by pool; and the other way. */
  readonly marks: PersistentMap<string, number>;
  readonly marked: PersistentMap<number, string>;
  readonly rules: readonly RuleSet[];
}

export interface CompiledServers {
  readonly program: IpvsProgram;
  /** Ids of what may differ from before. */
  readonly touched: ReadonlySet<string>;
}

const nothingLacks: ReadonlySet<Scheduler> = new Set();
const nothingAround: Surroundings = { nodePortIps: [], podCidrs: [], serviceCidrs: [], localDnsIps: [] };

export function emptyIpvsProgram(options: IpvsProgramOptions): IpvsProgram {
  return {
    options,
    surroundings: nothingAround,
    frontends: PersistentMap(),
    held: PersistentMap(),
    marks: PersistentMap(),
    marked: PersistentMap(),
    rules: options.families.map((family) => sideRules(family, nothingAround, options)),
  };
}

/** An id of the same form as those of items, so that both can be compared. */
export function wantedId(wanted: Wanted): string {
  return wanted.kind === "virtual" ? `service ${matchKey(wanted.service.match)}` : itemId(wanted);
}

/** The program after a change of frontends. Cost is by the change. */
export function compileFrontends(changed: Delta<FrontendKey, Frontend>["changed"], before: IpvsProgram): CompiledServers {
  const compilation = new Compilation(before);
  for (const [key, { after }] of changed) compilation.replace(key, after);
  return compilation.finish();
}

/** The program after a change of Services: where load balancers ask for their health. */
export function compileHealthPorts(changed: Delta<ObjectKey, ServicePlan>["changed"], before: IpvsProgram): CompiledServers {
  const compilation = new Compilation(before);
  for (const [key, { before: old, after }] of changed) {
    const [was, is] = [old?.healthCheck?.port, after?.healthCheck?.port];
    if (was !== is) compilation.replaceHealthPort(key, was, is);
  }
  return compilation.finish();
}

/** `surroundings`: with the addresses of node ports as they are. */
export function compileSurroundings(surroundings: Surroundings, before: IpvsProgram): CompiledServers {
  const { options } = before;
  const moved = surroundings.nodePortIps.join() !== before.surroundings.nodePortIps.join();
  const sameRules = sameSideRules(surroundings, before.surroundings);
  if (!moved && sameRules) return { program: before, touched: new Set() };
  const rules = sameRules ? before.rules : options.families.map((family) => sideRules(family, surroundings, options));
  const compilation = new Compilation({ ...before, surroundings, rules });
  if (moved) {
    for (const [key, { frontend }] of before.frontends) if (frontend.scope === "nodePort") compilation.replace(key, frontend);
  }
  return compilation.finish();
}

/** One item and, of a virtual server, its real servers. */
export function* itemsOf(wanted: Wanted): Iterable<IpvsItem> {
  if (wanted.kind !== "virtual") {
    yield wanted;
    return;
  }
  const { service, reals } = wanted;
  yield { kind: "service", service };
  for (const real of reals) yield { kind: "real", match: service.match, real };
}

export function definitionsOf(program: IpvsProgram): readonly SetDefinition[] {
  return program.options.families.flatMap((family) => setsOf(family));
}

export function virtualServer(program: IpvsProgram, id: string): VirtualServer | undefined {
  const wanted = program.held.get(`service ${id}`)?.wanted;
  return wanted?.kind === "virtual" ? wanted : undefined;
}

function isExcluded(ip: Ip | undefined, { excludeCidrs = [] }: IpvsProgramOptions): boolean {
  return ip !== undefined && excludeCidrs.some((cidr) => cidrContains(cidr, ip));
}

/** What to tell a Service that has an address in a range that is somebody else's, or wants a scheduler that is not there. */
export function limitOf(frontend: Frontend, options: IpvsProgramOptions): Problem | undefined {
  if (!isExcluded(frontend.ip, options)) return balanceProblem(frontend, "ipvs", policiesOf(options.lacking ?? nothingLacks), "random");
  const { namespace, name } = frontend.owner;
  return {
    object: { kind: "Service", namespace, name },
    field: frontend.scope === "clusterIP" ? "spec.clusterIP" : frontend.scope === "externalIP" ? "spec.externalIPs" : "status.loadBalancer",
    reason: "AddressExcluded",
    message: `${frontend.key} is in a range that ipvs.excludeCIDRs leaves to others; this Service gets no traffic there`,
  };
}

/** One change being compiled. */
class Compilation {
  readonly #before: IpvsProgram;
  readonly #nodePortIps: ReadonlySet<Ip>;
  readonly #frontends: PersistentMap<FrontendKey, Placed>;
  readonly #held: PersistentMap<string, Held>;
  readonly #marks: PersistentMap<string, number>;
  readonly #marked: PersistentMap<number, string>;
  readonly #reals = new Map<Pool, readonly RealServer[]>();
  readonly #touched = new Set<string>();
  /** Node ports where the address of a Service came or went. */
  readonly #shadowed = new Set<FrontendKey>();

  constructor(before: IpvsProgram) {
    this.#before = before;
    this.#nodePortIps = new Set(before.surroundings.nodePortIps);
    this.#frontends = before.frontends.asMutable();
    this.#held = before.held.asMutable();
    this.#marks = before.marks.asMutable();
    this.#marked = before.marked.asMutable();
  }

  replace(key: FrontendKey, now: Frontend | undefined): void {
    const old = this.#frontends.get(key);
    const { options } = this.#before;
    const frontend = now !== undefined && options.families.includes(now.family) && !isExcluded(now.ip, options) ? now : undefined;
    this.#put(key, old, frontend);
    const at = frontend ?? old?.frontend;
    if (at?.ip === undefined || !this.#nodePortIps.has(at.ip) || (old === undefined) === (frontend === undefined)) return;
    this.#shadowed.add(nodePortKey(at.family, at.port, at.protocol));
  }

  replaceHealthPort(service: ObjectKey, was: number | undefined, is: number | undefined): void {
    for (const family of this.#before.options.families) {
      const entry = (port: number): Wanted => ({ kind: "entry", entry: { set: setName(family, "health-ports"), fields: [{ port }] } });
      if (is !== undefined) this.#hold(entry(is), service, 1);
      if (was !== undefined) this.#hold(entry(was), service, -1);
    }
  }

  finish(): CompiledServers {
    for (const key of this.#shadowed) {
      const placed = this.#frontends.get(key);
      this.#put(key, placed, placed?.frontend);
    }
    const program: IpvsProgram = {
      ...this.#before,
      frontends: this.#frontends.asImmutable(),
      held: this.#held.asImmutable(),
      marks: this.#marks.asImmutable(),
      marked: this.#marked.asImmutable(),
    };
    return { program, touched: this.#touched };
  }

  /** What is asked for anew comes before what is given back, so that what both ask for stays. */
  #put(key: FrontendKey, old: Placed | undefined, now: Frontend | undefined): void {
    const wanted = now === undefined ? [] : place(now, this.#placementOf(now));
    for (const one of wanted) this.#hold(one, key, 1);
    for (const one of old?.wanted ?? []) this.#hold(one, key, -1);
    if (now === undefined) this.#frontends.delete(key);
    else this.#frontends.set(key, { frontend: now, wanted });
  }

  #placementOf({ scope, protocol, port }: Frontend): Placement {
    const { options, surroundings } = this.#before;
    return {
      scheduler: options.scheduler,
      lacking: options.lacking ?? nothingLacks,
      // an address of this node that is a Service's too is the Service's
      nodePortIps:
        scope === "nodePort"
          ? surroundings.nodePortIps.filter((ip) => !this.#frontends.has(frontendKey(ip, port, protocol)))
          : surroundings.nodePortIps,
      realsOf: (pool) => {
        let reals = this.#reals.get(pool);
        if (reals === undefined) {
          reals = pool.members.map(({ ip, port: to, weight = 1 }) => ({ ip, port: to, weight }));
          this.#reals.set(pool, reals);
        }
        return reals;
      },
      markOf: ({ id }) => {
        const mark = this.#marks.get(id) ?? markOf(id, protocol === "udp", (taken) => this.#marked.has(taken));
        this.#marks.set(id, mark);
        this.#marked.set(mark, id);
        return mark;
      },
    };
  }

  #hold(wanted: Wanted, owner: FrontendKey, by: 1 | -1): void {
    const id = wantedId(wanted);
    const before = this.#held.get(id);
    const users = (before?.users ?? 0) + by;
    this.#touched.add(id);
    if (users > 0) {
      this.#held.set(id, by === 1 || before === undefined ? { wanted, users, owner } : { ...before, users });
      return;
    }
    this.#held.delete(id);
    if (wanted.kind !== "virtual" || wanted.service.match.kind !== "fwmark") return;
    const { mark } = wanted.service.match;
    const pool = this.#marked.get(mark);
    if (pool !== undefined) this.#marks.delete(pool);
    this.#marked.delete(mark);
  }
}

/** Node port addresses as they are: an unspecified one stands for all of this machine's of that family. */
export function withAddresses(surroundings: Surroundings, machineIps: readonly Ip[]): Surroundings {
  const { nodePortIps } = surroundings;
  if (!nodePortIps.includes("0.0.0.0") && !nodePortIps.includes("::")) return surroundings;
  const all = nodePortIps.flatMap((ip) =>
    ip === "0.0.0.0" || ip === "::" ? machineIps.filter((own) => ipFamily(own) === ipFamily(ip) && !isLoopback(own)) : [ip],
  );
  return { ...surroundings, nodePortIps: [...new Set(all)].sort() };
}
