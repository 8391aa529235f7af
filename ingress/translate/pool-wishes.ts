import type { ObjectKey } from "../../src/snapshot/cluster-snapshot.ts";
import type { Compiled, Problem } from "../../src/snapshot/problem.ts";
import type { Pool } from "../route/route.ts";

/** Annotations of a Service that say how its endpoints are asked. Seconds and counts are whole numbers. */
const names = {
  path: "fairway.dev/health-check-path",
  host: "fairway.dev/health-check-host",
  interval: "fairway.dev/health-check-interval",
  timeout: "fairway.dev/health-check-timeout",
  failures: "fairway.dev/health-check-failures",
  successes: "fairway.dev/health-check-successes",
  slowStart: "fairway.dev/slow-start",
} as const;

/** What a Service wishes for its endpoints; what cannot be read is a Problem, and as if it were not there. */
export function poolWishes(
  service: ObjectKey,
  annotations: Readonly<Record<string, string>>,
): Compiled<Pick<Pool, "health" | "slowStartSeconds">> {
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
  const count = (name: string, initial: number): number => {
    const text = annotations[name];
    if (text === undefined) return initial;
    if (/^[1-9][0-9]{0,4}$/.test(text)) return Number(text);
    refuse(name, "a whole number from 1 to 99999");
    return initial;
  };
  const path = annotations[names.path];
  const host = annotations[names.host];
  const goodPath = path !== undefined && /^\/[!-~]*$/.test(path);
  const goodHost = host === undefined || /^[A-Za-z0-9.:[\]_-]+$/.test(host);
  if (path !== undefined && !goodPath) refuse(names.path, "a path, as it stands in a request line");
  if (!goodHost) refuse(names.host, "a host, with or without a port");
  const plan = {
    ...(goodPath
      ? {
          health: {
            path,
            ...(host !== undefined && goodHost ? { host } : {}),
            intervalSeconds: count(names.interval, 10),
            timeoutSeconds: count(names.timeout, 5),
            failures: count(names.failures, 3),
            successes: count(names.successes, 1),
          },
        }
      : {}),
    ...(annotations[names.slowStart] === undefined ? {} : { slowStartSeconds: count(names.slowStart, 0) }),
  };
  return { plan, problems };
}
