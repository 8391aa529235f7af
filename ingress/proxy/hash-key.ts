import { hashOf } from "../balance/hash-ring.ts";
import { fillText, type TextSource } from "../route/request-text.ts";
import type { HashBalance } from "../route/route.ts";

/** The hash by which a request finds its endpoint. */
export function requestHash(balance: HashBalance, source: TextSource): number {
  return hashOf(fillText(balance.key, source));
}
