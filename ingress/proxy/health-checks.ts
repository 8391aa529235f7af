import type { HealthCheck, Pool, PoolEndpoint } from "../route/route.ts";
import type { RouteTable } from "../route/route-table.ts";
import { endpointKey } from "../upstream/endpoint-picker.ts";
import type { ProxyContext } from "./context.ts";
import { probe } from "./health-probe.ts";

/** Checks under way at once, all endpoints together. */
const most = 64;

/** Asks the endpoints of pools with a HealthCheck whether they are well, and tells the picker. */
export class HealthChecks {
  readonly #context: ProxyContext;
  #table: RouteTable | undefined;
  #checked: readonly Checked[] = [];
  #underWay = 0;

  constructor(context: ProxyContext) {
    this.#context = context;
  }

  /** Begins what is due, and ends what takes too long. Called now and then; `now` is monotonic. */
  sweep(now: number): void {
    if (this.#table !== this.#context.table) this.#takeTable(now);
    for (const c of this.#checked) {
      if (c.cancel !== undefined && now >= c.deadline) {
        const cancel = c.cancel;
        c.cancel = undefined;
        cancel();
        this.#judge(c, false);
      }
      if (c.cancel === undefined && now >= c.dueAt && this.#underWay < most) this.#ask(c, now);
    }
  }

  close(): void {
    for (const c of this.#checked) c.cancel?.();
    this.#checked = [];
  }

  /** Endpoints that stay keep what is known of them; those that left, or are checked no more, count as well. */
  #takeTable(now: number): void {
    const { table, picker } = this.#context;
    this.#table = table;
    const before = new Map(this.#checked.map((c) => [c.key, c]));
    const after: Checked[] = [];
    for (const pool of table.pools.values()) {
      const { health } = pool;
      if (health === undefined) continue;
      for (const endpoint of pool.endpoints) {
        const key = keyOf(pool, endpoint);
        const old = before.get(key);
        before.delete(key);
        if (old === undefined) after.push(newlyChecked(key, { endpoint, health, now }));
        else {
          old.health = health;
          after.push(old);
        }
      }
    }
    for (const gone of before.values()) {
      gone.cancel?.();
      gone.cancel = undefined;
      if (gone.unhealthy) picker.judge(gone.endpoint, false);
    }
    this.#checked = after;
  }

  #ask(c: Checked, now: number): void {
    const { health, endpoint } = c;
    c.dueAt = now + health.intervalSeconds * 1000;
    c.deadline = now + health.timeoutSeconds * 1000;
    this.#underWay++;
    let under = true;
    const end = (): void => {
      if (under) this.#underWay--;
      under = false;
    };
    const cancel = probe(this.#context, { health, endpoint, now }, (well) => {
      end();
      c.cancel = undefined;
      this.#judge(c, well);
    });
    if (!under) return;
    c.cancel = () => {
      end();
      cancel();
    };
  }

  #judge(c: Checked, well: boolean): void {
    c.inARow = well === c.lastWasWell ? c.inARow + 1 : 1;
    c.lastWasWell = well;
    const turns = well === c.unhealthy && c.inARow >= (well ? c.health.successes : c.health.failures);
    if (!turns) return;
    c.unhealthy = !well;
    this.#context.picker.judge(c.endpoint, !well);
  }
}

/** What is known of one endpoint. */
interface Checked {
  readonly key: string;
  readonly endpoint: PoolEndpoint;
  health: HealthCheck;
  dueAt: number;
  deadline: number;
  /** Ends the check that is under way. */
  cancel: (() => void) | undefined;
  lastWasWell: boolean;
  inARow: number;
  unhealthy: boolean;
}

function keyOf(pool: Pool, endpoint: PoolEndpoint): string {
  return `${pool.id} ${endpointKey(endpoint)}`;
}

function newlyChecked(key: string, o: { readonly endpoint: PoolEndpoint; readonly health: HealthCheck; readonly now: number }): Checked {
  const { endpoint, health, now } = o;
  return { key, endpoint, health, dueAt: now, deadline: 0, cancel: undefined, lastWasWell: true, inARow: 0, unhealthy: false };
}
