import { patternOf } from "./pattern.ts";
import type { ValueMatch } from "./route.ts";

/** True when the value is there and is what the test asks for; a regular expression need only be found in it. */
export function valueMatches(match: ValueMatch, value: string | undefined): boolean {
  if (value === undefined) return false;
  switch (match.value.kind) {
    case "exact":
      return match.value.text === value;
    case "regex":
      return patternOf(match.value.pattern, false).test(value);
  }
}

/** A query parameter as it stands in the query, decoded; `undefined` when absent. */
export function queryValue(query: string, name: string): string | undefined {
  return query === "" ? undefined : (new URLSearchParams(query).get(name) ?? undefined);
}
