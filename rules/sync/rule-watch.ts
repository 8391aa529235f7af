import type { ForeignEyes } from "../../src/kernel/iptables-watch.ts";
import { isApplyError } from "../apply/errors.ts";

export interface RuleWatchOptions {
  /** Sees others' changes of rules. Absent: the canaries have to tell. */
  readonly eyes?: ForeignEyes | undefined;
  /** Looks for the canaries; true where there is nothing to miss yet. Throws ApplyError. */
  intact(signal: AbortSignal): Promise<boolean>;
  /** How often the canaries are looked for, without eyes; default 10 s. */
  readonly canaryIntervalMs?: number | undefined;
  /** How much of what the eyes tally is of our own changes so far. */
  tally(): number;
}

const defaultCanaryInterval = 10_000;
const eyesInterval = 250;

/** Tells when somebody else changed the rules of iptables: by what the kernel tells of them, else by chains that are gone. */
export class RuleWatch {
  readonly #options: RuleWatchOptions;
  #changing = false;
  /** The eyes were once told that all is as it should be. */
  #settled = false;
  /** Around a change of our own somebody else made one too: what was seen of it cannot be told apart. */
  #mixed = false;
  /** When the last comparison ended, and how long it took, in ms. */
  #compared = { at: 0, tookMs: 0 };

  constructor(options: RuleWatchOptions) {
    this.#options = options;
  }

  /** Whether anything was changed since the rules were last as they should be; undefined: nobody sees. */
  changed(): boolean | undefined {
    const { eyes } = this.#options;
    return eyes === undefined ? undefined : this.#mixed || eyes.changed();
  }

  /** A change of our own: what is seen until it ends is none of others, unless there were more changes than ours. */
  async changing<T>(work: () => Promise<T>): Promise<T> {
    const { eyes, tally } = this.#options;
    const foreign = (): number | undefined => (eyes === undefined ? undefined : eyes.tally() - tally());
    // what was seen just now would be taken for ours
    if (this.#settled && eyes?.changed() === true) this.#mixed = true;
    this.#changing = true;
    const before = foreign();
    try {
      const done = await work();
      eyes?.settle();
      this.#settled = true;
      if (foreign() !== before) this.#mixed = true;
      return done;
    } finally {
      this.#changing = false;
    }
  }

  /** A comparison with what there is; what is changed from its start on is seen anew. */
  async comparing<T>(work: () => Promise<T>): Promise<T> {
    this.#options.eyes?.settle();
    this.#settled = true;
    this.#mixed = false;
    const started = performance.now();
    const found = await work();
    const ended = performance.now();
    this.#compared = { at: ended, tookMs: ended - started };
    return found;
  }

  /** Calls `listener` whenever somebody else changed the rules, until the function that is returned is called. */
  watch(listener: () => void): () => void {
    const { eyes } = this.#options;
    return eyes === undefined ? this.#watchCanaries(listener) : this.#watchBy(listener);
  }

  close(): void {
    this.#options.eyes?.close();
  }

  #watchBy(listener: () => void): () => void {
    const timer = setInterval(() => {
      const { at, tookMs } = this.#compared;
      // where others change their own rules without pause, comparing takes a tenth of the time at most
      if (!this.#changing && performance.now() - at > 10 * tookMs && this.changed() === true) listener();
    }, eyesInterval);
    timer.unref();
    return () => clearInterval(timer);
  }

  #watchCanaries(listener: () => void): () => void {
    const stop = new AbortController();
    let looking = false;
    const look = async (): Promise<void> => {
      if (looking) return;
      looking = true;
      try {
        if (!(await this.#options.intact(stop.signal))) listener();
      } catch (error) {
        // told by the next change or audit; a look that failed is no finding
        if (!stop.signal.aborted && !isApplyError(error)) throw error;
      } finally {
        looking = false;
      }
    };
    const timer = setInterval(() => void look(), this.#options.canaryIntervalMs ?? defaultCanaryInterval);
    timer.unref();
    return () => {
      clearInterval(timer);
      stop.abort(new Error("closed"));
    };
  }
}
