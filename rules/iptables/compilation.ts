import type { Map as PersistentMap } from "immutable";
import { type Ip, ipFamily } from "../../src/base/ip.ts";
import type { Frontend, FrontendKey, Pool } from "../plan/frontend.ts";
import {
  type Commenting,
  clusterRangeRules,
  type External,
  exactly,
  externalId,
  externalRules,
  filterEntries,
  hairpinRule,
  healthRule,
  jump,
  nodePortMatches,
  offClusterRules,
  podMatches,
  postroutingRules,
  refusal,
  rejectRules,
  sourcesRules,
  translatedReturn,
  translation,
  untrackedRules,
} from "./chains.ts";
import { chains, externalChain, sourcesChain } from "./names.ts";
import { poolChainNames, poolChains, type UsedPool } from "./pools.ts";
import type { CompiledRules, Counted, IptablesProgram } from "./program.ts";
import { type Chain, type ChainId, chainId, type Matches, type Rule, type TableName } from "./rule.ts";
import { addressKey, addressPath, localPath, portKey, portPath, TreeEditor, Ways } from "./tree.ts";

/** One change being compiled. */
export class Compilation {
  readonly #before: IptablesProgram;
  readonly #commenting: Commenting;
  readonly #fromPods: readonly Matches[];
  readonly #frontends: PersistentMap<FrontendKey, Frontend>;
  readonly #pools: PersistentMap<string, Counted<UsedPool>>;
  readonly #externals: PersistentMap<string, Counted<External>>;
  readonly #clusterIps: PersistentMap<Ip, number>;
  readonly #localEndpoints: PersistentMap<Ip, number>;
  readonly #healthPorts: PersistentMap<number, number>;
  readonly #chains: PersistentMap<ChainId, Chain>;
  #endpoints: number;
  readonly #nat: TreeEditor;
  readonly #filter: TreeEditor;
  readonly #ways = new Ways();
  readonly #poolsTouched = new Set<string>();
  readonly #externalsTouched = new Set<string>();
  readonly #sourcesTouched = new Set<FrontendKey>();
  readonly #touched = new Set<ChainId>();

