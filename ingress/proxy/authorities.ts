import type { Clock } from "../../src/base/clock.ts";
import type { Authority, AuthorityQuestion, Verdict } from "../filter/outcome.ts";
import type { Subrequests } from "./subrequest.ts";

export interface AuthoritiesDeps {
  readonly clock: Clock;
  readonly subrequests: Subrequests;
  readonly log: (message: string) => void;
}

const unreachable: Verdict = { status: 500, headers: [] };
const maxRemembered = 10_000;

/** Asks the servers that `auth-url` names, and remembers what they said where that is asked for. */
export class Authorities implements Authority {
  readonly #deps: AuthoritiesDeps;
  /** In the order in which they came, so that the oldest make room. */
  readonly #remembered = new Map<string, { readonly verdict: Verdict; readonly until: number }>();
  /** Questions under way, by key: the same is asked once. */
  readonly #asking = new Map<string, Promise<Verdict>>();

  constructor(deps: AuthoritiesDeps) {
    this.#deps = deps;
  }

  async ask(question: AuthorityQuestion): Promise<Verdict> {
    const { cache } = question;
    // an empty key would be one that all clients share who lack what it is made of
    if (cache === undefined || cache.key === "") return this.#send(question);
    const key = JSON.stringify([question.url, cache.key]);
    const known = this.#remembered.get(key);
    if (known !== undefined && known.until > this.#deps.clock.monotonic()) return known.verdict;
    const underWay = this.#asking.get(key);
    if (underWay !== undefined) {
      const verdict = await underWay;
      // what may not be remembered is no one else's answer
      if (isShared(verdict)) return verdict;
      return this.#send(question);
    }
    const asked = this.#send(question);
    this.#asking.set(key, asked);
    const verdict = await asked;
    this.#asking.delete(key);
    this.#remember(key, verdict, cache.seconds[verdict.status] ?? 0);
    return verdict;
  }

  #remember(key: string, verdict: Verdict, seconds: number): void {
    this.#remembered.delete(key);
    if (seconds <= 0 || !isShared(verdict)) return;
    for (const oldest of this.#remembered.keys()) {
      if (this.#remembered.size < maxRemembered) break;
      this.#remembered.delete(oldest);
    }
    this.#remembered.set(key, { verdict, until: this.#deps.clock.monotonic() + seconds * 1000 });
  }

  async #send(question: AuthorityQuestion): Promise<Verdict> {
    try {
      return await this.#deps.subrequests.send({ ...question, bodyBytes: 0 });
    } catch (error) {
      this.#deps.log(`${question.url} could not be asked for a judgement: ${error instanceof Error ? error.message : String(error)}`);
      return unreachable;
    }
  }
}

/** As nginx decides what it keeps: nothing that sets cookies, or that says it is for one client or one time. */
function isShared(verdict: Verdict): boolean {
  return !verdict.headers.some(
    ({ name, value }) => name === "set-cookie" || (name === "cache-control" && /\b(no-store|no-cache|private|max-age=0)\b/i.test(value)),
  );
}
