import type { Clock } from "../../src/base/clock.ts";
import type { Ip } from "../../src/base/ip.ts";
import type { Batch } from "../../src/snapshot/cluster-snapshot.ts";
import type { Backend } from "../model/backend.ts";
import type { NodeView } from "../model/node-view.ts";
import type { Surroundings } from "../plan/surroundings.ts";
import type { RuleOptions } from "./config.ts";
import { readMachineIps, surroundingsOf } from "./surroundings.ts";

/** Addresses of this machine's links come and go without a change of an object; a change looks at them this often at most. */
const linksInterval = 5_000;

/** What is around the rules, as of the last look. */
export class SurroundingsView {
  readonly #options: RuleOptions;
  readonly #clock: Clock;
  #found: Surroundings | undefined;
  #lookedAt = 0;

  constructor(options: RuleOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  get nodePortIps(): readonly Ip[] {
    return this.#found?.nodePortIps ?? [];
  }

  readonly isNodePortIp = (ip: Ip): boolean =>
    this.nodePortIps.includes(ip) || this.nodePortIps.includes("0.0.0.0") || this.nodePortIps.includes("::");

  /** The same value while it is the same. */
  look(batch: Batch, node: NodeView, backend: Backend): Surroundings {
    const now = this.#clock.monotonic();
    const asked = batch.dirty.has("Node") || batch.dirty.has("ServiceCIDR") || now - this.#lookedAt > linksInterval;
    if (this.#found !== undefined && !asked) return this.#found;
    this.#lookedAt = now;
    const found = surroundingsOf(batch.after, node, { ...this.#options, backend }, readMachineIps);
    if (this.#found === undefined || JSON.stringify(found) !== JSON.stringify(this.#found)) this.#found = found;
    return this.#found;
  }
}
