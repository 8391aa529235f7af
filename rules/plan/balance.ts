import type { Service } from "../../src/api/types/core-v1.generated.ts";
import { parseIp } from "../../src/base/ip.ts";
import type { Problem } from "../../src/snapshot/problem.ts";
import type { Endpoint } from "../model/endpoint.ts";
import type { BalancePolicy, Frontend } from "./frontend.ts";

/** Annotations of a Service that say how its endpoints share new connections. */
export const balanceAnnotation = "fairway.dev/balance";
export const weightsAnnotation = "fairway.dev/weights";

export const largestWeight = 1000;
const words: Readonly<Record<string, BalancePolicy>> = {
  random: "random",
  weighted: "random",
  "source-hash": "source-hash",
  maglev: "maglev",
  "least-connections": "least-connections",
};

/** How a Service wants its endpoints to share connections. */
export interface BalanceWish {
  readonly policy: BalancePolicy;
  /** By what names an endpoint: `web-0`, `node-1`, `10.0.0.1`, `zone:east`. Undefined: all count the same. */
  readonly weights: ReadonlyMap<string, number> | undefined;
}

const unweighted: BalanceWish = { policy: "random", weights: undefined };

type Refuse = (field: string, reason: string, message: string) => void;

/** What a Service's annotations ask for; what cannot be read is refused as a whole, and connections are spread at random. */
export function balanceWishOf(service: Service, refuse: Refuse): BalanceWish {
  const annotations = service.metadata?.annotations;
  const balance = annotations?.[balanceAnnotation];
  const weights = annotations?.[weightsAnnotation];
  if (balance === undefined && weights === undefined) return unweighted;
  let policy = balance === undefined ? "random" : words[balance.trim()];
  if (policy === undefined) {
    const allowed = Object.keys(words).join(", ");
    refuse(`metadata.annotations[${balanceAnnotation}]`, "BalanceInvalid", `"${balance}" is none of ${allowed}; random is used`);
    policy = "random";
  }
  if (service.spec?.sessionAffinity === "ClientIP" && (policy === "source-hash" || policy === "maglev")) {
    const message = `${policy} has no say where sessionAffinity ClientIP remembers each client's endpoint; a new client's is chosen at random`;
    refuse(`metadata.annotations[${balanceAnnotation}]`, "BalanceUnused", message);
    policy = "random";
  }
  return { policy, weights: weights === undefined ? undefined : parseWeights(weights, refuse) };
}

/** `web-0=3,zone:east=2`; undefined where any part of it is not understood. */
function parseWeights(text: string, refuse: Refuse): ReadonlyMap<string, number> | undefined {
  const found = new Map<string, number>();
  for (const part of text.split(",")) {
    const match = /^\s*(\S+?)\s*=\s*([0-9]{1,4})\s*$/.exec(part);
    const weight = Number(match?.[2]);
    if (match?.[1] === undefined || weight > largestWeight) {
      const allowed = `NAME=WEIGHT,… with weights from 0 to ${largestWeight} and names of endpoints (pod, host name, node, address) or zone:NAME`;
      const message = `"${part.trim()}" is not understood; allowed is ${allowed}; random is used, all endpoints count the same`;
      refuse(`metadata.annotations[${weightsAnnotation}]`, "WeightsInvalid", message);
      return undefined;
    }
    found.set(parseIp(match[1]) ?? match[1], weight);
  }
  return found;
}

/** What an endpoint is given by the first of its names that has a weight: address, pod, host name, node, zone. Default 1. */
export function weightOf(endpoint: Endpoint, weights: ReadonlyMap<string, number>): number {
  for (const name of [endpoint.ip, ...(endpoint.names ?? [])]) {
    const weight = weights.get(name);
    if (weight !== undefined) return weight;
  }
  return 1;
}

/**
 * What to tell a Service whose policy a backend does not have; undefined where it has it. `instead`: what the backend does.
 */
export function balanceProblem(
  frontend: Frontend,
  backend: string,
  has: readonly BalancePolicy[],
  instead: BalancePolicy,
): Problem | undefined {
  const { action, owner } = frontend;
  const policy = action.kind === "balance" ? (action.pool.balance ?? "random") : "random";
  if (has.includes(policy)) return undefined;
  return {
    object: { kind: "Service", namespace: owner.namespace, name: owner.name },
    field: `metadata.annotations[${balanceAnnotation}]`,
    reason: "BalanceUnsupported",
    message: `the ${backend} backend cannot balance by ${policy}; ${instead} is used instead`,
  };
}
