import { affinityValue } from "../balance/affinity.ts";
import { type EndpointLoad, eject, newEndpointLoad, observe } from "../balance/endpoint-load.ts";
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
  readonly hash?: HashChoice;
  /** Requests in flight above which an endpoint gets no more; 0: no limit. */
  readonly maxRequests?: number;
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
  readonly #members = new WeakMap<Pool, Members>();

  /** `undefined` when the pool is empty, all were tried, or all are full. */
  pick(pool: Pool, o: PickOptions): Picked | undefined {
    const members = this.#membersOf(pool);
    const { loads, keys, picks, turns } = members;
    const count = pool.endpoints.length;
    const limit = o.maxRequests ?? 0;
    if (turns.next < 0) turns.next = Math.floor(o.random * count);
    const turn = turns.next++;
    if (o.tried.size === 0) turns.retries.deposit();
    if (o.balance === "round_robin" && o.tried.size === 0 && limit === 0) {
      // the usual case, without the closures of the general one
      for (let i = 0; i < count; i++) {
        const pick = picks[(turn + i) % count];
        if (pick !== undefined && pick.load.avoidUntil <= o.now) return pick;
      }
      return picks[turn % count];
    }
    const open = (i: number): boolean =>
      (o.tried.size === 0 || !o.tried.has(keys[i] ?? "")) && (limit === 0 || (loads[i]?.inFlight ?? 0) < limit);
    const healthy = (i: number): boolean => open(i) && (loads[i]?.avoidUntil ?? 0) <= o.now;
    for (const usable of [healthy, open]) {
      const at = pickIn(members, { count, usable }, o, turn);
      if (at >= 0) return picks[at];
    }
    return undefined;
  }

  /** The endpoint an affinity cookie stands for, if it is still there and untried. */
  pickByCookie(pool: Pool, cookie: string, tried: ReadonlySet<string>): Picked | undefined {
    const endpoint = pool.endpoints.find((e) => affinityValue(pool.id, e) === cookie && !tried.has(endpointKey(e)));
    return endpoint === undefined ? undefined : pickedOf(endpoint, this.#load(endpoint));
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

  #membersOf(pool: Pool): Members {
    let members = this.#members.get(pool);
    if (members === undefined) {
      const loads = pool.endpoints.map((e) => this.#load(e));
      members = {
        tables: {},
        keys: pool.endpoints.map(endpointKey),
        loads,
        picks: pool.endpoints.map((endpoint, i) => pickedOf(endpoint, loads[i] ?? this.#load(endpoint))),
        turns: this.#turnsOf(pool.id),
      };
      this.#members.set(pool, members);
    }
    return members;
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
