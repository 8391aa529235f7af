import { timingSafeEqual } from "node:crypto";

/** Compares what a client may guess at: takes as long wherever the first difference is. */
export function sameText(a: string, b: string): boolean {
  const x = Buffer.from(a);
  const y = Buffer.from(b);
  return x.length === y.length && timingSafeEqual(x, y);
}
