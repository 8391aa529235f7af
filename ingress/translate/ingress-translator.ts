import type { Cidr } from "../../src/base/cidr.ts";
import {
  type Batch,
  emptySnapshot,
  type Kind,
  type ObjectKey,
  type Snapshot,
  serviceOfSlice,
} from "../../src/snapshot/cluster-snapshot.ts";
import { Derived, type ProblemDelta } from "../../src/snapshot/derivation.ts";
import { distinctProblems, type Problem } from "../../src/snapshot/problem.ts";
import type { ProxySettings } from "../route/proxy-settings.ts";
import type { Certificate, Pool, PoolId, Route, RouteDelta, StreamService } from "../route/route.ts";
import { compileCertificate, sameCertificate } from "./certificate-plan.ts";
import { compileHost, wwwCounterpart } from "./host-plan.ts";
import { configKeys, defaultScope, type IngressScope } from "./ingress-class.ts";
import { configAt } from "./ingress-config.ts";
import { compileIngress, type IngressPlan } from "./ingress-plan.ts";
import { compilePool, samePool, serviceOfPool } from "./pool-plan.ts";
import { ReverseIndex } from "./reverse-index.ts";
import { compileStreams } from "./stream-plan.ts";

export interface TranslatorOptions {
  /** Whose Ingresses are served, and where what counts for all of them stands; as ingress-nginx has it, where absent. */
  readonly scope?: Partial<IngressScope>;
  /** Ranges in which endpoints may lie although they are loopback addresses (plain mode's own). */
  readonly allowedEndpoints?: readonly Cidr[];
}

/**
 * Ingresses to routes, batch by batch. Four derived tables: Ingress → its plan; host → its routes (conflicts, canaries,
 * regex hosts); Service port → its pool; server name → its certificate. What one change costs is what it touches.
 */
export class IngressTranslator {
  readonly #plans: Derived<ObjectKey, IngressPlan>;
  readonly #hosts: Derived<string, readonly Route[]>;
  readonly #pools: Derived<PoolId, Pool>;
  readonly #certificates: Derived<string, Certificate>;
  readonly #configs: Derived<ObjectKey, never>;
  readonly #streams: Derived<string, readonly StreamService[]>;
  readonly #byService = new ReverseIndex();
  readonly #bySecret = new ReverseIndex();
  readonly #byConfigMap = new ReverseIndex();
  readonly #byHost = new ReverseIndex();
  readonly #byTlsHost = new ReverseIndex();
  readonly #byPool = new ReverseIndex();
  readonly #poolsOfService = new ReverseIndex();
  readonly #scope: IngressScope;
  #snapshot: Snapshot = emptySnapshot;
  #settings: ProxySettings = {};
  #revision = 0;
  #changes: ProblemDelta = { gained: [], lost: [] };

