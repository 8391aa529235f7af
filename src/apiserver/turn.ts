import type { Turn } from "../store/cache-table.ts";

/** When a watcher is told whose request has this Priority header (RFC 9218): before all others if nothing is more urgent to it. */
export function turnOf(priority: string | readonly string[] | undefined): Turn {
  return /(^|,)\s*u=0\s*(,|;|$)/.test([priority ?? ""].flat().join()) ? "first" : "in-turn";
}
