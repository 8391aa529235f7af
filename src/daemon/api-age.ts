import type { Clock } from "../base/clock.ts";
import { ApiError } from "../client/errors.ts";

/** How old what is known of the API is while the API is away. */
export class ApiAge {
  readonly #clock: Clock;
  #heard: number;
  #isAway = false;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#heard = clock.monotonic();
  }

  heard(): void {
    this.#heard = this.#clock.monotonic();
    this.#isAway = false;
  }

  /** A list or watch came to nothing. One that the API itself refused is a sign of its life. */
  failed(error: unknown): void {
    if (!(error instanceof ApiError)) this.#isAway = true;
  }

  /** Seconds since the API was last heard; 0 while it answers, however little there is to tell. */
  get seconds(): number {
    return this.#isAway ? (this.#clock.monotonic() - this.#heard) / 1000 : 0;
  }

  metrics(): string {
    return [
      "# HELP fairway_api_stale_seconds Since when the API is away: rules, names and routes are as of then. 0 while it answers.",
      "# TYPE fairway_api_stale_seconds gauge",
      `fairway_api_stale_seconds ${this.seconds}`,
      "",
    ].join("\n");
  }
}
