import type { Ip } from "../../src/base/ip.ts";
import type { Problem } from "../../src/snapshot/problem.ts";
import { isApplyError } from "../apply/errors.ts";
import type { Packet, Verdict } from "../model/packet.ts";
import type { PlanDelta } from "../plan/proxy-plan.ts";
import type { Surroundings } from "../plan/surroundings.ts";
import type { Backend, ProxierDeps } from "./config.ts";
import type { Applied, RuleTarget } from "./target.ts";

export interface AutoChoices {
  readonly preferred: () => RuleTarget;
  readonly fallback: () => RuleTarget;
  readonly log: ProxierDeps["log"];
}

/** Backend `auto`: the preferred target where it can be started, else the fallback; says once which, and why. */
export class AutoTarget implements RuleTarget {
  readonly #choices: AutoChoices;
  #chosen: RuleTarget | undefined;

  constructor(choices: AutoChoices) {
    this.#choices = choices;
  }

  get backend(): Backend {
    return this.#target.backend;
  }

  async start(signal: AbortSignal): Promise<void> {
    let preferred: RuleTarget | undefined;
    try {
      preferred = this.#choices.preferred();
      await preferred.start(signal);
      this.#chosen = preferred;
      this.#choices.log("info", "Service rules: backend nftables");
    } catch (error) {
      if (!isApplyError(error) || error.code !== "UNUSABLE") throw error;
      await preferred?.close();
      this.#choices.log("warn", `Service rules: backend userspace, because nftables cannot be used: ${error.message}`);
      this.#chosen = this.#choices.fallback();
      await this.#chosen.start(signal);
    }
  }

  change(delta: PlanDelta, surroundings: Surroundings): void {
    this.#target.change(delta, surroundings);
  }

  apply(signal: AbortSignal): Promise<Applied> {
    return this.#target.apply(signal);
  }

  audit(signal: AbortSignal): Promise<{ readonly repaired: boolean }> {
    return this.#target.audit(signal);
  }

  watch(listener: () => void): () => void {
    return this.#target.watch(listener);
  }

  problems(): readonly Problem[] {
    return this.#chosen?.problems() ?? [];
  }

  trace(packet: Packet, localIps: readonly Ip[]): Verdict {
    return this.#target.trace(packet, localIps);
  }

  async close(): Promise<void> {
    await this.#chosen?.close();
  }

  get #target(): RuleTarget {
    if (this.#chosen === undefined) throw new Error("not started");
    return this.#chosen;
  }
}
