import type { ObjectKey } from "../../src/snapshot/cluster-snapshot.ts";
import type { Compiled, Problem } from "../../src/snapshot/problem.ts";
import type { HealthCheck, Pool } from "../route/route.ts";

/** Annotations of a Service that say how its endpoints are asked. Seconds and counts are whole numbers. */
const names = {
  protocol: "fairway.dev/health-check-protocol",
  path: "fairway.dev/health-check-path",
  service: "fairway.dev/health-check-service",
  host: "fairway.dev/health-check-host",
  interval: "fairway.dev/health-check-interval",
  timeout: "fairway.dev/health-check-timeout",
  failures: "fairway.dev/health-check-failures",
  successes: "fairway.dev/health-check-successes",
  slowStart: "fairway.dev/slow-start",
  requests: "fairway.dev/max-requests",
  pending: "fairway.dev/max-pending",
  pendingSeconds: "fairway.dev/pending-timeout",
} as const;

/** What a Service wishes for its endpoints; what cannot be read is a Problem, and as if it were not there. */
export function poolWishes(
  service: ObjectKey,
  annotations: Readonly<Record<string, string>>,
): Compiled<Pick<Pool, "health" | "slowStartSeconds" | "limits">> {
  const problems: Problem[] = [];
  const refuse = (name: string, want: string): void => {
    const slash = service.indexOf("/");
    problems.push({
      object: { kind: "Service", namespace: service.slice(0, slash), name: service.slice(slash + 1) },
      field: `metadata.annotations[${name}]`,
      reason: "InvalidAnnotation",
      message: `${name} must be ${want}: it counts for nothing`,
    });
  };
  const count = (name: string, initial: number, least: 0 | 1 = 1): number => {
    const text = annotations[name];
    if (text === undefined) return initial;
    if (/^(0|[1-9][0-9]{0,4})$/.test(text) && Number(text) >= least) return Number(text);
    refuse(name, `a whole number from ${least} to 99999`);
    return initial;
  };
  const text = (name: string, good: RegExp, want: string): string | undefined => {
    const value = annotations[name];
    if (value === undefined || good.test(value)) return value;
    refuse(name, want);
    return undefined;
  };
  const protocol = text(names.protocol, /^(http|grpc)s?$/i, "HTTP, HTTPS, GRPC or GRPCS")?.toLowerCase() ?? "http";
  const path = text(names.path, /^\/[!-~]*$/, "a path, as it stands in a request line");
  const grpcService = text(names.service, /^[\w.-]{0,127}$/, "the name of a service of gRPC");
  const host = text(names.host, /^[A-Za-z0-9.:[\]_-]+$/, "a host, with or without a port");
  const asks: HealthCheck["asks"] | undefined = protocol.startsWith("grpc")
    ? { kind: "grpc", service: grpcService ?? "" }
    : path === undefined
      ? undefined
      : { kind: "http", path };
  const requests = count(names.requests, 0);
  const plan = {
    ...(asks === undefined
      ? {}
      : {
          health: {
            asks,
            tls: protocol.endsWith("s"),
            ...(host === undefined ? {} : { host }),
            intervalSeconds: count(names.interval, 10),
            timeoutSeconds: count(names.timeout, 5),
            failures: count(names.failures, 3),
            successes: count(names.successes, 1),
          },
        }),
    ...(annotations[names.slowStart] === undefined ? {} : { slowStartSeconds: count(names.slowStart, 0) }),
    ...(requests === 0
      ? {}
      : { limits: { requests, pending: count(names.pending, 128, 0), pendingSeconds: count(names.pendingSeconds, 5) } }),
  };
  return { plan, problems };
}
