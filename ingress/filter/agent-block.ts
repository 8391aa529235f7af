import type { FilterOf, TextTest } from "../route/filter.ts";
import { patternOf } from "../route/pattern.ts";
import { headerValue } from "../route/request-head.ts";
import type { FilteredRequest, FilterOutcome } from "./outcome.ts";

export function applyAgentBlock(f: FilterOf<"agentBlock">, r: FilteredRequest): FilterOutcome | undefined {
  const blocked = isOneOf(f.userAgents, headerValue(r.headers, "user-agent")) || isOneOf(f.referers, headerValue(r.headers, "referer"));
  return blocked ? { reply: { status: 403, headers: [], by: "agentBlock" } } : undefined;
}

/** An absent header is the empty text, as at nginx. */
export function isOneOf(tests: readonly TextTest[], value = ""): boolean {
  return tests.some((t) => (t.kind === "exact" ? t.text === value : patternOf(t.pattern, t.ignoreCase).test(value)));
}
