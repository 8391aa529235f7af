const pattern = /^([+-]?)(\d+(?:\.\d*)?|\.\d+)(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d+)?$/;
const powers: Readonly<Record<string, readonly [base: bigint, exponent: number]>> = {
  n: [10n, -9],
  u: [10n, -6],
  m: [10n, -3],
  k: [10n, 3],
  M: [10n, 6],
  G: [10n, 9],
  T: [10n, 12],
  P: [10n, 15],
  E: [10n, 18],
  Ki: [2n, 10],
  Mi: [2n, 20],
  Gi: [2n, 30],
  Ti: [2n, 40],
  Pi: [2n, 50],
  Ei: [2n, 60],
};

/** `500m`, `1Gi`, `2e3`: whether text is a Kubernetes quantity. */
export function isQuantity(text: string): boolean {
  return text.length <= 64 && pattern.test(text);
}

/** The value in billionths, rounded up as Kubernetes does; undefined for what is no quantity. */
export function quantityNanos(text: string): bigint | undefined {
  const match = text.length <= 64 ? pattern.exec(text) : null;
  if (match === null) return undefined;
  const [, sign, digits = "", suffix = ""] = match;
  const [whole = "", fraction = ""] = digits.split(".");
  let top = BigInt(`${whole}${fraction}` || "0");
  let bottom = 10n ** BigInt(fraction.length);
  const [base, exponent] = powers[suffix] ?? [10n, suffix === "" ? 0 : Number(suffix.slice(1))];
  if (Math.abs(exponent) > 60 && base === 10n) return undefined;
  if (exponent >= 0) top *= base ** BigInt(exponent);
  else bottom *= base ** BigInt(-exponent);
  const nanos = (top * 1_000_000_000n + bottom - 1n) / bottom;
  return sign === "-" ? -nanos : nanos;
}

/** Negative, zero or positive, as `a` is less than, equal to or more than `b`. What is no quantity counts as zero. */
export function compareQuantity(a: string, b: string): number {
  const x = quantityNanos(a) ?? 0n;
  const y = quantityNanos(b) ?? 0n;
  return x < y ? -1 : x > y ? 1 : 0;
}

/** Container resources are kept to thousandths: what is finer is rounded up, anything else stays as written. */
export function ceilToMilli(text: string): string {
  const nanos = quantityNanos(text);
  if (nanos === undefined || nanos % 1_000_000n === 0n) return text;
  return `${(nanos + 999_999n) / 1_000_000n}m`;
}
