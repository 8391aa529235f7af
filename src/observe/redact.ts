const secretName =
  /^(pass(word|wd|phrase)?|token|idToken|accessToken|refreshToken|bearer|authorization|cookie|set-cookie|private_?key|(client-?)?key-?data|secret(data)?|credentials?)$/i;
const mask = "[redacted]";
const maxDepth = 6;
const maxItems = 100;

/**
 * A copy of `value` that is fit for a log: values under secret names, the contents of Secret objects, private keys and
 * bearer tokens are masked; errors become plain objects; depth and length are bounded; cycles end.
 */
export function redactValue(value: unknown): unknown {
  return redact(value, 0);
}

function redact(value: unknown, depth: number): unknown {
  if (typeof value === "string") return redactText(value);
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "function" || typeof value === "symbol") return `[${typeof value}]`;
  if (typeof value !== "object" || value === null) return value;
  if (depth >= maxDepth) return "[…]";
  if (value instanceof Error) return redactError(value, depth);
  if (value instanceof Uint8Array) return `[${value.length} bytes]`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
  if (value instanceof Map) return redact(Object.fromEntries(Array.from(value, ([k, v]) => [String(k), v as unknown])), depth);
  if (value instanceof Set) return redact(Array.from(value), depth);
  if (Array.isArray(value)) {
    const kept = value.slice(0, maxItems).map((v: unknown) => redact(v, depth + 1));
    return value.length > maxItems ? [...kept, `[${value.length - maxItems} more]`] : kept;
  }
  const fields = value as Readonly<Record<string, unknown>>;
  const isSecret = fields["kind"] === "Secret";
  return Object.fromEntries(
    Object.entries(fields)
      .slice(0, maxItems)
      .map(([k, v]) => {
        const hide = v !== undefined && v !== null && (secretName.test(k) || (isSecret && (k === "data" || k === "stringData")));
        return [k, hide ? mask : redact(v, depth + 1)];
      }),
  );
}

function redactError(error: Error, depth: number): unknown {
  const code = (error as { readonly code?: unknown }).code;
  return {
    error: redactText(error.message === "" ? error.name : error.message),
    ...(code === undefined ? {} : { code: redact(code, depth + 1) }),
    ...(error.cause === undefined ? {} : { cause: redact(error.cause, depth + 1) }),
  };
}

function redactText(text: string): string {
  if (text.length < 12) return text;
  return text
    .replace(/-----BEGIN ([A-Z ]*PRIVATE KEY)-----[\s\S]*?(-----END \1-----|$)/g, mask)
    .replace(/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}/gi, `$1 ${mask}`)
    .replace(/\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*/g, mask)
    .replace(/(\/\/[^\s/:@]+:)[^\s/@]+@/g, `$1${mask}@`);
}
