import { type FieldError, invalid } from "../field-error.ts";
import { percent } from "./names.ts";

/** Absent counts as zero. */
export function nonNegative(field: string, value: number | undefined): readonly FieldError[] {
  return (value ?? 0) < 0 ? [invalid(field, value, "must be greater than or equal to 0")] : [];
}

/** A count that is not below zero, or a percentage. */
export function countOrPercent(field: string, value: number | string): readonly FieldError[] {
  if (typeof value === "number") return nonNegative(field, value);
  return percent(value).map((why) => invalid(field, value, why));
}

export function atMostAll(field: string, value: number | string): readonly FieldError[] {
  return typeof value === "string" && percent(value).length === 0 && amountOf(value) > 100
    ? [invalid(field, value, "must not be greater than 100%")]
    : [];
}

/** The number in `25%` or `3`; zero for what is neither. */
export function amountOf(value: number | string): number {
  if (typeof value === "number") return value;
  return percent(value).length === 0 ? Number(value.slice(0, -1)) : 0;
}
