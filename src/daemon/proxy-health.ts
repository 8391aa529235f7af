import type { HostPort } from "../../rules/config/proxy-configuration.ts";
import type { ProxierHealth } from "../../rules/index.ts";
import type { Running } from "../base/running.ts";
import type { ObserveResponse } from "../observe/http-endpoint.ts";
import type { Log } from "../observe/log.ts";
import { startSteadyServer } from "./steady-server.ts";

/** What kube-proxy's health server answers: /healthz tells load balancers about this node, /livez only about this process. */
export function proxyHealthAnswer(path: "healthz" | "livez", health: ProxierHealth, now: number): ObserveResponse {
  const { live, ready, nodeEligible, lastUpdated } = health;
  const healthy = path === "livez" ? live : live && ready;
  const good = healthy && (path === "livez" || nodeEligible);
  const updated = goTime(lastUpdated);
  const one = { lastUpdated: updated, healthy: live };
  const body = {
    lastUpdated: good ? goTime(now) : updated,
    currentTime: goTime(now),
    ...(path === "healthz" ? { nodeEligible } : {}),
    healthy,
    // both families' rules are one transaction
    ...(lastUpdated === undefined ? {} : { status: { IPv4: one, IPv6: one } }),
  };
  return { status: good ? 200 : 503, contentType: "application/json", body: JSON.stringify(body) };
}

/** As kube-proxy's readers know it; its zero is the year 1. */
function goTime(ms: number | undefined): string {
  return ms === undefined ? "0001-01-01T00:00:00Z" : new Date(ms).toISOString();
}

export interface ProxyHealth extends Running {
  /** Prometheus text: how often it was asked, by answer. */
  metrics(): string;
}

export interface ProxyHealthOptions {
  readonly at: HostPort;
  readonly hardFail?: boolean | undefined;
  readonly health: () => ProxierHealth;
  readonly now: () => number;
}

/** Serves them. Without `hardFail` a node does not go without rules for an address that another program has. */
export function startProxyHealth({ at, hardFail, health, now }: ProxyHealthOptions, log: Log): ProxyHealth {
  const counts = new Map<string, number>();
  const route = (path: "healthz" | "livez") => (): ObserveResponse => {
    const answer = proxyHealthAnswer(path, health(), now());
    const key = `kubeproxy_proxy_${path}_total{code="${answer.status}"}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
    return answer;
  };
  const routes = { "/healthz": route("healthz"), "/livez": route("livez") };
  const server = startSteadyServer({ what: "kube-proxy's health", bind: at.ip, port: at.port, hardFail, routes }, log);
  return {
    ready: server.ready,
    metrics: () =>
      (["healthz", "livez"] as const)
        .flatMap((path) => {
          const name = `kubeproxy_proxy_${path}_total`;
          const series = [...counts].filter(([key]) => key.startsWith(`${name}{`)).map(([key, n]) => `${key} ${n}`);
          return series.length === 0 ? [] : [`# HELP ${name} Times /${path} was asked`, `# TYPE ${name} counter`, ...series];
        })
        .map((line) => `${line}\n`)
        .join(""),
    close: () => server.close(),
  };
}
