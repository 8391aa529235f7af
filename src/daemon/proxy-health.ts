import type { HostPort } from "../../rules/config/proxy-configuration.ts";
import type { ProxierHealth } from "../../rules/index.ts";
import { printHostPort } from "../base/ip.ts";
import type { Running } from "../base/running.ts";
import { type ObserveResponse, type ObserveServer, startObserveServer } from "../observe/http-endpoint.ts";
import type { Log } from "../observe/log.ts";

/** How long until an address that could not be had is tried again. Milliseconds. */
const tryAgain = 5000;

/** What kube-proxy's health server answers: /healthz tells load balancers about this node, /livez only about this process. */
export function proxyHealthAnswer(path: "healthz" | "livez", health: ProxierHealth, now: number): ObserveResponse {
  const good = path === "livez" ? health.live : health.live && health.ready && health.nodeEligible;
  const updated = goTime(good ? now : (health.lastUpdated ?? 0));
  const eligible = path === "healthz" ? `, "nodeEligible": ${health.nodeEligible}` : "";
  return {
    status: good ? 200 : 503,
    contentType: "application/json",
    body: `{"lastUpdated": ${JSON.stringify(updated)},"currentTime": ${JSON.stringify(goTime(now))}${eligible}}`,
  };
}

/** As Go prints a time, since that is what kube-proxy's readers know. */
function goTime(ms: number): string {
  if (ms === 0) return "0001-01-01 00:00:00 +0000 UTC";
  return `${new Date(ms).toISOString().replace("T", " ").replace("Z", "")} +0000 UTC`;
}

export interface ProxyHealth extends Running {
  /** Prometheus text: how often it was asked, by answer. */
  metrics(): string;
}

/** Serves them. An address that another program has is asked for again and again: a node does not go without rules for it. */
export function startProxyHealth(at: HostPort, health: () => ProxierHealth, now: () => number, log: Log): ProxyHealth {
  const counts = new Map<string, number>();
  let closed = false;
  let server: ObserveServer | undefined;
  let timer: NodeJS.Timeout | undefined;
  let told = false;
  const route = (path: "healthz" | "livez") => (): ObserveResponse => {
    const answer = proxyHealthAnswer(path, health(), now());
    const key = `kubeproxy_proxy_${path}_total{code="${answer.status}"}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
    return answer;
  };
  const start = (): void => {
    const starting = startObserveServer({
      bind: at.ip,
      port: at.port,
      routes: { "/healthz": route("healthz"), "/livez": route("livez") },
    });
    server = starting;
    starting.ready.catch((error: unknown) => {
      if (!told) log("warn", `health cannot be served at ${printHostPort(at.ip, at.port)}; trying on`, { error: String(error) });
      told = true;
      if (!closed) timer = setTimeout(start, tryAgain).unref();
    });
  };
  start();
  return {
    ready: Promise.resolve(),
    metrics: () =>
      (["healthz", "livez"] as const)
        .flatMap((path) => {
          const name = `kubeproxy_proxy_${path}_total`;
          const series = [...counts].filter(([key]) => key.startsWith(`${name}{`)).map(([key, n]) => `${key} ${n}`);
          return series.length === 0 ? [] : [`# HELP ${name} Times /${path} was asked`, `# TYPE ${name} counter`, ...series];
        })
        .map((line) => `${line}\n`)
        .join(""),
    close: async () => {
      closed = true;
      clearTimeout(timer);
      await server?.close();
    },
  };
}
