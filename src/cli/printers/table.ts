export interface Column<T> {
  readonly title: string;
  readonly cell: (row: T) => string;
  /** Shown with `-o wide` only. */
  readonly wide?: true;
}

/** Left-aligned columns, three spaces apart, as kubectl prints them; the last column is not padded. */
export function printTable<T>(columns: readonly Column<T>[], rows: readonly T[], options: { readonly wide?: boolean } = {}): string {
  const shown = columns.filter((c) => c.wide !== true || options.wide === true);
  const lines = [shown.map((c) => c.title), ...rows.map((row) => shown.map((c) => oneLine(c.cell(row))))];
  const widths = shown.map((_, i) => Math.max(...lines.map((line) => width(line[i] ?? ""))));
  return lines
    .map(
      (line) =>
        `${line.map((text, i) => (i === line.length - 1 ? text : text + " ".repeat((widths[i] ?? 0) - width(text)))).join("   ")}\n`,
    )
    .join("");
}

/** `key  value` lines; entries without a value are left out. */
export function printFields(fields: readonly (readonly [name: string, value: string | undefined])[], indent = ""): string {
  const shown = fields.filter((f): f is readonly [string, string] => f[1] !== undefined && f[1] !== "");
  const longest = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${indent}${name.padEnd(longest)}  ${oneLine(value)}\n`).join("");
}

/** Text of objects may hold anything: control characters must not reach the terminal. */
export function oneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, " ");
}

function width(text: string): number {
  return Array.from(text).length;
}
