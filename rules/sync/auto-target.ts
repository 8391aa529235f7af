import type { Ip } from "../../src/base/ip.ts";
import type { Problem } from "../../src/snapshot/problem.ts";
import { isApplyError } from "../apply/errors.ts";
import type { Backend } from "../model/backend.ts";
import type { Packet, Verdict } from "../model/packet.ts";
import type { FrontendKey } from "../plan/frontend.ts";
import type { PlanDelta } from "../plan/proxy-plan.ts";
import type { Surroundings } from "../plan/surroundings.ts";
import type { ProxierDeps } from "./config.ts";
import type { AskedAgain } from "./refusals.ts";
import type { CountedPackets } from "./rule-counters.ts";
import type { Applied, Audited, RuleCount, RuleTarget } from "./target.ts";

export interface AutoChoices {
  /** Best first; what the last one says when it cannot be used is final. */
  readonly targets: readonly { readonly backend: Backend; readonly open: () => RuleTarget }[];
  readonly log: ProxierDeps["log"];
}

/** Backend `auto`: the first target that can be started; says once which, and why none before it. */
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
    const reasons: string[] = [];
    for (const [i, { backend, open }] of this.#choices.targets.entries()) {
      let target: RuleTarget | undefined;
      try {
        target = open();
        await target.start(signal);
        this.#chosen = target;
        const because = reasons.length === 0 ? "because it is the first choice and can be had here" : `because ${reasons.join("; ")}`;
        this.#choices.log(reasons.length === 0 ? "info" : "warn", `Service rules: backend ${backend}, ${because}`);
        return;
      } catch (error) {
        await target?.close();
        if (!isApplyError(error) || error.code !== "UNUSABLE" || i === this.#choices.targets.length - 1) throw error;
        reasons.push(`${backend} cannot be used: ${error.message}`);
      }
    }
  }

  change(delta: PlanDelta, surroundings: Surroundings): void {
    this.#target.change(delta, surroundings);
  }

  apply(signal: AbortSignal): Promise<Applied> {
    return this.#target.apply(signal);
  }

  audit(signal: AbortSignal): Promise<Audited> {
    return this.#target.audit(signal);
  }

  watch(listener: () => void): () => void {
    return this.#target.watch(listener);
  }

  problems(): readonly Problem[] {
    return this.#chosen?.problems() ?? [];
  }

  refused(): ReadonlyMap<FrontendKey, Problem> {
    return this.#chosen?.refused() ?? new Map();
  }

  askAgain(): AskedAgain {
    return this.#target.askAgain();
  }

  rules(): readonly RuleCount[] {
    return this.#chosen?.rules?.() ?? [];
  }

  counted(): CountedPackets | undefined {
    return this.#chosen?.counted?.();
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
