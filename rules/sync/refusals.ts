import type { Problem } from "../../src/snapshot/problem.ts";
import type { ApplyError } from "../apply/errors.ts";
import type { Frontend, FrontendKey } from "../plan/frontend.ts";

/** Frontends by key, as a change of the plan has them. */
export type AskedAgain = ReadonlyMap<FrontendKey, { readonly after: Frontend }>;

interface Refused {
  readonly frontend: Frontend;
  readonly problem: Problem;
}

/** What the kernel refused: left out until it changes, or is asked for again and taken. */
export class Refusals {
  readonly #refused = new Map<FrontendKey, Refused>();
  /** Asked for again, and told of until it is known what became of it. */
  readonly #again = new Set<FrontendKey>();

  /** What is told of each. */
  problems(): ReadonlyMap<FrontendKey, Problem> {
    return new Map(Array.from(this.#refused, ([key, { problem }]) => [key, problem]));
  }

  refuse(key: FrontendKey, frontend: Frontend, error: ApplyError): void {
    const problem = refusalOf(frontend, error);
    const told = this.#refused.get(key)?.problem;
    this.#again.delete(key);
    // the loaders' messages name lines of their input, which are others each time
    this.#refused.set(key, { frontend, problem: told !== undefined && sameButNumbers(told, problem) ? told : problem });
  }

  /** It changed: what was said of it before holds no longer. */
  forget(key: FrontendKey): void {
    this.#refused.delete(key);
    this.#again.delete(key);
  }

  /** All of them, to be put back into what is desired. */
  askAgain(): AskedAgain {
    for (const key of this.#refused.keys()) this.#again.add(key);
    return new Map(Array.from(this.#refused, ([key, { frontend }]) => [key, { after: frontend }]));
  }

  /** Whether it is asked for again, and not known yet what became of it. */
  isAgain(key: FrontendKey): boolean {
    return this.#again.has(key);
  }

  /** Whatever is desired is in force: what was asked for again, and not refused again, was taken. */
  settle(): void {
    for (const key of this.#again) this.forget(key);
  }
}

function sameButNumbers(a: Problem, b: Problem): boolean {
  const words = ({ message }: Problem): string => message.replaceAll(/\d+/g, "");
  return words(a) === words(b);
}

/** What is told of a frontend that is left out. */
function refusalOf(frontend: Frontend, error: ApplyError): Problem {
  const { namespace, name } = frontend.owner;
  return {
    object: { kind: "Service", namespace, name },
    field: frontend.scope === "nodePort" ? "spec.ports" : "spec",
    reason: "RuleRefused",
    message: `the kernel refused the rules of ${frontend.key}: ${error.message}; this Service has none there until it takes them: they are tried again now and then`,
  };
}
