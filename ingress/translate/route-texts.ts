import type { RouteVariable } from "../route/request-text.ts";

/** What the variables of a route stand for on one of them. */
export interface RouteFacts extends Readonly<Record<RouteVariable, string>> {
  /** Of which `$1`…`$9` are the groups; absent where the path is none. */
  readonly pattern?: string;
}

/** Plain data with the variables of its route filled in; what has none stays the same value. */
export function bindTexts<T>(value: T, facts: RouteFacts): T {
  return bound(value, facts) as T;
}

function bound(value: unknown, facts: RouteFacts): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    const after = value.map((v) => bound(v, facts));
    return after.every((v, i) => v === value[i]) ? value : after;
  }
  if (isRouteText(value)) return { kind: "text", text: facts[value.name] };
  if (isGroup(value)) return facts.pattern === undefined ? { kind: "text", text: "" } : { ...value, pattern: facts.pattern };
  let after: Record<string, unknown> | undefined;
  for (const [key, before] of Object.entries(value)) {
    const now = bound(before, facts);
    if (now === before) continue;
    after ??= { ...value };
    after[key] = now;
  }
  return after ?? value;
}

function isGroup(value: object): boolean {
  return "kind" in value && value.kind === "group" && "number" in value;
}

function isRouteText(value: object): value is { readonly kind: "route"; readonly name: RouteVariable } {
  return "kind" in value && value.kind === "route";
}
