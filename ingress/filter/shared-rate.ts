import type { FilterOf } from "../route/filter.ts";
import { fillText } from "../route/request-text.ts";
import { isInside } from "./address-list.ts";
import type { FilterContext, FilteredRequest, FilterOutcome } from "./outcome.ts";

export function applySharedRate(f: FilterOf<"sharedRate">, r: FilteredRequest, c: FilterContext): FilterOutcome | undefined {
  if (f.exempt !== undefined && isInside(f.exempt, r.clientIp)) return undefined;
  const use = { bucket: f.bucket, client: fillText(f.key, r), limit: f.limit, windowMs: f.windowSeconds * 1000 };
  return c.world.shared.take(use) ? undefined : { reply: { status: f.status, headers: [], by: "sharedRate" } };
}