  constructor(before: IptablesProgram) {
    this.#before = before;
    this.#commenting = before;
    this.#fromPods = podMatches(
      before.surroundings.podCidrs.filter((c) => c.family === before.family),
      before.options,
    );
    this.#frontends = before.frontends.asMutable();
    this.#pools = before.pools.asMutable();
    this.#externals = before.externals.asMutable();
    this.#clusterIps = before.clusterIps.asMutable();
    this.#localEndpoints = before.localEndpoints.asMutable();
    this.#healthPorts = before.healthPorts.asMutable();
    this.#chains = before.chains.asMutable();
    this.#endpoints = before.endpoints;
    this.#nat = new TreeEditor(before.nat);
    this.#filter = new TreeEditor(before.filter);
  }

  /** Exactly one of the two may be undefined. */
  replace(old: Frontend | undefined, now: Frontend | undefined): void {
    const key = (now ?? old)?.key ?? "";
    if (now !== undefined) this.#use(now, 1);
    if (old !== undefined) this.#use(old, -1);
    if (now === undefined) this.#frontends.delete(key);
    else this.#frontends.set(key, now);
    // where an address or port was a Service's and is another's, the way there may differ
    if (old !== undefined && (now === undefined || old.scope !== now.scope)) this.#put(old, undefined);
    if (now !== undefined) this.#put(now, now);
    if (old?.sources !== undefined || now?.sources !== undefined) this.#sourcesTouched.add(key);
  }

  /** Chains that every program has, whatever its Services. */
  withFixedChains(): this {
    const { family, options, surroundings } = this.#before;
    this.#set("nat", chains.postrouting, postroutingRules(options));
    this.#set("nat", chains.offCluster, offClusterRules(this.#fromPods, options));
    this.#set("nat", chains.canary, []);
    this.#set("filter", chains.reject, rejectRules);
    this.#set("filter", chains.canary, []);
    const untracked = untrackedRules(
      surroundings.localDnsIps.filter((ip) => ipFamily(ip) === family),
      family,
    );
    this.#set("raw", chains.untracked, untracked.length === 0 ? undefined : untracked);
    this.#nat.touched.add(chains.services).add(chains.nodePorts).add(chains.hairpin);
    this.#filter.touched.add(chains.refusals).add(chains.nodePorts).add(chains.health);
    return this;
  }

  finish(): CompiledRules {
    const { family } = this.#before;
    for (const id of this.#poolsTouched) {
      const used = this.#pools.get(id)?.value;
      const made = used === undefined ? undefined : poolChains(used, family, this.#commenting);
      for (const [name, rules] of made ?? []) this.#set("nat", name, rules);
      const before = this.#before.pools.get(id)?.value;
      if (before === undefined) continue;
      for (const name of poolChainNames(before)) if (made?.has(name) !== true) this.#set("nat", name, undefined);
    }
    for (const id of this.#externalsTouched) {
      const external = this.#externals.get(id)?.value;
      this.#set("nat", externalChain(id), external === undefined ? undefined : externalRules(external, this.#fromPods, this.#commenting));
    }
    for (const key of this.#sourcesTouched) {
      const frontend = this.#frontends.get(key);
      const restricted = frontend?.sources !== undefined && frontend.action.kind === "balance";
      this.#set(
        "nat",
        sourcesChain(key),
        restricted ? sourcesRules(frontend, jump(externalChain(externalId(frontend))), this.#commenting) : undefined,
      );
    }
    // whether there are any node ports to refuse decides whether they are looked for
    if (this.#filter.touched.has(chains.nodePorts)) this.#filter.touched.add(chains.refusals);
    if (this.#filter.touched.has(chains.health)) this.#setFilterEntries();
    for (const name of this.#nat.touched) this.#set("nat", name, this.#natChain(name));
    for (const name of this.#filter.touched) this.#set("filter", name, this.#filterChain(name));
    const program: IptablesProgram = {
      ...this.#before,
      frontends: this.#frontends.asImmutable(),
      pools: this.#pools.asImmutable(),
      externals: this.#externals.asImmutable(),
      clusterIps: this.#clusterIps.asImmutable(),
      localEndpoints: this.#localEndpoints.asImmutable(),
      healthPorts: this.#healthPorts.asImmutable(),
      endpoints: this.#endpoints,
      nat: this.#nat.finish(),
      filter: this.#filter.finish(),
      chains: this.#chains.asImmutable(),
    };
    return { program, touched: this.#touched };
  }

  #setFilterEntries(): void {
    const { input, forward, output } = filterEntries(this.#before.family, this.#before.options, this.#filter.has(chains.health));
    this.#set("filter", chains.input, input);
    this.#set("filter", chains.forward, forward);
    this.#set("filter", chains.output, output);
  }

  #natChain(name: string): Chain | undefined {
    const { family, options, surroundings } = this.#before;
    const found = this.#nat.rulesIn(name);
    if (name === chains.services) {
      // an address of this node that is a Service's too is the Service's
      const ips = surroundings.nodePortIps.filter((ip) => ipFamily(ip) === family);
      return [...found, ...nodePortMatches(family, ips, options).map((m): Rule => ({ ...m, target: jump(chains.nodePorts) }))];
    }
    if (name === chains.nodePorts || name === chains.hairpin) return found;
    if (found.length === 0) return undefined;
    // the last range of cluster IPs: those below lead to chains of endpoints, those above to ranges
    const marking = options.masqueradeAll || this.#fromPods.length > 0;
    return lastClusterRange(name, found) ? clusterRangeRules(found, marking, this.#before.options) : found;
  }

  #filterChain(name: string): Chain | undefined {
    const { family, options, surroundings } = this.#before;
    const found = this.#filter.rulesIn(name);
    if (name !== chains.refusals) return found.length === 0 ? undefined : found;
    const ips = surroundings.nodePortIps.filter((ip) => ipFamily(ip) === family);
    const some = this.#filter.has(chains.nodePorts);
    return [
      translatedReturn,
      ...found,
      ...(some ? nodePortMatches(family, ips, options).map((m): Rule => ({ ...m, target: jump(chains.nodePorts) })) : []),
      ...surroundings.serviceCidrs
        .filter((cidr) => cidr.family === family)
        .map((cidr): Rule => ({ destination: { cidr, negated: false }, target: { kind: "drop" } })),
    ];
  }

  #put(at: Frontend, now: Frontend | undefined): void {
    const nat = now === undefined ? undefined : translation(now, this.#commenting);
    const filter = now === undefined ? undefined : refusal(now, this.#commenting);
    if (at.ip === undefined) {
      const path = portPath("N", at.protocol, at.port);
      const key = portKey(at.protocol, at.port);
      this.#nat.place(chains.nodePorts, path, key, nat);
      this.#filter.place(chains.nodePorts, path, key, filter);
      return;
    }
    const key = `${addressKey(at.ip)} ${portKey(at.protocol, at.port)}`;
    this.#nat.place(chains.services, this.#ways.to(at.scope === "clusterIP" ? "C" : "E", at.ip), key, nat);
    this.#filter.place(chains.refusals, this.#ways.to("R", at.ip), key, filter);
  }

  #use(frontend: Frontend, by: 1 | -1): void {
    const { action, owner, scope, ip } = frontend;
    if (scope === "clusterIP" && ip !== undefined) this.#useClusterIp(ip, by);
    if (action.kind !== "balance") return;
    const { pool, localPool, affinitySeconds } = action;
    for (const used of [pool, localPool]) if (used !== undefined) this.#usePool({ pool: used, owner, affinitySeconds }, by);
    if (scope === "clusterIP") return;
    const id = externalId(frontend);
    const before = this.#externals.get(id);
    const users = (before?.users ?? 0) + by;
    if (users === 0) this.#externals.delete(id);
    else
      this.#externals.set(id, {
        users,
        value: by === 1 || before === undefined ? { action, owner, masquerade: frontend.masquerade } : before.value,
      });
    this.#externalsTouched.add(id);
  }

  #usePool(used: UsedPool, by: 1 | -1): void {
    const { id } = used.pool;
    const before = this.#pools.get(id);
    const users = (before?.users ?? 0) + by;
    const after = users === 0 ? undefined : by === 1 || before === undefined ? used : before.value;
    if (after === undefined) this.#pools.delete(id);
    else this.#pools.set(id, { value: after, users });
    if (after === before?.value) return;
    if (before !== undefined) this.#countMembers(before.value.pool, -1);
    if (after !== undefined) this.#countMembers(after.pool, 1);
    this.#poolsTouched.add(id);
  }

  #countMembers(pool: Pool, by: 1 | -1): void {
    this.#endpoints += by * pool.members.length;
    for (const { ip, local } of pool.members) {
      if (!local) continue;
      const before = this.#localEndpoints.get(ip) ?? 0;
      const users = before + by;
      if (users === 0) this.#localEndpoints.delete(ip);
      else this.#localEndpoints.set(ip, users);
      if (before !== 0 && users !== 0) continue;
      const rules = users === 0 ? undefined : [hairpinRule(ip, this.#before.family)];
      this.#nat.place(chains.hairpin, localPath(ip), addressKey(ip), rules);
    }
  }

  useHealthPort(port: number, by: number): void {
    const users = (this.#healthPorts.get(port) ?? 0) + by;
    if (users === 0) this.#healthPorts.delete(port);
    else this.#healthPorts.set(port, users);
    this.#filter.place(chains.health, portPath("H", "tcp", port), portKey("tcp", port), users === 0 ? undefined : [healthRule(port)]);
  }

  /** What nobody translated to a cluster IP is for a port that no Service has. */
  #useClusterIp(ip: Ip, by: 1 | -1): void {
    const users = (this.#clusterIps.get(ip) ?? 0) + by;
    if (users === 0) this.#clusterIps.delete(ip);
    else this.#clusterIps.set(ip, users);
    const rule: Rule = { destination: { cidr: exactly(ip, this.#before.family), negated: false }, target: jump(chains.reject) };
    // sorts after the ports of the address
    const key = `${addressKey(ip)} ~`;
    this.#filter.place(chains.refusals, this.#ways.to("R", ip), key, users === 0 ? undefined : [rule]);
  }

  #set(table: TableName, name: string, rules: Chain | undefined): void {
    const id = chainId(table, name);
    if (rules === undefined) this.#chains.delete(id);
    else this.#chains.set(id, rules);
    this.#touched.add(id);
  }
}

/** A range whose rules name single addresses and their ports, not further ranges. */
function lastClusterRange(name: string, rules: Chain): boolean {
  const destination = rules[0]?.destination?.cidr;
  if (destination === undefined || rules[0]?.ports === undefined) return false;
  const [, , last] = addressPath("C", destination.ip);
  return last?.chain === name;
}
