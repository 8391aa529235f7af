import type { Clock } from "../base/clock.ts";
import type { Running } from "../base/running.ts";
import { startLeaderElection } from "../client/leader-election.ts";
import type { Transport } from "../client/transport.ts";
import type { Log } from "../observe/log.ts";

/** What a supervisor that ends asks its agent, and what that answers when it is this node's turn. */
export const leave = "leave";
export const mayLeave = "may-leave";

/** Who has the Lease and was killed is not waited for longer. Seconds. */
const leaseSeconds = 6;
const retrySeconds = 0.5;

export interface LeaveTurnConfig {
  readonly transport: Transport;
  /** Unique among the nodes. */
  readonly identity: string;
}

/**
 * A node's turn to take its DNS out of service: `ready` settles when no other has it, and closing gives it on. The Lease
 * kube-system/fairway-dns-leaving is the only thing nodes share for it; where it cannot be had, nobody is kept from leaving.
 */
export function startLeaveTurn(
  { transport, identity }: LeaveTurnConfig,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Running {
  const turn = Promise.withResolvers<void>();
  const lead = (): Running => {
    turn.resolve();
    return { ready: Promise.resolve(), close: () => Promise.resolve() };
  };
  const onFailure = (error: unknown): void => {
    log("warn", "DNS leaves without a turn: the Lease kube-system/fairway-dns-leaving cannot be had", { error: String(error) });
    turn.resolve();
  };
  const election = startLeaderElection(
    { transport, namespace: "kube-system", name: "fairway-dns-leaving", identity, leaseSeconds, retrySeconds, lead, onFailure },
    { clock },
  );
  return { ready: turn.promise, close: () => election.close() };
}
