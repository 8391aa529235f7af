import { type Ip, ipFamily } from "../../src/base/ip.ts";
import { unreachable } from "../../src/base/unreachable.ts";
import type { BalancePolicy, Frontend, Pool } from "../plan/frontend.ts";
import { type SetRole, setName } from "./sets.ts";
import type { IpvsItem, RealServer, Scheduler, ServiceMatch, SetField, VirtualService } from "./values.ts";

/** A virtual service with what stands behind it. */
export interface VirtualServer {
  readonly kind: "virtual";
  readonly service: VirtualService;
  readonly reals: readonly RealServer[];
}

/** One thing a frontend asks for; several may ask for the same. */
export type Wanted = VirtualServer | Extract<IpvsItem, { kind: "address" | "entry" }>;

export interface Placement {
  /** Where a node port answers: addresses of this machine that no frontend of their own has at this port. */
  readonly nodePortIps: readonly Ip[];
  /** How connections are chosen where a Service does not say. */
  readonly scheduler: Scheduler;
  /** Schedulers that this kernel does not have. */
  readonly lacking: ReadonlySet<Scheduler>;
  /** The real servers of a pool; made once. */
  realsOf(pool: Pool): readonly RealServer[];
  /** The mark of the pool that short-circuited senders use. */
  markOf(pool: Pool): number;
}

type Choice = Pick<VirtualService, "scheduler" | "schedulerFlags">;
type Schedulers = Pick<Placement, "scheduler" | "lacking">;

/** Schedulers that some pools need; which a kernel has is tried at the start. */
export const schedulersByNeed: readonly Scheduler[] = ["wrr", "lc", "wlc", "mh", "sh"];

/** Another endpoint is taken where a client's takes no connections (sh-fallback, mh-fallback). */
const fallsBack = 1;
/** The client's port counts too (sh-port, mh-port). */
const hashesPort = 2;

/** Schedulers that count every endpoint the same, and their like with weights. */
const weighted: Readonly<Record<string, Scheduler>> = { rr: "wrr", lc: "wlc" };

/** The kernel's way for a pool's policy, best first; where it has none, as nobody had said anything. */
function schedulerOf(pool: Pool, schedulers: Schedulers): Choice {
  const { scheduler: usual, lacking } = schedulers;
  const plain = pool.members.every((m) => (m.weight ?? 1) === 1);
  const of = (scheduler: Scheduler): readonly Choice[] => [
    ...(plain || weighted[scheduler] === undefined ? [] : [{ scheduler: weighted[scheduler] }]),
    { scheduler },
  ];
  const has = (choice: Choice): boolean => !lacking.has(choice.scheduler);
  const wanted = (): readonly Choice[] => {
    switch (pool.balance) {
      case undefined:
      case "random":
        return of(usual);
      case "least-connections":
        return of("lc");
      case "source-hash":
        return hashed(fallsBack);
      case "maglev":
        return hashed(fallsBack | hashesPort);
      default:
        return unreachable(pool.balance);
    }
  };
  return wanted().find(has) ?? of(usual).find(has) ?? { scheduler: usual };
}

/** Consistently, so that most clients keep their endpoint when others come and go; or at least while nothing changes. */
function hashed(schedulerFlags: number): readonly Choice[] {
  return ["mh", "sh"].map((scheduler) => ({ scheduler, schedulerFlags }));
}

/** Policies that the kernel has a scheduler for. */
export function policiesOf(lacking: ReadonlySet<Scheduler>): readonly BalancePolicy[] {
  const hashes: readonly BalancePolicy[] = lacking.has("mh") && lacking.has("sh") ? [] : ["source-hash", "maglev"];
  return ["random", ...hashes, ...(lacking.has("lc") ? [] : ["least-connections" as const])];
}

/** Everything a frontend asks for. Pure, but for what the placement remembers. */
export function place(frontend: Frontend, placement: Placement): readonly Wanted[] {
  const { ip, family, scope, action, sources } = frontend;
  const wanted: Wanted[] = [];
  const enter = (role: SetRole, fields: readonly SetField[]): void => {
    wanted.push({ kind: "entry", entry: { set: setName(family, role), fields } });
  };
  if (ip !== undefined) {
    wanted.push({ kind: "address", ip });
    enter("service-ips", [ip]);
    if (scope === "clusterIP") enter("cluster-ips", [ip]);
  }
  const at = ip === undefined ? placement.nodePortIps.filter((own) => ipFamily(own) === family) : [ip];
  for (const own of at) {
    const fields: readonly SetField[] = [own, { protocol: frontend.protocol, port: frontend.port }];
    if (sources !== undefined) {
      enter("ranged", fields);
      for (const cidr of sources) enter("allowed", [...fields, cidr]);
    }
    if (action.kind !== "balance") {
      enter(action.kind, fields);
      continue;
    }
    const { pool, localPool, affinitySeconds } = action;
    const served = localPool ?? pool;
    if (served.members.length === 0) enter("drop", fields);
    else {
      const match: ServiceMatch = { kind: "address", protocol: frontend.protocol, ip: own, port: frontend.port };
      const persistence = affinitySeconds === undefined ? {} : { persistenceSeconds: affinitySeconds };
      wanted.push({
        kind: "virtual",
        service: { match, ...schedulerOf(served, placement), ...persistence },
        reals: placement.realsOf(served),
      });
      enter(scope === "clusterIP" ? "cluster" : frontend.masquerade === "always" ? "external" : "local", fields);
    }
    if (localPool === undefined || pool.members.length === 0) continue;
    const mark = placement.markOf(pool);
    wanted.push({ kind: "entry", entry: { set: setName(family, "short-circuit"), fields, mark } });
    // the kernel translates the port of a remembered client's packets at an address only, not behind a mark
    const how = schedulerOf(affinitySeconds === undefined ? pool : { ...pool, balance: "source-hash" }, placement);
    wanted.push({ kind: "virtual", service: { match: { kind: "fwmark", family, mark }, ...how }, reals: placement.realsOf(pool) });
  }
  if (action.kind === "balance") {
    for (const pool of [action.pool, action.localPool]) {
      for (const member of pool?.members ?? []) {
        if (member.local) enter("loop-back", [member.ip, { protocol: frontend.protocol, port: member.port }, member.ip]);
      }
    }
  }
  return wanted;
}
