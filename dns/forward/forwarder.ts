import type { SecureContextOptions } from "node:tls";
import type { Clock } from "../../src/base/clock.ts";
import type { Ip } from "../../src/base/ip.ts";
import type { Running } from "../../src/base/running.ts";
import type { Message } from "../wire/message.ts";
import type { ResourceRecord } from "../wire/record.ts";
import { classIn, rcodes, typeNumbers } from "../wire/record-type.ts";
import { UpstreamError } from "./errors.ts";
import { Upstream, type UpstreamAddress } from "./upstream.ts";

/** In which order healthy upstreams are tried. */
export type ForwardPolicy = "random" | "round_robin" | "sequential";

export interface ForwardConfig {
  readonly upstreams: readonly UpstreamAddress[];
  /** Default random. */
  readonly policy?: ForwardPolicy;
  /** Milliseconds for one try; default 2000. */
  readonly tryTimeout?: number;
  /** Milliseconds for all tries of a question; default 5000. */
  readonly timeout?: number;
  /** Milliseconds an idle connection is kept; default 10000. */
  readonly expire?: number;
  /** Milliseconds after which a connection is replaced, however busy; 0: never. Default 0. */
  readonly maxAge?: number;
  /** Where questions come from, where an upstream is of its family; default the system's choice. */
  readonly source?: Ip;
  /** Certificates for encrypted upstreams, PEM. */
  readonly tls?: SecureContextOptions;
  /** Codes after which another server is asked. Default none. */
  readonly failover?: readonly number[];
  /** While all servers are down nobody is asked; else one of them is, all the same. */
  readonly failFast?: boolean;
  /** The question's letters are sent in random case, and the answer must have it: more for a forger to guess. Default no. */
  readonly randomCase?: boolean;
  /** What a server that failed is asked until it answers; default the root's name servers, without recursion. */
  readonly check?: { readonly domain: string; readonly recursionDesired: boolean };
  /** Failures in a row after which a server is passed over, 0: never; default 2. */
  readonly maxFails?: number;
  /** Milliseconds between looks at a server that is passed over; default 500. */
  readonly checkInterval?: number;
  /** Questions on their way at once, 0: any number; more are refused. Default 1000. */
  readonly maxConcurrent?: number;
  /** Tries of one question, 0: each server twice. Default 0. */
  readonly maxAttempts?: number;
  /** How encrypted upstreams of DNS over HTTPS are asked; default POST. */
  readonly dohMethod?: "GET" | "POST";
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
    this.#upstreams = config.upstreams.map(
      (address) =>
        new Upstream(address, {
          tryTimeout: config.tryTimeout ?? 2000,
          letters: config.randomCase === true ? "same" : "any",
          random: deps.random,
          ...(config.expire === undefined ? {} : { expire: config.expire }),
          ...(config.maxAge === undefined ? {} : { maxAge: config.maxAge }),
          ...(config.source === undefined ? {} : { source: config.source }),
          ...(config.tls === undefined ? {} : { tls: config.tls }),
          ...(config.dohMethod === undefined ? {} : { dohMethod: config.dohMethod }),
        }),
    );
  }

  /** The answer of the first server that gives one, with the id of `query`. Throws an UpstreamError when none does. */
  ask(query: Message, signal: AbortSignal): Promise<Message | "too-many"> {
    if (this.#active >= (this.#config.maxConcurrent || (this.#config.maxConcurrent === 0 ? Number.POSITIVE_INFINITY : 1000))) {
      this.#deps.observe.rejected();
      return Promise.resolve("too-many");
    }
    return this.#askInTurn(query, signal);
  }

  async close(): Promise<void> {
    this.#closing.abort(new UpstreamError("closed", "all"));
    for (const upstream of this.#upstreams) upstream.close();
    await Promise.all(this.#checks.values());
  }

  async #askInTurn(query: Message, signal: AbortSignal): Promise<Message> {
    const { clock, observe } = this.#deps;
    const deadline = clock.monotonic() + (this.#config.timeout ?? 5000);
    let lastAnswer: Message | undefined;
    let failure: unknown;
    this.#active++;
    try {
      // none while all are down: to wait for servers known to be down would cost clients seconds for each name they try
      for (const upstream of this.#order()) {
        if (clock.monotonic() >= deadline) break;
        const started = clock.monotonic();
        const sent = this.#disguise(query);
        try {
          const answer = await upstream.ask(sent, this.#transport, signal);
          observe.answered(upstream.name, answer.rcode, clock.monotonic() - started);
          lastAnswer = undisguise(answer, query, sent);
          if (this.#config.failover?.includes(answer.rcode) !== true) return lastAnswer;
        } catch (error) {
          if (signal.aborted || this.#closing.signal.aborted) throw error;
          failure = error;
          observe.failed(upstream.name);
          if (this.#isDown(upstream)) this.#check(upstream);
        }
      }
      if (lastAnswer !== undefined) return lastAnswer;
      throw failure ?? new UpstreamError("unreachable", this.#upstreams.map((u) => u.name).join(", ") || "none is configured");
    } finally {
      this.#active--;
    }
  }

  /** Another id, and letters in another case: what a forger must guess. */
  #disguise(query: Message): Message {
    const { random } = this.#deps;
    const sent = { ...query, id: Math.floor(random() * 0x10000) };
    if (this.#config.randomCase !== true) return sent;
    const mixed = (name: string): string => name.replace(/[a-zA-Z]/g, (c) => (random() < 0.5 ? c.toLowerCase() : c.toUpperCase()));
    return { ...sent, questions: sent.questions.map((q) => ({ ...q, name: mixed(q.name) })) };
  }

  /** Healthy ones by policy, each twice so that one lost packet is not the end. */
  #order(): readonly Upstream[] {
    const healthy = this.#upstreams.filter((u) => !this.#isDown(u));
    const list = healthy.length > 0 ? healthy : this.#anyone();
    if (list.length === 1 && list === healthy) return [...list, ...list];
    const policy = this.#config.policy ?? "random";
    const first =
      policy === "sequential"
        ? 0
        : policy === "random"
          ? Math.floor(this.#deps.random() * list.length)
          : this.#turn++ % Math.max(1, list.length);
    const ordered = [...list.slice(first), ...list.slice(0, first)];
    const all = healthy.length > 0 ? [...ordered, ...ordered] : ordered;
    return all.slice(0, this.#config.maxAttempts || all.length);
  }

  /** While all are down: one, in case the checks are wrong; or nobody. */
  #anyone(): readonly Upstream[] {
    if (this.#upstreams.length > 0) this.#deps.observe.allDown();
    if (this.#config.failFast === true) return [];
    return this.#upstreams.slice(0, 1).map((first) => this.#upstreams[Math.floor(this.#deps.random() * this.#upstreams.length)] ?? first);
  }

  get #transport(): "udp" | "tcp" {
    return this.#config.forceTcp === true ? "tcp" : "udp";
  }

  #isDown(upstream: Upstream): boolean {
    const most = this.#config.maxFails ?? 2;
    return most > 0 && upstream.failures >= most;
  }

  /** Asks a server that failed until it says anything at all. */
  #check(upstream: Upstream): void {
    if (this.#checks.has(upstream)) return;
    const { clock, observe, random } = this.#deps;
    const { signal } = this.#closing;
    const loop = async (): Promise<void> => {
      while (!signal.aborted && this.#isDown(upstream)) {
        try {
          await clock.sleep(this.#config.checkInterval ?? 500, signal);
          await upstream.ask(checkQuestion(Math.floor(random() * 0x10000), this.#config.check), this.#transport, signal);
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

/** With the id, the names and the letters of `query`. */
function undisguise(answer: Message, query: Message, sent: Message): Message {
  const asked = sent.questions[0]?.name;
  const own = query.questions[0]?.name;
  if (asked === own || asked === undefined || own === undefined) return { ...answer, id: query.id };
  const restored = (records: readonly ResourceRecord[]): readonly ResourceRecord[] =>
    records.map((r) => (r.name === asked ? { ...r, name: own } : r));
  return { ...answer, id: query.id, questions: query.questions, answers: restored(answer.answers), authority: restored(answer.authority) };
}

function checkQuestion(id: number, check: ForwardConfig["check"] = { domain: ".", recursionDesired: false }): Message {
  return {
    id,
    isResponse: false,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: check.recursionDesired,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: false,
    rcode: rcodes.NOERROR,
    questions: [{ name: check.domain, type: typeNumbers.NS, class: classIn }],
    answers: [],
    authority: [],
    additional: [],
  };
}
