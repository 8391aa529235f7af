import type { HeaderField } from "../route/filter.ts";
import type { PassRule } from "../upstream/wire/header-block.ts";
import { goesOn, isAmbiguous } from "../upstream/wire/hop-headers.ts";
import { replacedHeaders } from "./forwarded.ts";

/** Headers that are put in the place of those of the same name, and which of the others go on beside them. */
export class HeaderEdits {
  /** Lines of them, each with its CRLF. */
  readonly linesToClient: string;
  /** The same but for those without a value, which only take the client's own away. */
  readonly linesToEndpoint: string;
  /** Of a request, for its endpoint. */
  readonly toEndpoint: PassRule;
  /** The same, where headers with `_` in their names go on too: but not as one that this proxy sets. */
  readonly underscoredToEndpoint: PassRule;
  /** Of a response, for the client. */
  readonly toClient: PassRule;
  /** The same of one that can have no body: it has no length either (RFC 9110 section 8.6). */
  readonly bodilessToClient: PassRule;

  constructor(set: readonly HeaderField[]) {
    this.linesToClient = printed(set);
    this.linesToEndpoint = printed(set.filter((h) => h.value !== ""));
    const own = new Set(set.map((h) => h.name.toLowerCase()));
    const unset = (name: string): boolean => !replacedHeaders.has(name) && !own.has(name);
    const passes: PassRule = (name, named) => !framingHeaders.has(name) && goesOn(name, named) && unset(name);
    this.toEndpoint = (name, named) => passes(name, named) && !isAmbiguous(name);
    this.underscoredToEndpoint = (name, named) => passes(name, named) && (!isAmbiguous(name) || unset(name.replaceAll("_", "-")));
    this.toClient = (name, named) => goesOn(name, named) && !own.has(name);
    this.bodilessToClient = (name, named) => name !== "content-length" && this.toClient(name, named);
  }
}

function printed(set: readonly HeaderField[]): string {
  return set.map((h) => `${h.name}: ${h.value}\r\n`).join("");
}

/** What this proxy says itself of every request. */
const framingHeaders: ReadonlySet<string> = new Set(["host", "expect", "content-length"]);

const none = new HeaderEdits([]);
/** Sets are values, most of them a route's: what follows from one is found out once. */
const known = new WeakMap<readonly HeaderField[], HeaderEdits>();

export function headerEdits(set: readonly HeaderField[]): HeaderEdits {
  if (set.length === 0) return none;
  let edits = known.get(set);
  if (edits === undefined) {
    edits = new HeaderEdits(set);
    known.set(set, edits);
  }
  return edits;
}
