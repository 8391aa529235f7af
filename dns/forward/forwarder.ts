import type { Clock } from "../../src/base/clock.ts";
import type { Running } from "../../src/base/running.ts";
import type { Message } from "../wire/message.ts";
import { classIn, rcodes, typeNumbers } from "../wire/record-type.ts";
import { UpstreamError } from "./errors.ts";
import { Upstream, type UpstreamAddress } from "./upstream.ts";

/** In which order healthy upstreams are tried. */
export type ForwardPolicy = "random" | "round-robin" | "sequential";

export interface ForwardConfig {
  readonly upstreams: readonly UpstreamAddress[];
  /** Default random. */
  readonly policy?: ForwardPolicy;
  /** Milliseconds for one try; default 2000. */
  readonly tryTimeout?: number;
  /** Milliseconds for all tries of a question; default 5000. */
  readonly timeout?: number;
  /** Failures in a row after which a server is passed over; default 2. */
  readonly maxFails?: number;
  /** Milliseconds between looks at a server that is passed over; default 500. */
  readonly checkInterval?: number;
  /** Questions on their way at once; more are refused. Default 1000. */
  readonly maxConcurrent?: number;
  /** Always TCP: for node-local servers, whose UDP to upstreams would fill conntrack. */
  readonly forceTcp?: true;
}

/** What happened at an upstream, for metrics. */
export interface ForwardObserver {
  readonly answered: (upstream: string, rcode: number, milliseconds: number) => void;
  readonly failed: (upstream: string) => void;
  readonly checkFailed: (upstream: string) => void;
  readonly allDown: () => void;
  readonly rejected: () => void;
}

export interface ForwardDeps {
  readonly clock: Clock;
  /** In [0, 1); ids and the choice of servers must not be guessed. */
  readonly random: () => number;
  readonly observe: ForwardObserver;
}

/** Asks other servers. */
export class Forwarder implements Running {
  readonly ready: Promise<void> = Promise.resolve();
  readonly #config: ForwardConfig;
  readonly #deps: ForwardDeps;
  readonly #upstreams: readonly Upstream[];
  readonly #closing = new AbortController();
  readonly #checks = new Map<Upstream, Promise<void>>();
  #active = 0;
  #turn = 0;

  constructor(config: ForwardConfig, deps: ForwardDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#upstreams = config.upstreams.map((address) => new Upstream(address, config.tryTimeout ?? 2000));
  }

  /** The answer of the first server that gives one, with the id of `query`. Throws an UpstreamError when none does. */
  async ask(query: Message, signal: AbortSignal): Promise<Message | "too-many"> {
    if (this.#active >= (this.#config.maxConcurrent ?? 1000)) {
      this.#deps.observe.rejected();
      return "too-many";
    }
    this.#active++;
    try {
      return await this.#askInTurn(query, AbortSignal.any([signal, this.#closing.signal]));
    } finally {
      this.#active--;
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(new UpstreamError("closed", "all"));
    for (const upstream of this.#upstreams) upstream.close();
    await Promise.all(this.#checks.values());
  }

  async #askInTurn(query: Message, signal: AbortSignal): Promise<Message> {
    const { clock, observe } = this.#deps;
    const deadline = clock.monotonic() + (this.#config.timeout ?? 5000);
    let failure: unknown = new UpstreamError("unreachable", this.#upstreams.map((u) => u.name).join(", ") || "none is configured");
    // none while all are down: to wait for servers known to be down would cost clients seconds for each name they try
    for (const upstream of this.#order()) {
      if (clock.monotonic() >= deadline) break;
      const started = clock.monotonic();
      const sent = { ...query, id: Math.floor(this.#deps.random() * 0x10000) };
      try {
        const answer = await upstream.ask(sent, this.#config.forceTcp === true ? "tcp" : "udp", signal);
        observe.answered(upstream.name, answer.rcode, clock.monotonic() - started);
        return { ...answer, id: query.id };
      } catch (error) {
        if (signal.aborted) throw error;
        failure = error;
        observe.failed(upstream.name);
        if (this.#isDown(upstream)) this.#check(upstream);
      }
    }
    throw failure;
  }

  /** Healthy ones by policy, each twice so that one lost packet is not the end; none while all are down: the checks go on. */
  #order(): readonly Upstream[] {
    const healthy = this.#upstreams.filter((u) => !this.#isDown(u));
    if (healthy.length === 0 && this.#upstreams.length > 0) this.#deps.observe.allDown();
    const list = healthy;
    const policy = this.#config.policy ?? "random";
    const first =
      policy === "sequential"
        ? 0
        : policy === "random"
          ? Math.floor(this.#deps.random() * list.length)
          : this.#turn++ % Math.max(1, list.length);
    const ordered = [...list.slice(first), ...list.slice(0, first)];
    return [...ordered, ...ordered];
  }

  #isDown(upstream: Upstream): boolean {
    return upstream.failures >= (this.#config.maxFails ?? 2);
  }

  /** Asks a server that failed for the root's name servers until it says anything at all. */
  #check(upstream: Upstream): void {
    if (this.#checks.has(upstream)) return;
    const { clock, observe, random } = this.#deps;
    const { signal } = this.#closing;
    const loop = async (): Promise<void> => {
      while (!signal.aborted && this.#isDown(upstream)) {
        try {
          await clock.sleep(this.#config.checkInterval ?? 500, signal);
          await upstream.ask(rootQuestion(Math.floor(random() * 0x10000)), "udp", signal);
        } catch {
          if (!signal.aborted) observe.checkFailed(upstream.name);
        }
      }
    };
    this.#checks.set(
      upstream,
      loop().finally(() => this.#checks.delete(upstream)),
    );
  }
}

function rootQuestion(id: number): Message {
  return {
    id,
    isResponse: false,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: false,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: false,
    rcode: rcodes.NOERROR,
    questions: [{ name: ".", type: typeNumbers.NS, class: classIn }],
    answers: [],
    authority: [],
    additional: [],
  };
}
