import { canonicalName, type DomainName } from "../wire/name.ts";
import { rcodes, typeNumbers } from "../wire/record-type.ts";
import { emptyAnswer, type Wrap } from "./handler.ts";

/** So often our own probe comes back before it is called a loop: one may be a retry. */
const limit = 2;

/** Watches for a question of our own that comes back: then some upstream asks this server. */
export class LoopWatch {
  /** No client asks for this by chance. */
  readonly probe: DomainName;
  #seen = 0;

  constructor(zone: DomainName, random: () => number) {
    const part = (): string => Math.floor(random() * 2 ** 52).toString();
    this.probe = canonicalName(`${part()}.${part()}.${zone === "." ? "" : zone}`);
  }

  get isLoop(): boolean {
    return this.#seen > limit;
  }

  readonly wrap: Wrap = (next) => (q, c) => {
    if (q.question.type === typeNumbers.HINFO && canonicalName(q.question.name) === this.probe) {
      this.#seen++;
      if (this.isLoop) return emptyAnswer(q.message, rcodes.SERVFAIL);
    }
    return next(q, c);
  };
}
