import type { ValueMatch } from "./route.ts";

/** True when the value is there and is what the test asks for; a regular expression need only be found in it. */
export function valueMatches(match: ValueMatch, value: string | undefined): boolean {
  if (value === undefined) return false;
  switch (match.value.kind) {
    case "exact":
      return match.value.text === value;
    case "regex":
      return cachedRegExp(match.value.pattern, "").test(value);
  }
}

/** A query parameter as it stands in the query, decoded; `undefined` when absent. */
export function queryValue(query: string, name: string): string | undefined {
  return query === "" ? undefined : (new URLSearchParams(query).get(name) ?? undefined);
}

const maxCached = 4096;
const cache = new Map<string, RegExp>();

/** Compiled once a pattern. Throws a SyntaxError for what is none: patterns are checked where they enter. */
export function cachedRegExp(pattern: string, flags: "" | "i"): RegExp {
  const key = `${flags}/${pattern}`;
  let found = cache.get(key);
  if (found === undefined) {
    found = new RegExp(pattern, flags);
    if (cache.size >= maxCached) cache.clear();
    cache.set(key, found);
  }
  return found;
}

/** By pattern alone: requests ask for them, and a key put together for each would cost more than the rest of it. */
const pathCaches = { anyCase: new Map<string, RegExp>(), sameCase: new Map<string, RegExp>() };

/** What a `regex` path stands for: the pattern, found at the start of the path. */
export function pathRegExp(pattern: string, ignoreCase: boolean): RegExp {
  const cache = ignoreCase ? pathCaches.anyCase : pathCaches.sameCase;
  let found = cache.get(pattern);
  if (found === undefined) {
    found = new RegExp(`^(?:${pattern})`, ignoreCase ? "i" : "");
    if (cache.size >= maxCached) cache.clear();
    cache.set(pattern, found);
  }
  return found;
}
