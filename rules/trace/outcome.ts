import { type Ip, printHostPort } from "../../src/base/ip.ts";
import { compareEndpoints } from "../model/endpoint.ts";
import type { TraceStep, Verdict } from "../model/packet.ts";
import { printServicePort } from "../model/service-port.ts";
import type { Frontend } from "../plan/frontend.ts";

/** What a backend's program did with a packet. */
export interface Outcome {
  readonly outcome: "translated" | "reject" | "drop" | "accept" | "untracked";
  readonly endpoints: readonly { readonly ip: Ip; readonly port: number; readonly masquerade: boolean }[];
}

/** Nobody's rule decided. */
export function passes(o: Outcome): boolean {
  return o.outcome === "accept" || o.outcome === "untracked";
}

/** `owner`: whose rule it was, where one decided. */
export function verdictOf(o: Outcome, owner: Frontend | undefined, steps: readonly TraceStep[]): Verdict {
  if (passes(o)) return { verdict: "pass", endpoints: [], masquerade: false, service: null, affinitySeconds: null, steps };
  return {
    verdict: o.outcome === "translated" ? "deliver" : o.outcome === "reject" ? "reject" : "drop",
    endpoints: [...o.endpoints].sort(compareEndpoints).map((e) => printHostPort(e.ip, e.port)),
    masquerade: o.endpoints.some((e) => e.masquerade),
    service: owner === undefined ? null : printServicePort(owner.owner),
    affinitySeconds: owner?.action.kind === "balance" ? (owner.action.affinitySeconds ?? null) : null,
    steps,
  };
}
