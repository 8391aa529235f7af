import { affinityValue } from "../balance/affinity.ts";
import { type EndpointLoad, eject, joinOthers, newEndpointLoad, observe, slowStartShare } from "../balance/endpoint-load.ts";
import { type HashTable, hashRing, maglevTable } from "../balance/hash-ring.ts";
import { type Choice, pickByHash, pickLeastRequests, pickPeakEwma, pickRoundRobin } from "../balance/pick.ts";
import { RetryBudget } from "../balance/retry-budget.ts";
import type { Balance, Pool, PoolEndpoint } from "../route/route.ts";
import type { UpstreamAddress } from "./connection.ts";

/** An endpoint chosen for one try. */
export interface Picked {
  readonly endpoint: PoolEndpoint;
  readonly load: EndpointLoad;
  /** Its address without TLS. */
  readonly plain: UpstreamAddress;
}

export interface PickOptions {
  readonly balance: Balance;
  /** Of the request, where `balance` goes by it. */
  readonly hash?: HashChoice | undefined;
  /** Endpoints this request has tried in vain, as `ip port`. */
  readonly tried: ReadonlySet<string>;
  readonly now: number;
  readonly random: number;
}

export interface HashChoice {
  readonly value: number;
  readonly algorithm: "ring" | "maglev";
  readonly bound?: number;
  readonly subsetSize?: number;
}

/** Balancers of one process: what it knows of its endpoints. */
export class EndpointPicker {
  readonly #loads = new Map<string, EndpointLoad>();
  readonly #turns = new Map<string, Turns>();
  /** Pools are values: what belongs to the endpoints of one is looked up once. */
  #members = new WeakMap<Pool, Members>();
  #zone = "";

  /** Of this process, as topology.kubernetes.io/zone of its node says; "" when there is none. */
  moveTo(zone: string): void {
    this.#zone = zone;
    this.#members = new WeakMap();
  }

  /**
   * `undefined` when the pool is empty, all were tried, or all are full. First those that are well and meant for this zone,
   * then those that are well, then any.
   */
  pick(pool: Pool, o: PickOptions): Picked | undefined {
    const members = this.#membersOf(pool, o.now);
    const { loads, keys, picks, turns } = members;
    const count = pool.endpoints.length;
    const limit = pool.limits?.requests ?? 0;
    if (turns.next < 0) turns.next = Math.floor(o.random * count);
    let turn = turns.next++;
    if (o.tried.size === 0) turns.retries.deposit();
    if (o.balance === "round_robin" && o.tried.size === 0 && limit === 0 && members.plain) {
      // the usual case, without the closures of the general one
      const pick = picks[turn % count];
      if (pick === undefined || (pick.load.avoidUntil <= o.now && !pick.load.unhealthy)) return pick;
      // whose turn it was is out: chance decides who has it, or some would have more of such turns than others
      turn = Math.floor(o.random * 0x1_0000);
    }
    const open = (i: number): boolean =>
      (o.tried.size === 0 || !o.tried.has(keys[i] ?? "")) && (limit === 0 || (loads[i]?.inFlight ?? 0) < limit);
    const healthy = (i: number): boolean => open(i) && (loads[i]?.avoidUntil ?? 0) <= o.now && loads[i]?.unhealthy !== true;
    const { near, slowStartMs } = members;
    const local = near === undefined ? healthy : (i: number): boolean => near[i] === true && healthy(i);
    const warm = (i: number): boolean => local(i) && drawnWithin(loads[i], { now: o.now, slowStartMs, random: o.random, at: i });
    for (const usable of slowStartMs > 0 ? [warm, local, healthy, open] : near === undefined ? [healthy, open] : [local, healthy, open]) {
      const at = pickIn(members, { count, usable }, o, turn);
      if (at >= 0) return picks[at];
    }
    return undefined;
  }

  /** The endpoint an affinity cookie stands for, if it is still there and untried. */
  pickByCookie(pool: Pool, cookie: string, tried: ReadonlySet<string>): Picked | undefined {
    const endpoint = pool.endpoints.find((e) => affinityValue(pool.id, e) === cookie && !tried.has(endpointKey(e)));
    return endpoint === undefined || this.#isFull(pool, endpoint) ? undefined : pickedOf(endpoint, this.#load(endpoint));
  }

  /** True where an endpoint would be asked if it had room. */
  waitsForRoom(pool: Pool, tried: ReadonlySet<string>): boolean {
    return pool.limits !== undefined && pool.endpoints.some((e) => !tried.has(endpointKey(e)) && this.#isFull(pool, e));
  }

  #isFull(pool: Pool, endpoint: PoolEndpoint): boolean {
    return pool.limits !== undefined && this.#load(endpoint).inFlight >= pool.limits.requests;
  }

  /** Whose a hash is on the ring of the pool, however it fares; as `ip port`. */
  ringOwner(pool: Pool, hash: number, now: number): string | undefined {
    const members = this.#membersOf(pool, now);
    for (const at of tableOf(members, "ring").choices(hash)) return members.keys[at];
    return undefined;
  }

  /** False: this pool's requests are not repeated for now. */
  mayRetry(pool: Pool, now: number): boolean {
    return this.#turnsOf(pool.id).retries.take(now);
  }

  failed(picked: Picked, now: number): void {
    eject(picked.load, now);
  }

