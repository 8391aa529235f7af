import type { HashBalance, RetryOn } from "../route/route.ts";
import { isBad, type Parsed } from "./annotation-values.ts";
import { parseRequestText } from "./request-text.ts";

export interface RetryConditions {
  readonly off: boolean;
  readonly on: readonly RetryOn[];
  readonly nonIdempotent: boolean;
}

const retryWords: readonly RetryOn[] = [
  "error",
  "timeout",
  "invalid_header",
  "http_500",
  "http_502",
  "http_503",
  "http_504",
  "http_403",
  "http_404",
  "http_429",
];

/** nginx's proxy_next_upstream. */
export function parseRetryOn(text: string): Parsed<RetryConditions> {
  const words = text.split(/\s+/).filter((w) => w !== "");
  const on = words.flatMap((w) => retryWords.filter((known) => known === w));
  if (words.some((w) => w !== "off" && w !== "non_idempotent" && !retryWords.some((known) => known === w)))
    return { expected: `a list of ${retryWords.join(", ")}, non_idempotent, or off` };
  return { off: words.includes("off"), on, nonIdempotent: words.includes("non_idempotent") };
}

export function parseHashKey(text: string): Parsed<HashBalance> {
  const key = parseRequestText(text);
  return isBad(key) ? key : { key, algorithm: "ring" };
}
