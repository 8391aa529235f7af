import type { Filter, SharedRate } from "../route/filter.ts";
import type { AnnotationReader } from "./annotation-reader.ts";
import { present } from "./annotation-values.ts";
import type { RouteConfig } from "./ingress-config.ts";

export interface RateOptions {
  readonly perSecond?: number;
  readonly perMinute?: number;
  readonly connections?: number;
  readonly burstMultiplier: number;
  readonly exempt: readonly string[];
  /** Counted by all processes together. */
  readonly shared?: Pick<SharedRate, "limit" | "windowSeconds" | "key" | "exempt">;
}

export function parseRate(a: AnnotationReader): RateOptions {
  return {
    ...present("perSecond", positive(a.get("limit-rps"))),
    ...present("perMinute", positive(a.get("limit-rpm"))),
    ...present("connections", positive(a.get("limit-connections"))),
    burstMultiplier: positive(a.get("limit-burst-multiplier")) ?? 5,
    exempt: [...(a.get("limit-allowlist") ?? []), ...(a.get("limit-whitelist") ?? [])],
    ...present("shared", parseShared(a)),
  };
}

function parseShared(a: AnnotationReader): RateOptions["shared"] {
  const limit = positive(a.get("global-rate-limit"));
  const windowSeconds = positive(a.get("global-rate-limit-window"));
  const key = a.get("global-rate-limit-key") ?? [{ kind: "clientIp" } as const];
  const exempt = a.get("global-rate-limit-ignored-cidrs");
  return limit === undefined || windowSeconds === undefined ? undefined : { limit, windowSeconds, key, ...present("exempt", exempt) };
}

function positive(n: number | undefined): number | undefined {
  return n === undefined || n <= 0 ? undefined : n;
}

/** The limits of one Ingress, whose paths share their counts. */
export function rateFilters(rate: RateOptions, owner: string, config: RouteConfig): readonly Filter[] {
  const filters: Filter[] = [];
  const exempt = rate.exempt.length === 0 ? {} : { exempt: rate.exempt };
  const status = config.rateStatus;
  const bucket = (name: string, perMinute: number, burst: number): Filter => ({
    kind: "rateLimit",
    bucket: `${owner} ${name}`,
    perMinute,
    burst,
    status,
    ...exempt,
  });
  const { perSecond, perMinute, connections, burstMultiplier, shared } = rate;
  if (perSecond !== undefined) filters.push(bucket("rps", perSecond * 60, perSecond * burstMultiplier));
  if (perMinute !== undefined) filters.push(bucket("rpm", perMinute, perMinute * burstMultiplier));
  if (connections !== undefined)
    filters.push({ kind: "connectionLimit", bucket: owner, limit: connections, status: config.connectionStatus, ...exempt });
  if (shared !== undefined) filters.push({ kind: "sharedRate", bucket: owner, status: config.sharedRateStatus, ...shared });
  return filters;
}