  constructor(options: TranslatorOptions = {}) {
    this.#scope = { ...defaultScope, ...options.scope };
    this.#plans = new Derived({
      affected: (batch) => this.#affectedIngresses(batch),
      compute: (s, key) => compileIngress(s, key, this.#scope),
    });
    this.#hosts = new Derived<string, readonly Route[]>({
      affected: () => [],
      compute: (_, host) => compileHost({ host, plans: this.#plansOf(this.#byHost.usersOf(host)), tls: this.#hasTls(host) }),
    });
    this.#pools = new Derived<PoolId, Pool>({
      affected: () => [],
      compute: (s, id) => (this.#byPool.has(id) ? compilePool(s, id, options.allowedEndpoints ?? []) : { plan: undefined, problems: [] }),
      equal: samePool,
    });
    this.#certificates = new Derived<string, Certificate>({
      affected: () => [],
      compute: (s, host) => compileCertificate(s, host, this.#plansOf(this.#byTlsHost.usersOf(host))),
      equal: sameCertificate,
    });
    this.#configs = new Derived<ObjectKey, never>({
      affected: () => [],
      compute: (s, key) => ({ plan: undefined, problems: this.#isConfig(s, key) ? configAt(s, key).problems : [] }),
    });
    this.#streams = new Derived<string, readonly StreamService[]>({
      affected: () => [],
      compute: (s) => compileStreams(s, this.#scope),
      equal: (a, b) => JSON.stringify(a) === JSON.stringify(b),
    });
  }

  /** The Ingresses that are served here, by key. */
  get served(): Iterable<ObjectKey> {
    return this.#plans.values.keys();
  }

  get problems(): readonly Problem[] {
    const derived = [this.#plans, this.#hosts, this.#pools, this.#certificates, this.#configs, this.#streams];
    // several Ingresses may find the same of a ConfigMap or a class
    return distinctProblems(derived.flatMap((d) => [...d.problems()]));
  }

  /** What the last apply did to the problems. */
  get problemChanges(): ProblemDelta {
    return this.#changes;
  }

  get revision(): number {
    return this.#revision;
  }

  /** Everything at the current revision, for a process that starts. */
  full(): RouteDelta {
    return {
      revision: this.#revision,
      full: true,
      routes: { upserts: [...this.#hosts.values.values()].flat(), deletes: [] },
      pools: { upserts: [...this.#pools.values.values()], deletes: [] },
      certificates: { upserts: [...this.#certificates.values.values()], deletes: [] },
      streams: { upserts: this.#streams.values.get(allStreams) ?? [], deletes: [] },
      settings: this.#settings,
    };
  }

  /** What a batch changes. The revision stays when that is nothing. */
  apply(batch: Batch): RouteDelta {
    this.#snapshot = batch.after;
    const dirtyHosts = new Set<string>();
    const dirtyPools = new Set<PoolId>();
    const dirtyNames = new Set<string>(this.#namesOfSecrets(batch));

    const plans = this.#plans.apply(batch);
    for (const [key, { before, after }] of plans.changed) this.#index(key, before, after, { dirtyHosts, dirtyPools, dirtyNames });
    for (const id of this.#poolsTouched(batch)) dirtyPools.add(id);

    const streams = this.#streams.recompute(this.#snapshot, this.#streamsTouched(batch) ? [allStreams] : []);
    this.#indexStreams(streams.changed.get(allStreams), dirtyPools);
    const configs = this.#configs.recompute(this.#snapshot, this.#configsTouched(batch));
    const settings = configAt(this.#snapshot, this.#scope.configMap).settings;
    const newSettings = JSON.stringify(settings) !== JSON.stringify(this.#settings);
    this.#movePools("collector", collectorOf(this.#settings), collectorOf(settings), dirtyPools);
    this.#settings = settings;

    const hosts = this.#hosts.recompute(this.#snapshot, dirtyHosts);
    const pools = this.#pools.recompute(this.#snapshot, dirtyPools);
    const certificates = this.#certificates.recompute(this.#snapshot, dirtyNames);
    const changes = [plans, hosts, pools, certificates, configs, streams].map((d) => d.problems);
    this.#changes = { gained: changes.flatMap((c) => c.gained), lost: changes.flatMap((c) => c.lost) };

    const routes = routeChanges(hosts.changed.values());
    const ports = streamChanges(streams.changed.get(allStreams));
    const any =
      routes.upserts.length + routes.deletes.length + pools.changed.size + certificates.changed.size + streams.changed.size > 0 ||
      newSettings;
    if (any) this.#revision++;
    return {
      revision: this.#revision,
      full: false,
      routes,
      pools: { upserts: valuesOf(pools.changed), deletes: keysGone(pools.changed) },
      certificates: { upserts: valuesOf(certificates.changed), deletes: keysGone(certificates.changed) },
      ...(streams.changed.size === 0 ? {} : { streams: ports }),
      ...(newSettings ? { settings } : {}),
    };
  }

  /** Ports of their own count as a user of their pools. */
  #indexStreams(
    changed: { readonly before?: readonly StreamService[]; readonly after?: readonly StreamService[] } | undefined,
    dirtyPools: Set<PoolId>,
  ): void {
    if (changed === undefined) return;
    const poolsOf = (streams: readonly StreamService[] | undefined): readonly PoolId[] => [...new Set(streams?.map((s) => s.pool))];
    this.#movePools(allStreams, poolsOf(changed.before), poolsOf(changed.after), dirtyPools);
  }

  #movePools(key: string, before: readonly PoolId[], after: readonly PoolId[], dirtyPools: Set<PoolId>): void {
    for (const id of this.#byPool.move(key, before, after)) {
      dirtyPools.add(id);
      const service = serviceOfPool(id);
      this.#poolsOfService.move(id, this.#byPool.has(id) ? [] : [service], this.#byPool.has(id) ? [service] : []);
    }
  }

  #streamsTouched({ dirty, after }: Batch): boolean {
    const { tcpServices, udpServices } = this.#scope;
    const maps = dirty.get("ConfigMap");
    if (maps?.has(tcpServices) === true || maps?.has(udpServices) === true) return true;
    const services = dirty.get("Service");
    if (services === undefined) return false;
    const named = [tcpServices, udpServices].flatMap((key) => Object.values(after.tables.ConfigMap.get(key)?.data ?? {}));
    return named.some((text) => services.has(text.trim().split(":", 1)[0] ?? ""));
  }

  #configsTouched({ dirty, before, after }: Batch): Iterable<ObjectKey> {
    const maps = dirty.get("ConfigMap") ?? [];
    if (!dirty.has("IngressClass")) return [...maps].filter((key) => this.#isConfig(after, key));
    return new Set([...maps, ...configKeys(before, this.#scope), ...configKeys(after, this.#scope)]);
  }

  #isConfig(snapshot: Snapshot, key: ObjectKey): boolean {
    return key === this.#scope.configMap || configKeys(snapshot, this.#scope).includes(key);
  }

  #index(
    key: ObjectKey,
    before: IngressPlan | undefined,
    after: IngressPlan | undefined,
    dirty: { readonly dirtyHosts: Set<string>; readonly dirtyPools: Set<PoolId>; readonly dirtyNames: Set<string> },
  ): void {
    this.#byService.move(key, before?.services ?? [], after?.services ?? []);
    this.#bySecret.move(key, secretsOf(before), secretsOf(after));
    this.#byConfigMap.move(key, before?.configMaps ?? [], after?.configMaps ?? []);
    this.#byHost.move(key, hostsOf(before), hostsOf(after));
    this.#byTlsHost.move(key, namesOf(before), namesOf(after));
    for (const host of [...hostsOf(before), ...hostsOf(after)]) dirty.dirtyHosts.add(host);
    for (const name of [...namesOf(before), ...namesOf(after)]) {
      dirty.dirtyNames.add(name);
      for (const host of this.#hostsUnder(name)) dirty.dirtyHosts.add(host);
    }
    this.#movePools(key, before?.pools ?? [], after?.pools ?? [], dirty.dirtyPools);
  }

  #affectedIngresses({ dirty, before, after }: Batch): Iterable<ObjectKey> {
    // a class decides over Ingresses that do not name it: all must be looked at, and classes hardly ever change
    if (dirty.has("IngressClass")) return new Set([...before.tables.Ingress.keys(), ...after.tables.Ingress.keys()]);
    const keys = new Set(dirty.get("Ingress"));
    for (const [kind, index] of [
      ["Service", this.#byService],
      ["Secret", this.#bySecret],
      ["ConfigMap", this.#byConfigMap],
    ] as const satisfies readonly (readonly [Kind, ReverseIndex])[]) {
      for (const thing of dirty.get(kind) ?? []) for (const key of index.usersOf(thing)) keys.add(key);
    }
    return keys;
  }

  #poolsTouched({ dirty, before, after }: Batch): Iterable<PoolId> {
    const services = new Set(dirty.get("Service"));
    for (const key of dirty.get("EndpointSlice") ?? []) {
      for (const snapshot of [before, after]) {
        const slice = snapshot.tables.EndpointSlice.get(key);
        const service = slice === undefined ? undefined : serviceOfSlice(slice);
        if (service !== undefined) services.add(service);
      }
    }
    return [...services].flatMap((s) => [...this.#poolsOfService.usersOf(s)]);
  }

  #namesOfSecrets({ dirty }: Batch): Iterable<string> {
    const names: string[] = [];
    for (const secret of dirty.get("Secret") ?? []) {
      for (const plan of this.#plansOf(this.#bySecret.usersOf(secret))) {
        for (const claim of plan.tls) if (claim.secret === secret) names.push(claim.host);
      }
    }
    return names;
  }

  #plansOf(keys: Iterable<ObjectKey>): readonly IngressPlan[] {
    return [...keys].map((k) => this.#plans.values.get(k)).filter((p) => p !== undefined);
  }

  #hasTls(host: string): boolean {
    const dot = host.indexOf(".");
    return host !== "" && (this.#byTlsHost.has(host) || (dot > 0 && this.#byTlsHost.has(`*${host.slice(dot)}`)));
  }

  /** Hosts with routes that a server name covers. */
  #hostsUnder(name: string): Iterable<string> {
    if (!name.startsWith("*.")) return this.#byHost.has(name) ? [name] : [];
    const suffix = name.slice(1);
    return [...this.#byHost.things()].filter((h) => h === name || h.slice(h.indexOf(".")) === suffix);
  }
}

/** The one key of the table of ports. */
const allStreams = "ports";

function streamChanges(
  changed: { readonly before?: readonly StreamService[]; readonly after?: readonly StreamService[] } | undefined,
): NonNullable<RouteDelta["streams"]> {
  const before = new Map(changed?.before?.map((s) => [s.id, JSON.stringify(s)]));
  const after = changed?.after ?? [];
  const ids = new Set(after.map((s) => s.id));
  return {
    upserts: after.filter((s) => before.get(s.id) !== JSON.stringify(s)),
    deletes: [...before.keys()].filter((id) => !ids.has(id)),
  };
}

/** The pool of the Service that spans go to. */
function collectorOf({ tracing }: ProxySettings): readonly PoolId[] {
  return tracing?.pool === undefined ? [] : [tracing.pool];
}

function secretsOf(plan: IngressPlan | undefined): readonly ObjectKey[] {
  return plan === undefined ? [] : [...plan.secrets, ...plan.tls.map((t) => t.secret).filter((s) => s !== undefined)];
}

/** Its hosts; a default backend is a claim on requests without one. */
function hostsOf(plan: IngressPlan | undefined): readonly string[] {
  if (plan === undefined) return [];
  const hosts = plan.claims.map((c) => c.host);
  const counterparts = plan.options.fromToWww ? hosts.map(wwwCounterpart).filter((h) => h !== undefined) : [];
  return [...new Set([...hosts, ...counterparts, ...(plan.defaultPool === undefined ? [] : [""])])];
}

function namesOf(plan: IngressPlan | undefined): readonly string[] {
  return plan === undefined ? [] : [...new Set(plan.tls.map((t) => t.host))];
}

function routeChanges(hosts: Iterable<{ readonly before?: readonly Route[]; readonly after?: readonly Route[] }>): RouteDelta["routes"] {
  const upserts: Route[] = [];
  const deletes: string[] = [];
  for (const { before = [], after = [] } of hosts) {
    const old = new Map(before.map((r) => [r.id, r]));
    for (const route of after) {
      const was = old.get(route.id);
      old.delete(route.id);
      if (was === undefined || JSON.stringify(was) !== JSON.stringify(route)) upserts.push(route);
    }
    deletes.push(...old.keys());
  }
  return { upserts, deletes };
}

function valuesOf<V>(changed: ReadonlyMap<string, { readonly after?: V }>): readonly V[] {
  return [...changed.values()].map((c) => c.after).filter((v) => v !== undefined);
}

function keysGone<V>(changed: ReadonlyMap<string, { readonly after?: V }>): readonly string[] {
  return [...changed].filter(([, c]) => c.after === undefined).map(([k]) => k);
}
