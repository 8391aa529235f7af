import type { ProxySettings } from "../route/proxy-settings.ts";
import { defaultPoolLimits, type PoolLimits } from "../upstream/upstream-pool.ts";
import type { ProxyContext } from "./context.ts";

/** What a cluster's settings can change of a running process. */
export type Changeable = Pick<ProxyContext, "timeouts" | "wire" | "trustedProxies">;

/** What the process was started with, and over it what the cluster says. */
export function effectiveSettings(started: Changeable, s: ProxySettings): Changeable {
  const { timeouts, wire } = started;
  return {
    timeouts: {
      ...timeouts,
      head: ms(s.headSeconds) ?? timeouts.head,
      body: ms(s.bodySeconds) ?? timeouts.body,
      idle: ms(s.keepAliveSeconds) ?? timeouts.idle,
    },
    wire: {
      ...wire,
      headBytes: s.headBytes ?? wire.headBytes,
      lineBytes: s.headBytes === undefined ? wire.lineBytes : Math.min(wire.lineBytes, s.headBytes),
      // as nginx: without keep-alive each connection has one request
      requestsPerConnection: s.keepAliveSeconds === 0 ? 1 : Math.max(1, s.keepAliveRequests ?? wire.requestsPerConnection),
    },
    trustedProxies: s.trustedProxies ?? started.trustedProxies,
  };
}

/** How many idle connections to endpoints are kept, and how long. */
export function poolLimits({ upstreamIdleConnections, upstreamIdleSeconds }: ProxySettings): PoolLimits {
  return {
    idle: upstreamIdleConnections ?? defaultPoolLimits.idle,
    idleMs: ms(upstreamIdleSeconds) ?? defaultPoolLimits.idleMs,
  };
}

function ms(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000;
}
