import type { Clock } from "../../src/base/clock.ts";
import type { Ip } from "../../src/base/ip.ts";
import type { Frontend, FrontendKey } from "../plan/frontend.ts";
import type { ChangedFrontends } from "../plan/proxy-plan.ts";
import type { ProxierMetrics } from "./metrics.ts";
import { type FlowTable, StaleUdp } from "./stale-udp.ts";

/** The kernel looks through its whole table for stale flows: for so many times as long it is left alone, now and then later. */
const restsPerLook = 20;
const restAhead = 2_000;
/** A table that could not be read is read again after this long. */
const restAfterFailure = 250;

export interface FlowEndingDeps {
  readonly clock: Clock;
  readonly metrics: Pick<ProxierMetrics, "flowsLookedFor">;
  readonly frontend: (key: FrontendKey) => Frontend | undefined;
  readonly isNodePortIp: (ip: Ip) => boolean;
}

/** Ends stale UDP flows, as often as what the kernel spends on finding them allows. */
export class FlowEnding {
  readonly #deps: FlowEndingDeps;
  #udp = new StaleUdp(undefined);
  /** Flows ended since somebody asked. */
  #ended = 0;
  #restUntil = 0;

  constructor(deps: FlowEndingDeps) {
    this.#deps = deps;
  }

  /** From now on flows are ended, in this table. */
  open(table: FlowTable | undefined): void {
    this.#udp = new StaleUdp(table);
  }

  notice(delta: ChangedFrontends): void {
    this.#udp.notice(delta);
  }

  /** Once the rules are in, or a client could make the flow anew to the endpoint that is gone. */
  end(): void {
    const { clock, metrics, frontend, isNodePortIp } = this.#deps;
    if (!this.#udp.due) return;
    const started = clock.monotonic();
    if (started < this.#restUntil - restAhead) return;
    let looked = started;
    this.#ended += this.#udp.end(frontend, isNodePortIp, (family, ended) => {
      const now = clock.monotonic();
      metrics.flowsLookedFor(family, { ended, tookMs: now - looked });
      looked = now;
    });
    const now = clock.monotonic();
    const more = this.#udp.due ? restAfterFailure + restAhead : 0;
    this.#restUntil = Math.max(now, this.#restUntil) + restsPerLook * (now - started) + more;
  }

  /** How many flows were ended since this was asked last. */
  takeEnded(): number {
    const ended = this.#ended;
    this.#ended = 0;
    return ended;
  }

  /** How long until flows are to be ended that could not be now; undefined: there are none. */
  due(): number | undefined {
    return this.#udp.due ? Math.max(1, this.#restUntil - restAhead - this.#deps.clock.monotonic()) : undefined;
  }

  close(): void {
    this.#udp.close();
  }
}
