const pattern = /^([+-]?)(\d+(?:\.\d*)?|\.\d+)(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d{1,3})?$/;
const decimals: readonly (readonly [suffix: string, exponent: number])[] = [
  ["n", -9],
  ["u", -6],
  ["m", -3],
  ["", 0],
  ["k", 3],
  ["M", 6],
  ["G", 9],
  ["T", 12],
  ["P", 15],
  ["E", 18],
];
const binaries: readonly string[] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const nano = 1_000_000_000n;
const kibi = 1024n;
/** As many as surely fit into 63 bits. */
const maxDigits = 18;
const most = 2n ** 63n - 1n;

type Format = "decimal" | "exponent" | "binary";

/** What Kubernetes' own message names. */
export const quantityExpression = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$";

/** `500m`, `1Gi`, `2e3`: whether text is a Kubernetes quantity. */
export function isQuantity(text: string): boolean {
  return parse(text) !== undefined;
}

/** The value in billionths, rounded up as Kubernetes does; undefined for what is no quantity. */
export function quantityNanos(text: string): bigint | undefined {
  return parse(text)?.nanos;
}

/** Negative, zero or positive, as `a` is less than, equal to or more than `b`. What is no quantity counts as zero. */
export function compareQuantity(a: string, b: string): number {
  const x = quantityNanos(a) ?? 0n;
  const y = quantityNanos(b) ?? 0n;
  return x < y ? -1 : x > y ? 1 : 0;
}

/** As the API writes it back: `0.5` is `500m`, `1024Mi` is `1Gi`, `1000` is `1k`. Undefined for what is no quantity. */
export function canonicalQuantity(text: string): string | undefined {
  const parsed = parse(text);
  if (parsed === undefined) return undefined;
  return parsed.plain ? text : print(parsed.nanos, parsed.format);
}

/** Container resources are kept to thousandths: what is finer is rounded up. */
export function ceilToMilli(text: string): string {
  const parsed = parse(text);
  const milli = nano / 1000n;
  if (parsed === undefined || parsed.nanos % milli === 0n) return text;
  return print(divideUp(parsed.nanos, milli) * milli, parsed.format);
}

interface Parsed {
  readonly nanos: bigint;
  readonly format: Format;
  /** Written so that Kubernetes keeps the text: a whole step of thousands, no zeros to shorten. */
  readonly plain: boolean;
}

/** The last texts and what they mean: objects of a cluster say the same few amounts over and over. */
const known = new Map<string, Parsed>();
const maxKnown = 500;

function parse(text: string): Parsed | undefined {
  if (text.length > 64) return undefined;
  const before = known.get(text);
  if (before !== undefined) return before;
  const parsed = parseNew(text);
  if (parsed === undefined) return undefined;
  if (known.size >= maxKnown) known.clear();
  known.set(text, parsed);
  return parsed;
}

function parseNew(text: string): Parsed | undefined {
  const match = pattern.exec(text);
  if (match === null) return undefined;
  const [, sign, digits = "", suffix = ""] = match;
  const [whole = "", fraction = ""] = digits.split(".");
  const binary = binaries.indexOf(suffix);
  const isBinary = suffix !== "" && binary > 0;
  const isExponent = /^[eE][+-]?\d/.test(suffix);
  const exponent = isBinary ? 0 : isExponent ? Number(suffix.slice(1)) : (decimals.find(([name]) => name === suffix)?.[1] ?? 0);
  let top = BigInt(`${whole}${fraction}`) * nano;
  let bottom = 10n ** BigInt(fraction.length);
  if (isBinary) top *= kibi ** BigInt(binary);
  else if (exponent >= 0) top *= 10n ** BigInt(exponent);
  else bottom *= 10n ** BigInt(-exponent);
  const magnitude = divideUp(top, bottom);
  const capped = magnitude > most * nano ? most * nano : magnitude;
  const shifted = `${whole}${fraction}`;
  const plain =
    !isBinary &&
    (exponent - fraction.length) % 3 === 0 &&
    !shifted.endsWith("000") &&
    !shifted.startsWith("0") &&
    shifted.length <= maxDigits;
  return { nanos: sign === "-" ? -capped : capped, format: isBinary ? "binary" : isExponent ? "exponent" : "decimal", plain };
}

function print(nanos: bigint, format: Format): string {
  if (nanos === 0n) return "0";
  const sign = nanos < 0n ? "-" : "";
  const magnitude = nanos < 0n ? -nanos : nanos;
  // Small or fractional amounts are clearer without a binary suffix.
  if (format === "binary" && magnitude >= kibi * nano && magnitude % nano === 0n) {
    let value = magnitude / nano;
    let step = 0;
    while (value % kibi === 0n && step < binaries.length - 1) {
      value /= kibi;
      step++;
    }
    return `${sign}${value}${binaries[step]}`;
  }
  let value = magnitude;
  let exponent = -9;
  while (value % 1000n === 0n && exponent < 18) {
    value /= 1000n;
    exponent += 3;
  }
  if (format === "exponent") return exponent === 0 ? `${sign}${value}` : `${sign}${value}e${exponent}`;
  return `${sign}${value}${decimals.find(([, e]) => e === exponent)?.[0] ?? ""}`;
}

function divideUp(top: bigint, bottom: bigint): bigint {
  const quotient = top / bottom;
  return top % bottom > 0n ? quotient + 1n : quotient;
}