  answered(picked: Picked, startedAt: number, now: number): void {
    picked.load.avoidUntil = 0;
    picked.load.failures = 0;
    observe(picked.load, now - startedAt, now);
  }

  /** What is no longer in the table: endpoints as endpointKey names them, pools by id. */
  forget(endpoints: Iterable<string>, pools: Iterable<string>): void {
    for (const key of endpoints) this.#loads.delete(key);
    for (const id of pools) this.#turns.delete(id);
  }

  #membersOf(pool: Pool, now: number): Members {
    let members = this.#members.get(pool);
    if (members === undefined) {
      const loads = this.#loadsOf(pool, now);
      const near = this.#near(pool);
      const slowStartMs = (pool.slowStartSeconds ?? 0) * 1000;
      members = {
        tables: {},
        keys: pool.endpoints.map(endpointKey),
        loads,
        picks: pool.endpoints.map((endpoint, i) => pickedOf(endpoint, loads[i] ?? this.#load(endpoint))),
        turns: this.#turnsOf(pool.id),
        near,
        slowStartMs,
        plain: near === undefined && slowStartMs === 0,
      };
      this.#members.set(pool, members);
    }
    return members;
  }

  /** What is known of the endpoints; those that are new to a pool that has been asked before join the others. */
  #loadsOf(pool: Pool, now: number): readonly EndpointLoad[] {
    const known = pool.endpoints.flatMap((e) => this.#loads.get(endpointKey(e)) ?? []);
    return pool.endpoints.map((e) => {
      const isNew = known.length > 0 && !this.#loads.has(endpointKey(e));
      const load = this.#load(e);
      if (isNew) joinOthers(load, known, now);
      return load;
    });
  }

  /** Which endpoints are meant for this zone; undefined where that makes no difference. */
  #near(pool: Pool): readonly boolean[] | undefined {
    if (this.#zone === "" || !pool.endpoints.every((e) => e.zones !== undefined && e.zones.length > 0)) return undefined;
    const near = pool.endpoints.map((e) => e.zones?.includes(this.#zone) === true);
    return near.every(Boolean) || !near.some(Boolean) ? undefined : near;
  }

  /** What health checks found. */
  judge(endpoint: PoolEndpoint, unhealthy: boolean): void {
    this.#load(endpoint).unhealthy = unhealthy;
  }

  #turnsOf(pool: string): Turns {
    let turns = this.#turns.get(pool);
    if (turns === undefined) {
      turns = { next: -1, retries: new RetryBudget() };
      this.#turns.set(pool, turns);
    }
    return turns;
  }

  #load(e: PoolEndpoint): EndpointLoad {
    const key = endpointKey(e);
    let load = this.#loads.get(key);
    if (load === undefined) {
      load = newEndpointLoad();
      this.#loads.set(key, load);
    }
    return load;
  }
}

/** Whether a newcomer takes part in this draw; each endpoint has a number of its own in it. */
function drawnWithin(
  load: EndpointLoad | undefined,
  o: { readonly now: number; readonly slowStartMs: number; readonly random: number; readonly at: number },
): boolean {
  if (load?.joinedAt === undefined) return true;
  const draw = (o.random * 7919 + o.at * 0.618_033_988_75) % 1;
  return draw < slowStartShare(load, o.now, o.slowStartMs);
}

function pickIn(members: Members, choice: Choice, o: PickOptions, turn: number): number {
  const { loads } = members;
  switch (o.balance) {
    case "round_robin":
      return pickRoundRobin(choice, turn);
    case "ewma":
      return pickPeakEwma(choice, loads, o.now, o.random);
    case "least_requests":
      return pickLeastRequests(choice, loads, turn);
    case "hash":
      return o.hash === undefined
        ? pickRoundRobin(choice, turn)
        : pickByHash(choice, {
            table: tableOf(members, o.hash.algorithm),
            hash: o.hash.value,
            loads,
            bound: o.hash.bound,
            subset: subsetOf(o),
          });
  }
}

function subsetOf({ hash, random }: PickOptions): { readonly size: number; readonly random: number } | undefined {
  return hash?.subsetSize === undefined ? undefined : { size: hash.subsetSize, random };
}

/** Made when first asked for: most pools never are. */
function tableOf(members: Members, algorithm: HashChoice["algorithm"]): HashTable {
  members.tables[algorithm] ??= algorithm === "ring" ? hashRing(members.keys) : maglevTable(members.keys);
  return members.tables[algorithm];
}

interface Members {
  readonly tables: Partial<Record<HashChoice["algorithm"], HashTable>>;
  readonly keys: readonly string[];
  readonly loads: readonly EndpointLoad[];
  readonly picks: readonly Picked[];
  readonly turns: Turns;
  readonly near: readonly boolean[] | undefined;
  readonly slowStartMs: number;
  /** Neither zones nor a slow start make a difference. */
  readonly plain: boolean;
}

/** What lasts while the endpoints of a pool change: whose turn is next (-1 before the first), what may be repeated. */
interface Turns {
  next: number;
  readonly retries: RetryBudget;
}

function pickedOf(endpoint: PoolEndpoint, load: EndpointLoad): Picked {
  return { endpoint, load, plain: { ip: endpoint.ip, port: endpoint.port, tls: false } };
}

export function endpointKey(e: PoolEndpoint): string {
  return `${e.ip} ${e.port}`;
}
