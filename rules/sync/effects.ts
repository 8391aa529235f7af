import { printServicePort } from "../model/service-port.ts";
import type { Frontend, FrontendKey } from "../plan/frontend.ts";
import { compareFrontends, type Fate, fateOf, type SettingChange } from "../plan/frontend-change.ts";
import type { ChangedFrontends } from "../plan/proxy-plan.ts";

/** What a transaction did to one port of one Service. */
export interface ServiceEffect {
  /** `shop/web:http`; without a name, `shop/web`. */
  readonly service: string;
  /** Addresses and node ports. */
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  /** Some of the endpoints that were gained and lost, and how many there are in all. */
  readonly gained: readonly string[];
  readonly lost: readonly string[];
  readonly gainedCount: number;
  readonly lostCount: number;
  /** What a new connection gets now, where that is told by one word for all its addresses; absent once it is gone. */
  readonly fate?: Fate;
  readonly settings: readonly SettingChange[];
}

export interface Effects {
  readonly services: readonly ServiceEffect[];
  /** Changed addresses and ports of Services that are not listed. */
  readonly moreFrontends: number;
}

/** So many Services are told of a transaction, and so many endpoints of each: a full load costs no more than a large change. */
const maxServices = 16;
const maxEndpoints = 4;

/** The changes of several deltas, each frontend from what it was first to what it is last. Costs by the change, up to a bound. */
export function effectsOf(deltas: readonly ChangedFrontends[]): Effects {
  const changed = joined(deltas);
  const services = new Map<string, ServiceEffect>();
  let told = 0;
  for (const { before, after } of changed.values()) {
    const owner = (after ?? before)?.owner;
    if (owner === undefined) {
      told++;
      continue;
    }
    const name = printServicePort(owner);
    const known = services.get(name);
    // once the list is full the rest is only counted
    if (known === undefined && services.size === maxServices) break;
    services.set(name, joinEffect(name, known, before, after));
    told++;
  }
  return { services: [...services.values()], moreFrontends: changed.size - told };
}

type Changed = ReadonlyMap<FrontendKey, { readonly before?: Frontend; readonly after?: Frontend }>;

function joined(deltas: readonly ChangedFrontends[]): Changed {
  const [only] = deltas;
  if (only === undefined) return new Map();
  if (deltas.length === 1) return only.frontends.changed;
  const all = new Map<FrontendKey, { before?: Frontend; after?: Frontend }>();
  for (const { frontends } of deltas) {
    for (const [key, { before, after }] of frontends.changed) {
      const first = all.has(key) ? all.get(key)?.before : before;
      all.set(key, { ...(first === undefined ? {} : { before: first }), ...(after === undefined ? {} : { after }) });
    }
  }
  return all;
}

/** A Service's addresses share their endpoints: they are compared once, at the first address. */
function joinEffect(
  service: string,
  known: ServiceEffect | undefined,
  before: Frontend | undefined,
  after: Frontend | undefined,
): ServiceEffect {
  const kind = before === undefined ? "added" : after === undefined ? "removed" : "changed";
  if (known !== undefined) return { ...known, [kind]: known[kind] + 1 };
  const { gained, lost, settings } = compareFrontends(before, after);
  return {
    service,
    added: kind === "added" ? 1 : 0,
    removed: kind === "removed" ? 1 : 0,
    changed: kind === "changed" ? 1 : 0,
    gained: gained.slice(0, maxEndpoints),
    lost: lost.slice(0, maxEndpoints),
    gainedCount: gained.length,
    lostCount: lost.length,
    ...(after === undefined ? {} : { fate: fateOf(after.action) }),
    settings,
  };
}
