import type { BackendFigures } from "../../ingress/index.ts";

export const noFigures: BackendFigures = { requests: 0, failures: 0, within: [] };

/** What the metrics of ingress processes say of one Service (`namespace/name`), whichever Ingress led there. */
export function figuresOf(texts: readonly string[], service: string): BackendFigures {
  const [namespace = "", name = ""] = service.split("/");
  const labels = (line: string): boolean => line.includes(`namespace="${namespace}"`) && line.includes(`service="${name}"`);
  let requests = 0;
  let failures = 0;
  const within = new Map<number, number>();
  for (const line of texts.join("\n").split("\n")) {
    if (!line.startsWith("nginx_ingress_controller_request") || !labels(line)) continue;
    const value = Number(line.slice(line.lastIndexOf(" ") + 1));
    if (line.startsWith("nginx_ingress_controller_requests{")) {
      requests += value;
      if (line.includes('status="5')) failures += value;
    } else if (line.startsWith("nginx_ingress_controller_request_duration_seconds_bucket{")) {
      const bound = /le="([^"]+)"/.exec(line)?.[1] ?? "";
      const seconds = bound === "+Inf" ? Number.POSITIVE_INFINITY : Number(bound);
      within.set(seconds, (within.get(seconds) ?? 0) + value);
    }
  }
  const buckets = [...within].sort(([a], [b]) => a - b).map(([seconds, n]) => ({ seconds, requests: n }));
  return { requests, failures, within: buckets };
}

/** What came since `before`; counters that are lower than they were have begun anew. */
export function figuresSince(before: BackendFigures, now: BackendFigures): BackendFigures {
  if (now.requests < before.requests) return now;
  const earlier = new Map(before.within.map((w) => [w.seconds, w.requests]));
  return {
    requests: now.requests - before.requests,
    failures: Math.max(0, now.failures - before.failures),
    within: now.within.map((w) => ({ seconds: w.seconds, requests: Math.max(0, w.requests - (earlier.get(w.seconds) ?? 0)) })),
  };
}

export function addFigures(a: BackendFigures, b: BackendFigures): BackendFigures {
  const within = new Map(a.within.map((w) => [w.seconds, w.requests]));
  for (const w of b.within) within.set(w.seconds, (within.get(w.seconds) ?? 0) + w.requests);
  return {
    requests: a.requests + b.requests,
    failures: a.failures + b.failures,
    within: [...within].sort(([x], [y]) => x - y).map(([seconds, requests]) => ({ seconds, requests })),
  };
}

/** As JSON between agents: the infinite bound is null there. */
export function printFigures(f: BackendFigures): string {
  return JSON.stringify(f);
}

/** Throws a SyntaxError or TypeError for what is none. */
export function parseFigures(text: string): BackendFigures {
  const f = JSON.parse(text) as { requests: number; failures: number; within: readonly { seconds: number | null; requests: number }[] };
  if (typeof f.requests !== "number" || typeof f.failures !== "number") throw new TypeError("no figures");
  return { ...f, within: f.within.map((w) => ({ seconds: w.seconds ?? Number.POSITIVE_INFINITY, requests: w.requests })) };
}
