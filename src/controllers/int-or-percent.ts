/** `3` or `"25%"` of `total`; a percentage is rounded as said. Undefined for what is neither. */
export function resolveIntOrPercent(value: number | string | undefined, total: number, round: "up" | "down"): number | undefined {
  if (typeof value === "number") return value;
  const match = /^(\d+)%$/.exec(value ?? "");
  if (match === null) return undefined;
  const exact = (Number(match[1]) * total) / 100;
  return round === "up" ? Math.ceil(exact) : Math.floor(exact);
}
