import { affinityValue } from "../balance/affinity.ts";
import { type EndpointLoad, newEndpointLoad, observe } from "../balance/endpoint-load.ts";
import { pickPeakEwma, pickRoundRobin } from "../balance/pick.ts";
import type { Pool, PoolEndpoint } from "../route/route.ts";
import type { UpstreamAddress } from "./connection.ts";

/** An endpoint chosen for one try. */
export interface Picked {
  readonly endpoint: PoolEndpoint;
  readonly load: EndpointLoad;
  /** Its address without TLS. */
  readonly plain: UpstreamAddress;
}

export interface PickOptions {
  readonly balance: "round_robin" | "ewma";
  /** Endpoints this request has tried in vain, as `ip port`. */
  readonly tried: ReadonlySet<string>;
  readonly now: number;
  readonly random: number;
}

/** How long an endpoint is left alone after it could not be reached, as long as there are others. */
const avoidMs = 1_000;

/** Balancers of one process: what it knows of its endpoints. */
export class EndpointPicker {
  readonly #loads = new Map<string, EndpointLoad>();
  readonly #turns = new Map<string, Turns>();
  /** Pools are values: what belongs to the endpoints of one is looked up once. */
  readonly #members = new WeakMap<Pool, Members>();

  /** `undefined` when the pool is empty or all were tried. */
  pick(pool: Pool, o: PickOptions): Picked | undefined {
    const { endpoints } = pool;
    const { loads, keys, picks, turns } = this.#membersOf(pool);
    const count = endpoints.length;
    if (turns.next < 0) turns.next = Math.floor(o.random * count);
    const turn = turns.next++;
    if (o.balance === "round_robin" && o.tried.size === 0) {
      // the usual case, without the closures of the general one
      for (let i = 0; i < count; i++) {
        const pick = picks[(turn + i) % count];
        if (pick !== undefined && pick.load.avoidUntil <= o.now) return pick;
      }
      return picks[turn % count];
    }
    const untried = (i: number): boolean => o.tried.size === 0 || !o.tried.has(keys[i] ?? "");
    const healthy = (i: number): boolean => untried(i) && (loads[i]?.avoidUntil ?? 0) <= o.now;
    let at = -1;
    for (const usable of [healthy, untried]) {
      const choice = { count, usable };
      at = o.balance === "ewma" ? pickPeakEwma(choice, loads, o.now, o.random) : pickRoundRobin(choice, turn);
      if (at >= 0) break;
    }
    return picks[at];
  }

  /** The endpoint an affinity cookie stands for, if it is still there and untried. */
  pickByCookie(pool: Pool, cookie: string, tried: ReadonlySet<string>): Picked | undefined {
    const endpoint = pool.endpoints.find((e) => affinityValue(pool.id, e) === cookie && !tried.has(endpointKey(e)));
    return endpoint === undefined ? undefined : pickedOf(endpoint, this.#load(endpoint));
  }

  failed(picked: Picked, now: number): void {
    picked.load.avoidUntil = now + avoidMs;
  }

  answered(picked: Picked, startedAt: number, now: number): void {
    picked.load.avoidUntil = 0;
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
      turns = { next: -1 };
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

interface Members {
  readonly keys: readonly string[];
  readonly loads: readonly EndpointLoad[];
  readonly picks: readonly Picked[];
  readonly turns: Turns;
}

/** Whose turn is next in a pool, whatever its endpoints are by then; -1 before the first. */
interface Turns {
  next: number;
}

function pickedOf(endpoint: PoolEndpoint, load: EndpointLoad): Picked {
  return { endpoint, load, plain: { ip: endpoint.ip, port: endpoint.port, tls: false } };
}

export function endpointKey(e: PoolEndpoint): string {
  return `${e.ip} ${e.port}`;
}
