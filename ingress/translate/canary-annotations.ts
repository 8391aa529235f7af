import type { AnnotationReader } from "./annotation-reader.ts";
import { present } from "./annotation-values.ts";

export interface Canary {
  /** Lower case. */
  readonly header?: string;
  readonly headerValue?: string;
  readonly headerPattern?: string;
  readonly cookie?: string;
  /** Of requests bound to an endpoint by a cookie the weight counts all the same. */
  readonly ignoresAffinity: boolean;
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
  return {
    ...present("header", header),
    ...present("headerValue", value),
    ...present("headerPattern", pattern),
    ...present("cookie", cookie),
    ignoresAffinity: a.get("affinity-canary-behavior") === "legacy",
    weight: Math.min(weight, weightTotal),
    weightTotal,
  };
}
