import type { AnnotationReader } from "./annotation-reader.ts";
import { present } from "./annotation-values.ts";
import type { CanaryProgress, CanaryStatus } from "./canary-progress.ts";

export interface Canary {
  /** Lower case. */
  readonly header?: string;
  readonly headerValue?: string;
  readonly headerPattern?: string;
  readonly cookie?: string;
  /** Of requests bound to an endpoint by a cookie the weight counts all the same. */
  readonly ignoresAffinity: boolean;
  /** The weight counts only for requests that a header or cookie chooses. */
  readonly matchAll: boolean;
  /** Set: the weight follows `status`, and is 0 without one of this plan. */
  readonly progress?: CanaryProgress;
  readonly status?: CanaryStatus;
  readonly weight: number;
  readonly weightTotal: number;
}

const rules = ["canary-by-header", "canary-by-header-value", "canary-by-header-pattern", "canary-by-cookie", "canary-weight"] as const;

export function parseCanary(a: AnnotationReader): Canary | undefined {
  const header = a.get("canary-by-header")?.toLowerCase();
  const value = a.get("canary-by-header-value");
  const pattern = a.get("canary-by-header-pattern");
  const total = a.get("canary-weight-total") ?? 100;
  const cookie = a.get("canary-by-cookie");
  const weight = a.get("canary-weight") ?? 0;
  if (a.get("canary") !== true) {
    const [first] = rules.filter((name) => a.text(name) !== "" && a.text(name) !== "0");
    if (first !== undefined && a.text("canary") === "")
      a.complain(first, "CanaryNotEnabled", 'without canary: "true" this is an Ingress like any other, and no canary');
    return undefined;
  }
  if (header === undefined && (value !== undefined || pattern !== undefined))
    a.complain("canary-by-header-value", "InvalidAnnotation", "without canary-by-header no header is looked at");
  // as ingress-nginx has it, a total below 100 is 100
  const weightTotal = Math.max(total, 100);
  const progress = parseProgress(a);
  const status = a.get("fairway.dev/canary-status");
  const matchAll = a.get("fairway.dev/canary-match") === "all";
  if (matchAll && header === undefined && cookie === undefined)
    a.complain(
      "fairway.dev/canary-match",
      "InvalidAnnotation",
      "there is neither canary-by-header nor canary-by-cookie; the weight counts for all requests",
    );
  return {
    ...present("header", header),
    ...present("headerValue", value),
    ...present("headerPattern", pattern),
    ...present("cookie", cookie),
    ignoresAffinity: a.get("affinity-canary-behavior") === "legacy",
    matchAll: matchAll && (header !== undefined || cookie !== undefined),
    ...(progress === undefined
      ? { weight: Math.min(weight, weightTotal), weightTotal }
      : { progress, ...present("status", status), weight: progress.rollback ? 0 : (status?.weight ?? 0), weightTotal: 100 }),
  };
}

function parseProgress(a: AnnotationReader): CanaryProgress | undefined {
  const steps = a.get("fairway.dev/canary-steps");
  const progress = {
    intervalSeconds: a.get("fairway.dev/canary-interval") ?? 60,
    successRate: a.get("fairway.dev/canary-success-rate") ?? 0.99,
    ...present("latencySeconds", a.get("fairway.dev/canary-latency")),
    requests: Math.max(1, a.get("fairway.dev/canary-requests") ?? 20),
    pause: a.get("fairway.dev/canary-pause") ?? false,
    rollback: a.get("fairway.dev/canary-rollback") ?? false,
  };
  return steps === undefined ? undefined : { steps, ...progress };
}
