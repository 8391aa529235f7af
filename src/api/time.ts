/** What made a time unreadable, in the words of Go's parser. */
export interface TimeError {
  readonly error: string;
}

const seconds = "2006-01-02T15:04:05Z07:00";
const micros = "2006-01-02T15:04:05.000000Z07:00";
const parts: readonly (readonly [element: string, pattern: RegExp])[] = [
  ["2006", /^\d{4}/],
  ["-", /^-/],
  ["01", /^\d{2}/],
  ["-", /^-/],
  ["02", /^\d{2}/],
  ["T", /^T/],
  ["15", /^\d{2}/],
  [":", /^:/],
  ["04", /^\d{2}/],
  [":", /^:/],
  ["05", /^\d{2}(?:[.,]\d+)?/],
  ["Z07:00", /^(?:Z|[+-]\d{2}:\d{2})/],
];

/** What parsing would give back unchanged, as nearly every time comes; a 29th of February is left to the parser. */
const asWritten =
  /^\d{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$/;

/** RFC 3339 → the same instant in UTC, whole seconds. */
export function parseTime(text: string): string | TimeError {
  if (asWritten.test(text)) return text;
  const parsed = parse(text, seconds);
  return "error" in parsed ? parsed : `${parsed.whole}Z`;
}

/** RFC 3339 → the same instant in UTC, six digits after the point. */
export function parseMicroTime(text: string): string | TimeError {
  const parsed = parse(text, micros);
  return "error" in parsed ? parsed : `${parsed.whole}.${parsed.fraction.slice(0, 6).padEnd(6, "0")}Z`;
}

function parse(text: string, layout: string): { readonly whole: string; readonly fraction: string } | TimeError {
  const head = `parsing time ${JSON.stringify(text)}`;
  let rest = text;
  const found: string[] = [];
  for (const [element, pattern] of parts) {
    const match = pattern.exec(rest)?.[0];
    if (match === undefined) {
      return { error: `${head} as ${JSON.stringify(layout)}: cannot parse ${JSON.stringify(rest)} as ${JSON.stringify(element)}` };
    }
    found.push(match);
    rest = rest.slice(match.length);
  }
  if (rest !== "") return { error: `${head}: extra text: ${JSON.stringify(rest)}` };
  const [year, , month, , day, , hour, , minute, , second = "", zone = "Z"] = found;
  const wrong = outOfRange(
    Number(month),
    Number(day),
    Number(hour),
    Number(minute),
    Number.parseFloat(second.replace(",", ".")),
    Number(year),
  );
  if (wrong !== undefined) return { error: `${head}: ${wrong} out of range` };
  const [whole = "", fraction = ""] = second.split(/[.,]/);
  const instant = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${whole}${zone}`);
  if (Number.isNaN(instant)) return { error: `${head}: time zone offset hour out of range` };
  return { whole: new Date(instant).toISOString().slice(0, 19), fraction };
}

function outOfRange(month: number, day: number, hour: number, minute: number, second: number, year: number): string | undefined {
  if (month < 1 || month > 12) return "month";
  if (hour > 23) return "hour";
  if (minute > 59) return "minute";
  if (second >= 60) return "second";
  return day < 1 || day > new Date(Date.UTC(year, month, 0)).getUTCDate() ? "day" : undefined;
}
