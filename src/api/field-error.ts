/** What is wrong with one field, in Kubernetes' words. */
export type FieldErrorType =
  | "NotFound"
  | "Required"
  | "Duplicate"
  | "Invalid"
  | "NotSupported"
  | "Forbidden"
  | "TooLong"
  | "TooMany"
  | "TooFew"
  | "TooShort"
  | "Internal"
  | "TypeInvalid";

export interface FieldError {
  readonly type: FieldErrorType;
  /** `spec.ports[0].port` */
  readonly field: string;
  /** What was there; printed as JSON. Absent where Kubernetes prints none. */
  readonly badValue?: unknown;
  readonly detail: string;
}

const words: Readonly<Record<FieldErrorType, { readonly text: string; readonly reason: string; readonly value: boolean }>> = {
  NotFound: { text: "Not found", reason: "FieldValueNotFound", value: true },
  Required: { text: "Required value", reason: "FieldValueRequired", value: false },
  Duplicate: { text: "Duplicate value", reason: "FieldValueDuplicate", value: true },
  Invalid: { text: "Invalid value", reason: "FieldValueInvalid", value: true },
  NotSupported: { text: "Unsupported value", reason: "FieldValueNotSupported", value: true },
  Forbidden: { text: "Forbidden", reason: "FieldValueForbidden", value: false },
  TooLong: { text: "Too long", reason: "FieldValueTooLong", value: false },
  TooMany: { text: "Too many", reason: "FieldValueTooMany", value: true },
  TooFew: { text: "Too few", reason: "FieldValueTooFew", value: true },
  TooShort: { text: "Too short", reason: "FieldValueTooShort", value: false },
  Internal: { text: "Internal error", reason: "InternalError", value: false },
  TypeInvalid: { text: "Invalid value", reason: "FieldValueTypeInvalid", value: true },
};

export function required(field: string, detail = ""): FieldError {
  return { type: "Required", field, detail };
}

export function invalid(field: string, badValue: unknown, detail = ""): FieldError {
  return { type: "Invalid", field, badValue, detail };
}

export function duplicate(field: string, badValue: unknown): FieldError {
  return { type: "Duplicate", field, badValue, detail: "" };
}

export function forbidden(field: string, detail: string): FieldError {
  return { type: "Forbidden", field, detail };
}

export function notFound(field: string, badValue: unknown): FieldError {
  return { type: "NotFound", field, badValue, detail: "" };
}

/** `supported` is printed in the order given; Kubernetes sorts it where it comes from a set. */
export function notSupported(field: string, badValue: unknown, supported: readonly string[]): FieldError {
  const detail = supported.length === 0 ? "" : `supported values: ${supported.map((v) => JSON.stringify(v)).join(", ")}`;
  return { type: "NotSupported", field, badValue, detail };
}

export function tooLong(field: string, max: number): FieldError {
  return { type: "TooLong", field, detail: `may not be more than ${max} ${max === 1 ? "byte" : "bytes"}` };
}

export function tooLongCharacters(field: string, max: number): FieldError {
  return { type: "TooLong", field, detail: `may not be more than ${max} ${max === 1 ? "character" : "characters"}` };
}

export function tooMany(field: string, actual: number, max: number): FieldError {
  return { type: "TooMany", field, badValue: actual, detail: `must have at most ${max} ${max === 1 ? "item" : "items"}` };
}

/** `Invalid value: 70000: must be between 1 and 65535, inclusive` */
export function printFieldErrorBody(error: FieldError): string {
  const word = words[error.type];
  const value = word.value && "badValue" in error ? `: ${printValue(error.badValue)}` : "";
  return `${word.text}${value}${error.detail === "" ? "" : `: ${error.detail}`}`;
}

/** `spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive` */
export function printFieldError(error: FieldError): string {
  return `${error.field}: ${printFieldErrorBody(error)}`;
}

/** The machine-readable reason of a cause in a Status. */
export function causeReason(error: FieldError): string {
  return words[error.type].reason;
}

/** Several errors in one line; one alone stands bare, repeated ones are told once. */
export function printFieldErrors(errors: readonly FieldError[]): string {
  const texts = [...new Set(errors.map(printFieldError))];
  return texts.length === 1 ? (texts[0] ?? "") : `[${texts.join(", ")}]`;
}

function printValue(value: unknown): string {
  if (value === undefined || value === null) return "null";
  // Go's encoder escapes these in JSON, but prints a bare string as it is.
  if (typeof value === "string") return JSON.stringify(value);
  return JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
