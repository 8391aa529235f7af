import type { Clock } from "../../src/base/clock.ts";
import { PasswordChecks } from "../filter/basic-auth.ts";
import { SealedNonces } from "../filter/digest-nonces.ts";
import { noLimits, noSharedLimits } from "../filter/limits.ts";
import type { FilterWorld, Limits, SharedLimits } from "../filter/outcome.ts";
import { Authorities } from "./authorities.ts";
import { PublishedKeys } from "./key-sets.ts";
import type { Subrequests } from "./subrequest.ts";

export interface FilterWorldDeps {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: (message: string) => void;
  readonly subrequests: Subrequests;
  readonly limits: Limits;
  readonly shared: SharedLimits;
}

/** Bytes of a JWK Set. */
const keyBytes = 256 * 1024;

/** What the filters of one process share. */
export function processWorld({ clock, random, log, subrequests, limits, shared }: FilterWorldDeps): FilterWorld {
  return {
    limits,
    shared,
    passwords: new PasswordChecks(),
    nonces: new SealedNonces(random),
    authority: new Authorities({ clock, subrequests, log }),
    keySets: new PublishedKeys({
      clock,
      log,
      get: async (url, pool) => {
        const headers = [{ name: "accept", value: "application/json" }];
        const answer = await subrequests.send({
          method: "GET",
          url,
          headers,
          bodyBytes: keyBytes,
          ...(pool === undefined ? {} : { pool }),
        });
        if (answer.status !== 200) throw new Error(`its server said ${answer.status}`);
        return answer.body.toString("utf8");
      },
    }),
    time: () => clock.now(),
  };
}

/** For questions: nothing is counted, and nobody else is asked: what would be forwarded if they agree. */
export function questionWorld(clock: Clock): FilterWorld {
  return {
    limits: noLimits,
    shared: noSharedLimits,
    passwords: new PasswordChecks(),
    nonces: new SealedNonces(() => 0),
    keySets: { of: async () => undefined },
    authority: { ask: async () => ({ status: 200, headers: [] }) },
    time: () => clock.now(),
  };
}
