import { quantityNanos } from "../api/quantity.ts";

/** A quantity as a number of whole units: `100m` → 0.1, `64Mi` → 67108864. `undefined` for what is no quantity. */
export function parseQuantity(text: string): number | undefined {
  const nanos = quantityNanos(text);
  return nanos === undefined ? undefined : Number(nanos) / 1e9;
}
