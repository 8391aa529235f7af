import { quantityNanos } from "./quantity.ts";
import type { Container, PodSpec } from "./types/core-v1.generated.ts";

/** Amounts by resource name: cpu in thousandths, all others in whole units, rounded up. */
export type Amounts = ReadonlyMap<string, number>;

const known = new WeakMap<object, Amounts>();
const none: Amounts = new Map();

export function amountsOf(list: Readonly<Record<string, string>> | undefined): Amounts {
  if (list === undefined) return none;
  let amounts = known.get(list);
  if (amounts === undefined) {
    amounts = new Map(Object.entries(list).map(([name, text]) => [name, amountOf(name, text)]));
    known.set(list, amounts);
  }
  return amounts;
}

function amountOf(name: string, text: string): number {
  const unit = name === "cpu" ? 1_000_000n : 1_000_000_000n;
  const nanos = quantityNanos(String(text)) ?? 0n;
  return Number((nanos + unit - 1n) / unit);
}

/**
 * What a pod asks for: the sum of its containers and sidecars, or what an init container needs beside the sidecars
 * started before it, whichever is more; and its overhead.
 */
export function podRequests(spec: PodSpec | undefined): Amounts {
  if (spec === undefined) return none;
  const cached = known.get(spec);
  if (cached !== undefined) return cached;
  const sum = new Map<string, number>();
  for (const c of spec.containers ?? []) add(sum, requestsOf(c));
  const sidecars = new Map<string, number>();
  const peak = new Map<string, number>();
  for (const c of spec.initContainers ?? []) {
    if (c.restartPolicy === "Always") {
      add(sidecars, requestsOf(c));
      raise(peak, sidecars);
    } else raise(peak, plus(sidecars, requestsOf(c)));
  }
  add(sum, sidecars);
  raise(sum, peak);
  add(sum, amountsOf(spec.overhead));
  known.set(spec, sum);
  return sum;
}

/** A limit without a request is the request. */
function requestsOf(c: Container): Amounts {
  const { requests, limits } = c.resources ?? {};
  if (limits === undefined) return amountsOf(requests);
  return new Map([...amountsOf(limits), ...amountsOf(requests)]);
}

export function add(into: Map<string, number>, amounts: Amounts): void {
  for (const [name, n] of amounts) into.set(name, (into.get(name) ?? 0) + n);
}

function plus(a: Amounts, b: Amounts): Amounts {
  const sum = new Map(a);
  add(sum, b);
  return sum;
}

function raise(into: Map<string, number>, amounts: Amounts): void {
  for (const [name, n] of amounts) if (n > (into.get(name) ?? 0)) into.set(name, n);
}
